"""Orders of rows and columns, and maps put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from micam_fast.core.errors import AxisError, SampleError
from micam_fast.core.layers import Axes, Layer, ModelInput
from micam_fast.maps.layer_map import LayerMap, lies_on_input
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import InputGrid, Order, Permutation, find_grid, read_order

FIRST = ModelInput("x", (None, 3, 4, 5), Axes(0, 1), "float32")
LAST = ModelInput("x", (None, 4, 5, 3), Axes(0, 3), "float32")
OPEN = ModelInput("x", (None, 3, None, None), Axes(0, 1), "float32")
STEPS_FIRST = ModelInput("s", (None, 10, 4), Axes(0, 2), "float32")
STEPS_LAST = ModelInput("s", (None, 4, 10), Axes(0, 1), "float32")
FLAT = ModelInput("v", (None, 6), Axes(0, 1), "float32")
VOLUME = ModelInput("x", (None, 1, 2, 4, 5), Axes(0, 1), "float32")
GRID = find_grid([FIRST])


def order(*indices: int) -> Order:
    """A given order."""
    return Order("order.txt", np.array(indices, np.intp))


def written(tmp_path: Path, *lines: object) -> str:
    """A file of these lines."""
    path = tmp_path / "order.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def found_map(cam: NDArray[Any], *, flat: bool) -> LayerMap:
    """A layer's map."""
    rgba = np.zeros((*cam.shape, 4), np.uint8)
    return LayerMap(cam.astype(np.float32), rgba, 0.0, 1.0, (0.0, 1.0), (None,), flat=flat)


class TestGrid:
    """Rows and columns of the input."""

    @pytest.mark.parametrize(
        ("inputs", "grid"),
        [
            ([FIRST], InputGrid("x", 1, 2, 4, 5)),
            ([LAST], InputGrid("x", 0, 1, 4, 5)),
            ([OPEN], InputGrid("x", 1, 2, None, None)),
            ([VOLUME], InputGrid("x", 2, 3, 4, 5)),
            ([STEPS_FIRST], InputGrid("s", None, 0, 1, 10)),
            ([STEPS_LAST], InputGrid("s", None, 1, 1, 10)),
            ([FLAT], InputGrid("v", None, 0, 1, 6)),
            ([FLAT, LAST], InputGrid("x", 0, 1, 4, 5)),
            ([FLAT, STEPS_FIRST], InputGrid("v", None, 0, 1, 6)),
        ],
    )
    def test_by_the_rule_of_the_input_size(self, inputs: list[ModelInput], grid: InputGrid) -> None:
        assert find_grid(inputs) == grid

    def test_the_batch_may_be_another_axis(self) -> None:
        spec = ModelInput("s", (10, None, 4), Axes(1, 2), "float32")
        assert find_grid([spec]) == InputGrid("s", None, 0, 1, 10)


class TestPermutation:
    """Samples in another order, and maps back in the first one."""

    @pytest.mark.parametrize("spec", [FIRST, LAST])
    def test_what_stood_at_the_index_comes_to_the_place(self, spec: ModelInput) -> None:
        pixels = np.arange(20.0).reshape(4, 5)
        channel = 0 if spec is FIRST else 2
        sample = np.stack([pixels, pixels + 100, pixels + 200], axis=channel)
        rows, columns = [3, 1, 0, 2], [4, 0, 2, 1, 3]
        permutation = Permutation(order(*rows), order(*columns))
        fed = permutation.apply({"x": sample, "other": pixels}, [spec])
        assert fed["other"] is pixels
        for place in range(4):
            for other in range(5):
                np.testing.assert_array_equal(
                    np.moveaxis(fed["x"], channel, 0)[:, place, other],
                    np.moveaxis(sample, channel, 0)[:, rows[place], columns[other]],
                )

    @pytest.mark.parametrize(("spec", "axis"), [(STEPS_FIRST, 0), (STEPS_LAST, 1), (FLAT, 0)])
    def test_columns_of_a_sequence_are_its_steps(self, spec: ModelInput, axis: int) -> None:
        sample = np.random.default_rng(0).normal(size=spec.shape[1:])  # type: ignore[arg-type]
        backwards = order(*reversed(range(sample.shape[axis])))
        fed = Permutation(columns=backwards).apply({spec.name: sample}, [spec])
        np.testing.assert_array_equal(fed[spec.name], np.flip(sample, axis))

    @given(st.permutations(range(4)), st.permutations(range(5)))
    def test_undo_takes_the_order_back(self, rows: list[int], columns: list[int]) -> None:
        cam = np.random.default_rng(1).normal(size=(4, 5))
        permutation = Permutation(order(*rows), order(*columns))
        fed = permutation.apply({"x": cam[np.newaxis]}, [FIRST])["x"][0]
        np.testing.assert_array_equal(permutation.undo(fed, (4, 5)), cam)

    def test_undo_of_colours(self) -> None:
        rgba = np.random.default_rng(2).integers(0, 255, (4, 5, 4))
        permutation = Permutation(columns=order(4, 0, 2, 1, 3))
        np.testing.assert_array_equal(permutation.undo(rgba[:, [4, 0, 2, 1, 3]], (4, 5)), rgba)

    def test_other_maps_stay(self) -> None:
        cam = np.zeros((5, 4))
        assert Permutation(rows=order(1, 0, 2, 3)).undo(cam, (4, 5)) is cam

    def test_names_go_along(self) -> None:
        names = AxisNames(("r0", "r1", "r2", "r3"), ("a", "b", "c", "d", "e"))
        permutation = Permutation(columns=order(4, 0, 2, 1, 3))
        assert permutation.names(names) == AxisNames(names.rows, ("e", "a", "c", "b", "d"))
        assert permutation.names(AxisNames()) == AxisNames()

    def test_a_sample_of_another_size(self) -> None:
        permutation = Permutation(columns=order(2, 0, 1))
        with pytest.raises(SampleError, match=r"order\.txt orders 3, the sample has 5"):
            permutation.apply({"x": np.zeros((3, 4, 5))}, [OPEN])

    def test_it_says_what_it_does(self) -> None:
        both = Permutation(order(0), Order("seed:3", seed=3))
        assert str(both) == "rows by order.txt, columns by seed:3"
        assert str(Permutation(columns=Order("seed:3", seed=3))) == "columns by seed:3"

    @pytest.mark.parametrize(
        ("op_type", "size", "flat", "lies"),
        [
            ("Conv", (4, 5), False, True),
            ("Conv", (2, 5), False, False),
            ("Gemm", (4, 5), True, False),
            ("Input", (4, 5), True, True),
        ],
    )
    def test_a_flat_layer_lies_on_no_grid(
        self, op_type: str, size: tuple[int, int], flat: bool, lies: bool
    ) -> None:
        found = found_map(np.zeros(size), flat=flat)
        assert lies_on_input(Layer("a", op_type, op_type), found, (4, 5)) is lies


class TestSeeds:
    """Random orders."""

    def test_a_seed_gives_the_same_order_each_time(self) -> None:
        first, second = (read_order("seed:7", "columns", GRID, None) for _ in range(2))
        np.testing.assert_array_equal(first.indices(41), second.indices(41))
        assert sorted(first.indices(41)) == list(range(41))
        assert list(first.indices(41)) != list(range(41))

    def test_another_seed_another_order(self) -> None:
        first, second = (read_order(f"seed:{n}", "rows", GRID, None) for n in (1, 2))
        assert list(first.indices(41)) != list(second.indices(41))

    def test_any_size_of_an_open_input(self) -> None:
        found = read_order("seed:7", "rows", find_grid([OPEN]), None)
        fed = Permutation(rows=found).apply({"x": np.arange(9.0).reshape(1, 9, 1)}, [OPEN])
        assert sorted(fed["x"].ravel()) == list(range(9))

    @pytest.mark.parametrize(
        "text", ["seed:", "seed:x", "seed:-1", "seed:1.5", f"seed:{'9' * 5000}"]
    )
    def test_no_seed(self, text: str) -> None:
        with pytest.raises(AxisError, match=f"--permute-rows {text}: a whole number is expected"):
            read_order(text, "rows", GRID, None)

    def test_a_file_of_that_name_wins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("seed:7").write_text("3\n2\n1\n0\n")
        assert list(read_order("seed:7", "rows", GRID, None).indices(4)) == [3, 2, 1, 0]


class TestFiles:
    """An index or a name a line."""

    def test_indices(self, tmp_path: Path) -> None:
        found = read_order(written(tmp_path, 4, 0, 2, 1, 3), "columns", GRID, None)
        assert list(found.indices(5)) == [4, 0, 2, 1, 3]
        assert found.text == "order.txt"

    def test_names(self, tmp_path: Path) -> None:
        path = written(tmp_path, "e", "a", "c", "b", "d")
        found = read_order(path, "columns", GRID, ("a", "b", "c", "d", "e"))
        assert list(found.indices(5)) == [4, 0, 2, 1, 3]

    def test_indices_where_names_are_known(self, tmp_path: Path) -> None:
        found = read_order(written(tmp_path, 1, 0, 3, 2), "rows", GRID, ("a", "b", "c", "d"))
        assert list(found.indices(4)) == [1, 0, 3, 2]

    def test_names_that_are_numbers_are_names(self, tmp_path: Path) -> None:
        found = read_order(written(tmp_path, 1, 2, 3, 0), "rows", GRID, ("3", "2", "1", "0"))
        assert list(found.indices(4)) == [2, 1, 0, 3]

    def test_an_open_size_is_that_of_the_file(self, tmp_path: Path) -> None:
        found = read_order(written(tmp_path, 1, 0), "rows", find_grid([OPEN]), None)
        assert list(found.indices(2)) == [1, 0]

    def test_an_open_size_is_that_of_the_names(self, tmp_path: Path) -> None:
        with pytest.raises(AxisError, match="orders 2 of the 3 rows; missing: 'c'"):
            read_order(written(tmp_path, 1, 0), "rows", find_grid([OPEN]), ("a", "b", "c"))

    @pytest.mark.parametrize(
        ("lines", "names", "said"),
        [
            ((0, 1, 2), None, r"order\.txt orders 3 of the 4 rows; missing: 3$"),
            ((), None, r"order\.txt orders 0 of the 4 rows; missing: 0, 1, 2, 3$"),
            ((0, 1, 2, 1), None, r"order\.txt: row 1 is there twice, in lines 2 and 4"),
            ((0, 1, 2, 4), None, r"line 4: there is no row 4; expected are 0 to 3"),
            ((0, 1, 2, "d"), None, r"line 4: 'd' is no index; names need --row-names"),
            ((0, -1, 2, 3), None, r"line 2: '-1' is no index"),
            ((0, "", 2, 3), None, r"line 2: '' is no index"),
            ("abc", "abcd", r"order\.txt orders 3 of the 4 rows; missing: 'd'"),
            ("abca", "abcd", r"order\.txt: row 'a' is there twice, in lines 1 and 4"),
            (("hot", "host", "a", "b"), ("hot", "hosts", "a", "b"), r"line 2: 'host' is no row; "
             "did you mean 'hosts'"),
        ],
    )  # fmt: skip
    def test_no_permutation(self, tmp_path: Path, lines: Any, names: Any, said: str) -> None:
        path = written(tmp_path, *lines)
        with pytest.raises(AxisError, match=said):
            read_order(path, "rows", GRID, None if names is None else tuple(names))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(AxisError, match=r"cannot read .*none\.txt: No such file"):
            read_order(str(tmp_path / "none.txt"), "rows", GRID, None)

    @pytest.mark.parametrize("spec", [FLAT, STEPS_FIRST])
    def test_an_input_without_rows(self, spec: ModelInput) -> None:
        with pytest.raises(AxisError, match="has no rows; its steps or values are columns"):
            read_order("seed:1", "rows", find_grid([spec]), None)

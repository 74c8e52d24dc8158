"""CSV files as samples, and ``FILE:N``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import Sample, names_beside, read_samples

TABLE = ModelInput("x", (None, 1, 3, 2), Axes(0, 1), "float32")
TABLE_LAST = ModelInput("x", (None, 3, 2, 1), Axes(0, 3), "float32")
OPEN = ModelInput("x", (None, 1, None, None), Axes(0, 1), "float32")
RGB = ModelInput("x", (None, 3, 2, 2), Axes(0, 1), "float32")
RGB_LAST = ModelInput("x", (None, 2, 2, 3), Axes(0, 3), "float32")
STRIP = ModelInput("x", (None, 1, 1, 2), Axes(0, 1), "float32")
STEPS = ModelInput("s", (None, 3, 2), Axes(0, 2), "float32")
STEPS_LAST = ModelInput("s", (None, 2, 3), Axes(0, 1), "float32")
OPEN_STEPS = ModelInput("s", (None, None, 2), Axes(0, 2), "float32")
SERIES = ModelInput("s", (None, 3, 1), Axes(0, 2), "float32")
FLAT = ModelInput("v", (None, 2), Axes(0, 1), "float32")
OPEN_FLAT = ModelInput("v", (None, None), Axes(0, 1), "float32")
WHOLE = ModelInput("v", (None, 2), Axes(0, 1), "int64")

ONE = "CSV file taken as one sample of rows x columns"
EACH = "each row of a CSV file taken as a sample"


def written(path: Path, *lines: str) -> Path:
    """A CSV file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read_all(*paths: object, spec: ModelInput = TABLE, **given: Any) -> list[Sample]:
    """What `read_samples` gives for these files."""
    return list(read_samples(map(str, paths), [spec], **given))


def errors(*paths: object, spec: ModelInput = TABLE) -> list[str]:
    """What is wrong with each sample, in order."""
    return [str(sample.error) for sample in read_all(*paths, spec=spec)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three rows of two columns."""
    return written(tmp_path / "a.csv", "a,b", "0,1", "2, 3.5", "-4e1,5")


NUMBERS = np.array([[0, 1], [2, 3.5], [-40, 5]])


class TestOneSample:
    """A file that is a sample of rows and columns."""

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (TABLE, NUMBERS[np.newaxis]),
            (TABLE_LAST, NUMBERS[..., np.newaxis]),
            (OPEN, NUMBERS[np.newaxis]),
            (STEPS, NUMBERS),
            (STEPS_LAST, NUMBERS.T),
            (OPEN_STEPS, NUMBERS),
        ],
    )
    def test_rows_and_columns(self, table: Path, spec: ModelInput, expected: Any) -> None:
        said: list[str] = []
        (sample,) = read_all(table, spec=spec, say=said.append)
        assert sample.error is None
        assert sample.name == "a.csv"
        np.testing.assert_array_equal(sample.arrays[spec.name], np.array(expected, np.float32))
        assert sample.arrays[spec.name].dtype == np.float32
        assert said == [f"input {spec.name!r}: {ONE}"]

    def test_another_number_of_rows(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b", *["1,2"] * 5)
        assert errors(path) == [
            f"{path}: 5 rows of 2 columns do not fit input 'x' of shape (1, 3, 2)"
        ]

    def test_a_broken_row_breaks_the_sample(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b", "0,1", "2", "4,5")
        assert errors(path) == [f"{path}, line 3: 1 fields, expected are 2"]

    def test_no_rows(self, tmp_path: Path) -> None:
        (said,) = errors(written(tmp_path / "a.csv", "a,b"))
        assert "0 rows of 2 columns do not fit" in said

    def test_it_has_no_second_one(self, table: Path) -> None:
        assert errors(f"{table}:1") == [f"{table} is one sample; there is no number 1"]
        assert errors(f"{table}:0") == ["None"]


class TestASampleARow:
    """A file of samples."""

    @pytest.mark.parametrize("spec", [FLAT, OPEN_FLAT, STRIP])
    def test_rows(self, table: Path, spec: ModelInput) -> None:
        said: list[str] = []
        samples = read_all(table, spec=spec, say=said.append)
        assert [sample.name for sample in samples] == ["a.csv[0]", "a.csv[1]", "a.csv[2]"]
        for sample, row in zip(samples, NUMBERS, strict=True):
            np.testing.assert_array_equal(
                sample.arrays[spec.name].ravel(), np.array(row, np.float32)
            )
        assert said == [f"input {spec.name!r}: {EACH}"]

    @pytest.mark.parametrize("spec", [RGB, RGB_LAST])
    def test_a_row_fills_height_width_and_channels(self, tmp_path: Path, spec: ModelInput) -> None:
        names, numbers = (",".join(f"{text}{n}" for n in range(12)) for text in ("c", ""))
        (sample,) = read_all(written(tmp_path / "a.csv", names, numbers), spec=spec)
        filled = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
        expected = filled if spec is RGB_LAST else filled.transpose(2, 0, 1)
        np.testing.assert_array_equal(sample.arrays["x"], expected)
        assert sample.name == "a.csv"

    def test_a_row_fills_a_table(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b,c,d,e,f", "1,2,3,4,5,6", "6,5,4,3,2,1")
        first, second = read_all(path)
        np.testing.assert_array_equal(first.arrays["x"], [[[1, 2], [3, 4], [5, 6]]])
        np.testing.assert_array_equal(second.arrays["x"], [[[6, 5], [4, 3], [2, 1]]])

    def test_a_row_is_a_series(self, tmp_path: Path) -> None:
        first, _ = read_all(written(tmp_path / "a.csv", "a,b,c", "1,2,3", "4,5,6"), spec=SERIES)
        np.testing.assert_array_equal(first.arrays["s"], [[1], [2], [3]])

    def test_a_broken_row_keeps_its_place(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b", "0,1", "2,nan", "4,5")
        samples = read_all(path, spec=FLAT)
        assert [sample.error is None for sample in samples] == [True, False, True]
        assert samples[1].name == "a.csv[1]"
        assert str(samples[1].error) == (
            f"{path}, line 3: 'nan' in column 'b', expected is a finite number"
        )

    @pytest.mark.parametrize("field", ["inf", "1e40", "1_000", ""])
    def test_what_is_no_finite_number(self, tmp_path: Path, field: str) -> None:
        (said,) = errors(written(tmp_path / "a.csv", "a,b", f"1,{field}"), spec=FLAT)
        assert f"line 2: {field!r} in column 'b', expected is a finite number" in said

    def test_text_names_the_remedy(self, tmp_path: Path) -> None:
        (said,) = errors(written(tmp_path / "a.csv", "a,b", "1,tcp"), spec=FLAT)
        assert "'tcp' in column 'b'" in said
        assert "'micam-fast tfrecord table' makes records of tables with text" in said

    def test_a_whole_number_for_an_integer_model(self, tmp_path: Path) -> None:
        good, bad = read_all(written(tmp_path / "a.csv", "a,b", "1,2.0", "1,2.5"), spec=WHOLE)
        np.testing.assert_array_equal(good.arrays["v"], np.array([1, 2], np.int64))
        assert "with fractions" in str(bad.error)

    def test_no_rows(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b")
        assert errors(path, spec=FLAT) == [f"{path} holds 0 rows below its names"]

    def test_rows_are_read_one_by_one(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b", *["0,1"] * 5000)
        with path.open("a") as file:
            samples = read_samples([str(path)], [FLAT])
            assert next(samples).error is None
            file.write("6,7\n" * 3)
        assert sum(1 for _ in samples) == 5002


class TestTables:
    """Files that fit neither way, or are none."""

    @pytest.mark.parametrize(
        ("spec", "columns", "shape"),
        [(TABLE, 4, "(1, 3, 2)"), (RGB, 2, "(3, 2, 2)"), (FLAT, 4, "(2,)"), (STEPS, 5, "(3, 2)")],
    )
    def test_columns_that_fit_no_way(
        self, tmp_path: Path, spec: ModelInput, columns: int, shape: str
    ) -> None:
        path = written(tmp_path / "a.csv", ",".join("abcdef"[:columns]))
        assert errors(path, spec=spec) == [
            f"{path}: {columns} columns fit input {spec.name!r} of shape {shape} neither as one "
            "table of rows x columns nor with a sample in each row"
        ]

    @pytest.mark.parametrize(("spec", "columns"), [(TABLE, 3), (FLAT, 3), (TABLE_LAST, 7)])
    def test_a_column_of_labels_is_told(
        self, tmp_path: Path, spec: ModelInput, columns: int
    ) -> None:
        path = written(tmp_path / "a.csv", ",".join("abcdefg"[:columns]))
        (said,) = errors(path, spec=spec)
        assert said.endswith("with one column less they would: leave out the label's")

    def test_a_file_without_names(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "1,2", "3,4")
        assert errors(path, spec=FLAT) == [
            f"{path} begins with numbers; put a row of column names before them"
        ]

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("a;b", "fields seem to be separated by ';', expected is ','"),
            ("a\tb", "fields seem to be separated by '\\t', expected is ','"),
            (",a,b", "with one column less they would: column 1 has no name, is it an index?"),
            ("a,b,", "with one column less they would: column 3 has no name, is it an index?"),
        ],
    )
    def test_other_kinds_of_csv_are_told(self, tmp_path: Path, header: str, said: str) -> None:
        path = written(tmp_path / "a.csv", header, "1;2")
        (error,) = errors(path)
        assert error.endswith(f"; {said}")

    def test_an_empty_file(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv")
        assert errors(path) == [f"{path} is empty"]

    def test_no_file(self, tmp_path: Path) -> None:
        (said,) = errors(tmp_path / "a.csv")
        assert said == f"cannot read {tmp_path / 'a.csv'}: No such file or directory"

    def test_another_input_must_be_fed(self, table: Path) -> None:
        (sample,) = read_samples([str(table)], [TABLE, FLAT])
        assert "input 'v' has no array" in str(sample.error)

    def test_further_inputs(self, table: Path) -> None:
        (sample,) = read_samples([str(table)], [TABLE, FLAT], extra={"v": np.ones((1, 2))})
        assert set(sample.arrays) == {"x", "v"}

    def test_folders_of_tables(self, table: Path) -> None:
        written(table.with_name("B.CSV"), "a,b", *["7,7"] * 3)
        assert [sample.name for sample in read_all(table.parent)] == ["B.CSV", "a.csv"]

    def test_files_that_name_other_columns_are_told_once(self, table: Path) -> None:
        for name in ("b.csv", "c.csv"):
            written(table.with_name(name), "b,a", *["7,7"] * 3)
        said: list[str] = []
        read_all(table.parent, say=said.append)
        other = table.with_name("b.csv")
        assert said == [
            f"input 'x': {ONE}",
            f"input 'x': {other} names other columns than {table}; columns are taken in their "
            "order, whatever their names",
        ]

    def test_a_table_beside_arrays_is_no_sample(self, table: Path) -> None:
        np.save(table.with_name("z.npy"), np.zeros((1, 3, 2)))
        assert [sample.name for sample in read_all(table.parent)] == ["z.npy"]


class TestSelectors:
    """``FILE:N``."""

    @pytest.fixture
    def batch(self, tmp_path: Path) -> Path:
        """Four samples."""
        np.save(tmp_path / "a.npy", np.arange(24.0).reshape(4, 1, 3, 2))
        return tmp_path / "a.npy"

    def test_one_of_a_batch(self, batch: Path) -> None:
        (sample,) = read_all(f"{batch}:2")
        assert sample.name == "a.npy[2]"
        np.testing.assert_array_equal(sample.arrays["x"], np.load(batch)[2])

    def test_several_among_whole_files(self, batch: Path) -> None:
        found = read_all(f"{batch}:3", f"{batch}:0", batch)
        assert [sample.name for sample in found] == [f"a.npy[{n}]" for n in (3, 0, 0, 1, 2, 3)]

    def test_one_row_of_a_table(self, table: Path) -> None:
        (sample,) = read_all(f"{table}:1", spec=FLAT)
        assert sample.name == "a.csv[1]"
        np.testing.assert_array_equal(sample.arrays["v"], [2, 3.5])

    def test_one_that_is_not_there(self, batch: Path, table: Path) -> None:
        assert errors(f"{batch}:4") == [f"{batch} holds 4 samples; there is no number 4"]
        assert errors(f"{table}:7", spec=FLAT) == [
            f"{table} holds 3 rows below its names; there is no number 7"
        ]

    def test_a_file_of_that_name_wins(self, batch: Path) -> None:
        array = np.full((1, 3, 2), 7.0)
        with batch.with_name("a.npy:2").open("wb") as file:
            np.save(file, array)
        (sample,) = read_all(f"{batch}:2")
        # Its suffix is no array's, so it is taken for a picture.
        assert sample.name == "a.npy:2"

    @pytest.mark.parametrize("number", ["x", "-1", "1.0", "", "²"])
    def test_what_is_no_number_is_part_of_the_name(self, batch: Path, number: str) -> None:
        assert errors(f"{batch}:{number}") == [
            f"cannot read {batch}:{number}: No such file or directory"
        ]

    @pytest.mark.parametrize("name", ["a.npy", "a.csv"])
    def test_numbers_that_no_file_has(self, batch: Path, table: Path, name: str) -> None:
        (said,) = errors(f"{batch.parent / name}:{'9' * 18}")
        assert said.endswith(f"there is no number {'9' * 18}")
        (said,) = errors(f"{batch.parent / name}:{'9' * 19}", spec=FLAT)
        assert said.startswith("cannot read ")

    def test_no_such_file(self, tmp_path: Path) -> None:
        path = tmp_path / "b.npy"
        assert errors(f"{path}:1") == [f"cannot read {path}: No such file or directory"]

    def test_a_folder(self, batch: Path) -> None:
        assert errors(f"{batch.parent}:0") == [
            f"{batch.parent} is a folder; FILE:N takes a sample of a file"
        ]

    def test_further_inputs_by_the_place_in_the_run(self, batch: Path) -> None:
        extra = {"v": np.arange(4.0).reshape(2, 2)}
        found = list(read_samples([f"{batch}:3", f"{batch}:1"], [TABLE, FLAT], extra=extra))
        np.testing.assert_array_equal([each.arrays["v"] for each in found], extra["v"])


class TestNamesBeside:
    """Names of columns that a sample file brings along."""

    @pytest.mark.parametrize(
        ("spec", "width", "found"),
        [
            (TABLE, 2, ("a", "b")),
            (OPEN, None, ("a", "b")),
            (FLAT, 2, ("a", "b")),
            (STRIP, 2, ("a", "b")),
            # Its columns are the features, those of the input its steps.
            (ModelInput("s", (None, 2, 2), Axes(0, 2), "float32"), 2, None),
            # No such sample.
            (ModelInput("x", (None, 1, 3, 4), Axes(0, 1), "float32"), 4, None),
        ],
    )
    def test_of_a_table(self, table: Path, spec: ModelInput, width: Any, found: Any) -> None:
        assert names_beside(str(table), spec, width) == found
        assert names_beside(f"{table}:0", spec, width) == found
        assert names_beside(str(table.parent), spec, width) == found

    def test_cells_are_no_columns(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,b,c,d,e,f", "1,2,3,4,5,6")
        assert names_beside(str(path), TABLE, 2) is None

    @pytest.mark.parametrize(
        ("name", "columns"),
        [("a.tfrecord", ["p", "q"]), ("a-00001-of-00003.tfrecord", ["p", "q"])],
    )
    def test_of_records(self, tmp_path: Path, name: str, columns: list[str]) -> None:
        side = {"height": 3, "width": 2, "window": True, "columns": columns}
        (tmp_path / "a.json").write_text(json.dumps(side))
        (tmp_path / name).touch()
        assert names_beside(str(tmp_path / name), TABLE, 2) == ("p", "q")
        assert names_beside(str(tmp_path / name), TABLE, 3) is None
        assert names_beside(str(tmp_path / name), STEPS, 2) is None

    def test_a_column_without_a_name_names_nothing(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "a,", *["1,2"] * 3)
        assert errors(path) == ["None"]
        assert names_beside(str(path), TABLE, 2) is None

    @pytest.mark.parametrize("name", ["a.tfrecord", "a.npy", "none.csv", "none", "x" * 300])
    def test_none(self, tmp_path: Path, name: str) -> None:
        assert names_beside(str(tmp_path / name), TABLE, 2) is None

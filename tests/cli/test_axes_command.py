"""Other orders of rows and columns, tables and records, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper

from micam_fast import Model, cli, load_model
from micam_fast.cli.axes import read_axis_names, read_permutation
from micam_fast.cli.options import AxisOptions
from micam_fast.core.errors import AxisError
from micam_fast.samples.axis_names import AxisNames
from tests.helpers.commands import arrays, failure_line, names, only, succeeded
from tests.helpers.models import make_model, random_array
from tests.helpers.tfrecord_files import record, write_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model of tables of 3 rows and 4 columns: ReLU, then all values."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
    ]
    onnx.save(make_model(nodes, {"x": ["N", 1, 3, 4]}, ["f"]), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.fixture
def model(path: Path) -> Model:
    """The same."""
    return load_model(path)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.main, ["plot", *map(str, words)], prog_name="micam-fast")


def lines(path: Path, *words: object) -> Path:
    """A text file."""
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return path


class TestNames:
    """Names for the model's rows and columns."""

    def test_of_both(self, model: Model, tmp_path: Path) -> None:
        rows = lines(tmp_path / "rows.txt", *"pqr")
        columns = lines(tmp_path / "columns.csv", "a,b,c,d", "1,2,3,4")
        options = AxisOptions(row_names=rows, column_names=columns)
        assert read_axis_names(options, model) == AxisNames(tuple("pqr"), tuple("abcd"))

    def test_none(self, model: Model) -> None:
        assert read_axis_names(AxisOptions(), model, ["a.npy"]) == AxisNames()

    def test_a_wrong_number(self, model: Model, tmp_path: Path) -> None:
        rows = lines(tmp_path / "rows.txt", *"pqrs")
        with pytest.raises(AxisError, match=r"rows\.txt names 4 rows, the model's input has 3 row"):
            read_axis_names(AxisOptions(row_names=rows), model)

    def test_those_of_the_samples(self, model: Model, tmp_path: Path) -> None:
        table = lines(tmp_path / "a.csv", "a,b,c,d", *["1,2,3,4"] * 3)
        assert read_axis_names(AxisOptions(), model, [str(table)]) == AxisNames(None, tuple("abcd"))

    def test_given_ones_come_first(self, model: Model, tmp_path: Path) -> None:
        table = lines(tmp_path / "a.csv", "a,b,c,d", *["1,2,3,4"] * 3)
        columns = lines(tmp_path / "columns.txt", *"wxyz")
        found = read_axis_names(AxisOptions(column_names=columns), model, [str(table)])
        assert found.columns == tuple("wxyz")


class TestPermutation:
    """The options become a permutation."""

    def test_none(self, model: Model) -> None:
        assert read_permutation(AxisOptions(), model) is None

    def test_indices_and_names(self, model: Model, tmp_path: Path) -> None:
        rows = lines(tmp_path / "rows.txt", 2, 0, 1)
        columns = lines(tmp_path / "columns.txt", *"dbca")
        options = AxisOptions(permute_rows=str(rows), permute_columns=str(columns))
        found = read_permutation(options, model, AxisNames(None, tuple("abcd")))
        assert found is not None
        cells = np.arange(12.0).reshape(1, 3, 4)
        fed = found.apply({"x": cells}, model.inputs)["x"]
        np.testing.assert_array_equal(fed, cells[:, [2, 0, 1]][:, :, [3, 1, 2, 0]])


class TestPlot:
    """``micam-fast plot`` with all of it."""

    def test_maps_are_those_of_the_order(self, path: Path, tmp_path: Path) -> None:
        sample = random_array(0, 1, 3, 4)
        np.save(tmp_path / "a.npy", sample)
        order = lines(tmp_path / "order.txt", 3, 1, 2, 0)
        out = tmp_path / "out"
        words = (path, tmp_path / "a.npy", "--format", "npz,svg", "--output-dir", out)
        succeeded(run(*words, "--permute-columns", order, "--permute-rows", "seed:5"))
        rows = np.random.default_rng(5).permutation(3)
        fed = np.maximum(sample[0][rows][:, [3, 1, 2, 0]], 0)
        np.testing.assert_array_equal(arrays(only(out, "*.npz"))["cam/relu"], fed)
        assert "a.npy, rows by seed:5, columns by order.txt" in only(out, "*.svg").read_text()

    def test_names_of_the_table_serve_its_order(self, path: Path, tmp_path: Path) -> None:
        table = lines(tmp_path / "a.csv", "a,b,c,d", *["1,2,3,4"] * 3)
        order = lines(tmp_path / "order.txt", *"dcba")
        out = tmp_path / "out"
        words = (path, table, "--format", "npz", "--output-dir", out)
        succeeded(run(*words, "--permute-columns", order))
        np.testing.assert_array_equal(arrays(only(out, "*.npz"))["cam/relu"], [[4, 3, 2, 1]] * 3)

    def test_a_wrong_order_is_one_line(self, path: Path, tmp_path: Path) -> None:
        order = lines(tmp_path / "order.txt", 3, 1, 2, 3)
        line = failure_line(run(path, tmp_path / "a.npy", "--permute-columns", order))
        assert line == (f"micam-fast: error: {order}: column 3 is there twice, in lines 1 and 4")

    def test_a_failed_sample_keeps_its_name(self, path: Path, tmp_path: Path) -> None:
        result = run(path, tmp_path / "a.npy", "--permute-columns", "seed:1")
        assert f"sample 0 (a.npy) skipped: cannot read {tmp_path / 'a.npy'}" in result.stderr

    def test_records_are_labelled(self, path: Path, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        samples = [record(random_array(n, 3, 4, 1), n) for n in range(3)]
        write_file(data / "a.tfrecord", samples)
        side = {"height": 3, "width": 4, "classes": ["back", "satan"]}
        (data / "a.json").write_text(json.dumps(side))
        out = tmp_path / "out"
        words = (path, data / "a.tfrecord", "--format", "dot", "--output-dir", out)
        succeeded(run(*words))
        dots = [name.removesuffix(".dot") for name in names(out) if name.endswith(".dot")]
        assert [name.split("label-")[1] for name in dots] == ["back", "satan", "2"]

    def test_labels_come_before_those_of_records(self, path: Path, tmp_path: Path) -> None:
        samples = [record(random_array(n, 3, 4, 1), n) for n in range(2)]
        write_file(tmp_path / "a.tfrecord", samples)
        labels = lines(tmp_path / "labels.txt", "mine")
        out = tmp_path / "out"
        words = (path, tmp_path / "a.tfrecord", "--format", "npz", "--output-dir", out)
        succeeded(run(*words, "--labels", labels))
        first, second = names(out)
        assert "label-mine" in first
        assert "label" not in second

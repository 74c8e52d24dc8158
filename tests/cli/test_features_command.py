"""``micam-fast features``: lines, tables, names, failures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result

import micam_fast
from micam_fast.analyses.features.features import strongest_features
from tests.helpers.commands import failure_line, succeeded, usage_error
from tests.helpers.models import make_model, random_array, single_conv

Run = Callable[..., Result]
ROWS = [f"cpu_{i}" for i in range(8)]
COLUMNS = [f"pid_{i}" for i in range(6)]


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Options with names for the 8 x 6 samples."""
    (tmp_path / "rows.txt").write_text("\n".join(ROWS))
    (tmp_path / "columns.txt").write_text("\n".join(COLUMNS))
    files = ["--row-names", tmp_path / "rows.txt", "--column-names", tmp_path / "columns.txt"]
    return [str(each) for each in files]


def lines(result: Result) -> list[str]:
    return succeeded(result).stdout.splitlines()


def test_lines_of_a_sample(run_cli: Run, cli_files: Path) -> None:
    result = run_cli("features", "net.onnx", "one.npy", "--top", "1", out=False)
    heading, *shown = lines(result)
    model = micam_fast.load_model(cli_files / "net.onnx")
    sample = np.load(cli_files / "one.npy")
    found = model.explain(sample).prediction
    assert found is not None
    assert heading == f"one.npy, class {found.index} ({found.probability:.4f})"
    features = strongest_features(model, sample, top=1)
    assert len(shown) == len(features) == 4
    for line, feature in zip(shown, features, strict=True):
        words = line.split()
        ((first, last),) = feature.rows
        assert words[0] == f"{feature.layer}:"
        assert words[1:3] == ["rows", f"{first}..{last}," if first != last else f"{first},"]
        assert words[-1] == f"{feature.value:+.3g}"
    # Everything stands in columns.
    assert len({line.index("rows") for line in shown}) == 1
    assert len({line.index("columns") for line in shown}) == 1
    assert len({line.rindex(line.split()[-1]) for line in shown}) == 1


def test_lines_by_name(run_cli: Run, names: list[str]) -> None:
    words = ("features", "net.onnx", "one.npy", "--top", "1", "--projection", "transposed")
    plain = lines(run_cli(*words, "--layers", "pool", out=False))[1]
    named = lines(run_cli(*words, "--layers", "pool", *names, out=False))[1]
    rows, columns = (plain.split()[place].rstrip(",").split("..") for place in (2, 4))
    assert named.split() == [
        "pool:",
        "rows",
        f"{ROWS[int(rows[0])]}..{ROWS[int(rows[1])]},",
        "columns",
        f"{COLUMNS[int(columns[0])]}..{COLUMNS[int(columns[1])]},",
        plain.split()[-1],
    ]


def test_names_follow_a_permutation(run_cli: Run, tmp_path: Path, names: list[str]) -> None:
    """The input layer's strongest cell keeps its names wherever it is fed."""
    sample = np.zeros((1, 8, 6), np.float32)
    sample[0, 5, 2] = -9
    np.save(tmp_path / "peak.npy", sample)
    words = ("features", "net.onnx", str(tmp_path / "peak.npy"), "--top", "1", "--layers", "x")
    for order in ([], ["--permute-columns", "seed:4", "--permute-rows", "seed:1"]):
        shown = lines(run_cli(*words, *names, *order, out=False))[1]
        assert shown.split() == ["x:", "rows", "cpu_5,", "columns", "pid_2,", "-9"]


def test_samples_that_fail_are_named(run_cli: Run) -> None:
    result = run_cli("features", "net.onnx", "one.npy", "wrong.npy", "one.npy", out=False)
    assert result.exit_code == 1
    assert result.stdout.count("one.npy") == 2
    assert "sample 1 (wrong.npy) skipped: shape (5, 7) does not fit" in result.stderr


def test_no_sample_at_all(run_cli: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    result = run_cli("features", "net.onnx", "wrong.npy", "--output", str(target), out=False)
    assert result.exit_code == 2
    assert "no sample was followed, 1 sample failed" in result.stderr
    assert not target.exists()


def test_a_folder_without_samples(run_cli: Run, tmp_path: Path) -> None:
    line = failure_line(run_cli("features", "net.onnx", str(tmp_path), out=False))
    assert line.endswith(f"no sample in {tmp_path}")


def test_a_sample_without_features_says_so(run_cli: Run, tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("MatMul", ["x", "weights"], ["y"], name="dense")]
    weights = {"weights": random_array(1, 4, 3)}
    onnx.save(make_model(nodes, {"x": ["n", 4]}, ["y"], weights), tmp_path / "flat.onnx")
    np.save(tmp_path / "x.npy", random_array(2, 4))
    words = [str(tmp_path / name) for name in ("flat.onnx", "x.npy")]
    _, *shown = lines(run_cli("features", *words, out=False))
    assert shown == ["  no spatial layer with a finite map"]


def test_a_table(run_cli: Run, cli_files: Path, tmp_path: Path, names: list[str]) -> None:
    target = tmp_path / "new" / "features.csv"
    (tmp_path / "labels.txt").write_text("good\nbad\nugly\n")
    words = ("features", "net.onnx", "batch.npy", "--top", "2", "--output", str(target), *names)
    result = run_cli(*words, "--labels", str(tmp_path / "labels.txt"), out=False)
    assert lines(result) == [f"wrote 24 features of 3 samples to {target}"]
    with target.open(newline="") as file:
        table = list(csv.DictReader(file))
    model = micam_fast.load_model(cli_files / "net.onnx")
    batch = np.load(cli_files / "batch.npy")
    found = [each for sample in batch for each in strongest_features(model, sample, top=2)]
    assert [row["label"] for row in table] == [w for w in ("good", "bad", "ugly") for _ in range(8)]
    for row, feature in zip(table, found, strict=True):
        assert row["layer"] == feature.layer
        assert (int(row["map_row"]), int(row["map_column"])) == (feature.row, feature.column)
        assert float(row["value"]) == feature.value
        first, last = feature.rows[0]
        assert row["rows"].startswith(ROWS[first])
        assert row["rows"].split(" and ")[0].endswith(ROWS[last])
        assert row["exact"] == "True"


def test_a_strip_has_columns_alone(run_cli: Run, tmp_path: Path) -> None:
    model = single_conv(random_array(1, 2, 3, 2), ["N", 3, 9])
    onnx.save(model, tmp_path / "series.onnx")
    np.save(tmp_path / "series.npy", random_array(2, 3, 9))
    words = [str(tmp_path / "series.onnx"), str(tmp_path / "series.npy")]
    _, *shown = lines(run_cli("features", *words, "--top", "1", out=False))
    assert len(shown) == 2
    assert all("columns" in line and "rows" not in line for line in shown)


def test_what_is_told_at_most_says_so(run_cli: Run, tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Col2Im", ["x", "size", "block"], ["y"], name="fold")]
    constants = {"size": np.array([4, 5]), "block": np.array([1, 5])}
    onnx.save(
        make_model(nodes, {"x": [1, 15, 4]}, ["y"], constants, opset=18), tmp_path / "fold.onnx"
    )
    np.save(tmp_path / "x.npy", random_array(1, 15, 4))
    words = [str(tmp_path / "fold.onnx"), str(tmp_path / "x.npy"), "--layers", "fold"]
    _, *shown = lines(run_cli("features", *words, out=False))
    assert shown
    assert all(line.endswith("  (at most)") for line in shown)


def test_a_cell_that_depends_on_nothing_and_a_label(run_cli: Run, tmp_path: Path) -> None:
    """A pad so wide that outer cells of the convolution see it alone."""
    bias = np.array([3], np.float32)
    model = single_conv(random_array(1, 1, 1, 1, 1), ["N", 1, 3, 3], bias, pads=[2, 2, 2, 2])
    onnx.save(model, tmp_path / "wide.onnx")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 3), np.float32))
    (tmp_path / "labels.txt").write_text("calm\n")
    words = [str(tmp_path / name) for name in ("wide.onnx", "x.npy")]
    given = ["--labels", str(tmp_path / "labels.txt"), "--top", "1", "--layers", "conv"]
    heading, line = lines(run_cli("features", *words, *given, out=False))
    assert heading.startswith("x.npy, label calm")
    assert line.split()[:4] == ["conv:", "no", "input", "cell,"]


def test_wrong_options(run_cli: Run, tmp_path: Path, names: list[str]) -> None:
    assert "give at least one sample" in usage_error(run_cli("features", "net.onnx", out=False))
    few = tmp_path / "few.txt"
    few.write_text("a\nb\n")
    words = ("features", "net.onnx", "one.npy")
    line = failure_line(run_cli(*words, "--row-names", str(few), out=False))
    assert f"{few} names 2 rows, the model's input has 8 rows" in line
    assert "is not in the range" in usage_error(run_cli(*words, "--top", "0", out=False))
    line = failure_line(run_cli(*words, "--output", "net.onnx/out.csv", out=False))
    assert "cannot write to folder net.onnx" in line
    line = failure_line(run_cli(*words, "--output", str(tmp_path), out=False))
    assert f"cannot write {tmp_path}: it is a folder" in line


def test_names_of_another_size_than_an_open_model_is_fed(run_cli: Run, tmp_path: Path) -> None:
    onnx.save(single_conv(random_array(1, 2, 1, 2, 2), ["N", 1, "H", "W"]), tmp_path / "open.onnx")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    words = (str(tmp_path / "open.onnx"), "one.npy", "--column-names", str(tmp_path / "names.txt"))
    result = run_cli("features", *words, out=False)
    assert result.exit_code == 2
    assert "3 columns are named, the sample has 6 columns" in result.stderr

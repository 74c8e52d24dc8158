"""The command ``stats``: its files, what it says, its exit codes."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result

from micam_fast import load_model
from micam_fast.analyses.statistics import stats
from tests.helpers import models
from tests.helpers.commands import failure_line, names, succeeded, usage_error
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.models import random_array
from tests.helpers.tfrecord_files import record, write_file

Run = Callable[..., Result]


@pytest.fixture
def run(run_cli: Run, tmp_path: Path) -> Run:
    """The command on the files of `cli_files`, writing to ``out`` in `tmp_path`."""

    def run_it(*words: str, output: str = "stats.csv") -> Result:
        return run_cli("stats", *words, "--output", str(tmp_path / "out" / output), out=False)

    return run_it


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_of_all_layers(run: Run, cli_files: Path, cli_out: Path) -> None:
    result = succeeded(run("net.onnx", "batch.npy", "one.npy"))
    assert names(cli_out) == ["stats.csv"]
    rows = table(cli_out / "stats.csv")
    samples = [*np.load(cli_files / "batch.npy"), np.load(cli_files / "one.npy")]
    expected = stats(load_model(cli_files / "net.onnx"), samples)
    assert [row["layer"] for row in rows] == [row.layer for row in expected.rows]
    assert [float(row["energy"]) for row in rows] == [row.energy for row in expected.rows]
    assert result.stdout.startswith("layers that cost most and extract least, all samples:\n")
    assert result.stdout.endswith(f"wrote {cli_out / 'stats.csv'} for 4 samples\n")


def test_classes_of_a_file(run: Run, cli_out: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n=dog\ncat\n")
    result = succeeded(run("net.onnx", "batch.npy", "--by", str(labels)))
    rows = table(cli_out / "stats.csv")
    # A label that a spreadsheet would run is quoted.
    assert [row["class"] for row in rows[::7]] == ["", "'=dog", "cat"]
    assert [row["samples"] for row in rows[::7]] == ["3", "1", "2"]
    assert "label" not in result.stderr


def test_too_few_labels_are_told(run: Run, cli_out: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n")
    result = succeeded(run("net.onnx", "batch.npy", "--by", str(tmp_path / "labels.txt")))
    assert result.stderr.splitlines()[-1] == "micam-fast: note: 1 label for 3 samples"
    assert [row["samples"] for row in table(cli_out / "stats.csv")[::7]] == ["3", "1"]


def test_no_labels_are_told(run: Run, cli_out: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").touch()
    result = succeeded(run("net.onnx", "batch.npy", "--by", str(tmp_path / "labels.txt")))
    assert "note: 0 labels for 3 samples" in result.stderr


def test_labels_that_no_sample_carries(run: Run) -> None:
    result = succeeded(run("net.onnx", "batch.npy", "--by", "label"))
    assert "note: no sample carries a label; there are no classes" in result.stderr


def test_classes_of_folders(run: Run, cli_out: Path, tmp_path: Path) -> None:
    for name, folder in enumerate(("cat", "dog", "cat")):
        (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / folder / f"{name}.npy", random_array(name, 1, 8, 6))
    succeeded(run("net.onnx", str(tmp_path / "data" / "*" / "*.npy"), "--by", "folder"))
    rows = table(cli_out / "stats.csv")
    assert [row["class"] for row in rows[::7]] == ["", "cat", "dog"]
    assert [row["samples"] for row in rows[::7]] == ["3", "2", "1"]


def test_a_file_of_labels_may_be_named_folder(
    run: Run, cli_files: Path, cli_out: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").write_text("a\nb\na\n")
    succeeded(run("net.onnx", "batch.npy", "--by", str(tmp_path / "folder")))
    assert [row["class"] for row in table(cli_out / "stats.csv")[::7]] == ["", "a", "b"]
    succeeded(run("net.onnx", "one.npy", "--by", "folder"))
    assert table(cli_out / "stats.csv")[-1]["class"] == cli_files.name


def test_the_samples_that_excite_most(run: Run, cli_files: Path, cli_out: Path) -> None:
    batch = np.load(cli_files / "batch.npy")
    succeeded(run("net.onnx", "batch.npy", "one.npy", "--top-samples", "2"))
    row = table(cli_out / "stats.csv")[0]
    energies = [float((each.astype(np.float64) ** 2).mean()) for each in batch]
    strongest = row["strongest"].split("; ")
    assert len(strongest) == len(row["weakest"].split("; ")) == 2
    assert strongest[0] == f"batch.npy[{int(np.argmax(energies))}]"
    succeeded(run("net.onnx", "batch.npy"))
    assert table(cli_out / "stats.csv")[0]["strongest"] == ""


def test_a_page_of_tables(run: Run, cli_out: Path) -> None:
    succeeded(run("net.onnx", "batch.npy", "--top-samples", "1", output="stats.html"))
    text = (cli_out / "stats.html").read_text()
    assert text.count("<img") == 7 * 2
    assert "batch.npy" in text


@needs_tensorflow
def test_classes_of_records(run: Run, cli_out: Path, tmp_path: Path) -> None:
    samples = [random_array(seed, 48) for seed in range(3)]
    records = [record(sample, label) for sample, label in zip(samples, (1, 0, 1), strict=True)]
    path = write_file(tmp_path / "a.tfrecord", records)
    succeeded(run("net.onnx", str(path), "--by", "label"))
    rows = table(cli_out / "stats.csv")
    assert [row["class"] for row in rows[::7]] == ["", "0", "1"]
    assert [row["samples"] for row in rows[::7]] == ["3", "1", "2"]
    assert float(rows[7]["max"]) == samples[1].max()


def test_diagrams_of_all_samples(run: Run, cli_out: Path) -> None:
    succeeded(run("net.onnx", "batch.npy", "--diagram", str(cli_out / "mean.svg")))
    assert names(cli_out) == ["mean.svg", "mean_deviation.svg", "stats.csv"]
    assert "mean of 3 samples" in (cli_out / "mean.svg").read_text()
    assert "deviation of 3 samples" in (cli_out / "mean_deviation.svg").read_text()


def test_means_and_deviations_are_posters_where_they_are_asked_for(run: Run, cli_out: Path) -> None:
    given = ("--drawing", "poster", "--page", "600x500")
    succeeded(run("net.onnx", "batch.npy", "--diagram", str(cli_out / "mean.svg"), *given))
    for name, said in (("mean.svg", "mean of"), ("mean_deviation.svg", "deviation of")):
        text = (cli_out / name).read_text()
        assert 'width="600"' in text
        assert f">{said} 3 samples<" in text
        assert "in the order of the page" in text


def test_diagrams_of_classes(run: Run, cli_out: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("3\na/b\na b\n")
    given = ("--by", str(tmp_path / "labels.txt"), "--diagram", str(cli_out / "mean.npz"))
    succeeded(run("net.onnx", "batch.npy", *given))
    assert names(cli_out) == [
        "mean_class-3.npz", "mean_class-3_deviation.npz",
        "mean_class-a_b-2.npz", "mean_class-a_b.npz",
        "mean_class-a_b_deviation-2.npz", "mean_class-a_b_deviation.npz",
        "stats.csv",
    ]  # fmt: skip


def test_classes_whose_files_some_systems_take_as_one(
    run: Run, cli_out: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("x_deviation\nX\nx\n")
    given = ("--by", str(tmp_path / "labels.txt"), "--diagram", str(cli_out / "mean.npz"))
    succeeded(run("net.onnx", "batch.npy", *given))
    assert len({name.lower() for name in names(cli_out)}) == 7


def test_a_sample_that_fails(run: Run, cli_out: Path) -> None:
    result = run("net.onnx", "wrong.npy", "one.npy")
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if "error" in line]
    assert line.startswith("micam-fast: error: sample 0 (wrong.npy) skipped: ")
    assert table(cli_out / "stats.csv")[0]["samples"] == "1"


def test_no_sample_that_works(run: Run, cli_out: Path) -> None:
    line = failure_line(run("net.onnx", "wrong.npy"))
    assert "no sample could be measured; sample 0: " in line
    assert not cli_out.exists()


def test_a_bound_that_holds_no_covariance(run: Run) -> None:
    result = succeeded(run("net.onnx", "batch.npy", "--memory", "100"))
    assert (
        "note: no effective rank of 7 layers (conv, dense, flatten and 4 more): the covariance "
        "does not fit the memory bound" in result.stderr
    )


def test_values_that_are_not_finite(run: Run, tmp_path: Path) -> None:
    sample = np.ones((1, 8, 6), np.float32)
    sample[0, 3, 3] = np.nan
    np.save(tmp_path / "stray.npy", sample)
    result = succeeded(run("net.onnx", str(tmp_path / "stray.npy"), "one.npy"))
    assert "are NaN or infinite and left out (first in x)" in result.stderr


def test_thresholds_and_positions(run: Run, cli_out: Path) -> None:
    given = ("--dead-threshold", "1e9", "--rank-positions", "0", "--layers", "conv")
    result = succeeded(run("net.onnx", "batch.npy", *given))
    (row,) = table(cli_out / "stats.csv")
    assert (row["dead_channels"], row["effective_rank"]) == ("1.0", "")
    assert "wholly dead: conv" in result.stdout


def test_parquet(run: Run, cli_out: Path) -> None:
    pytest.importorskip("pyarrow")
    succeeded(run("net.onnx", "one.npy", output="stats.parquet"))
    assert (cli_out / "stats.parquet").read_bytes()[:4] == b"PAR1"


def test_wrong_names(run: Run) -> None:
    line = failure_line(run("net.onnx", "one.npy", output="stats.txt"))
    assert line.endswith("stats.txt: its name must end in one of .html, .csv, .json, .parquet")
    given = ("--diagram", "mean.gif")
    assert "'mean.gif' must end in one of .png, .svg" in usage_error(
        run("net.onnx", "one.npy", *given)
    )
    assert "give at least one sample" in usage_error(run("net.onnx"))
    assert "cannot read labels none.txt" in failure_line(
        run("net.onnx", "one.npy", "--by", "none.txt")
    )


def test_a_folder_in_the_place_of_an_output(run: Run, cli_out: Path) -> None:
    (cli_out / "stats.csv").mkdir(parents=True)
    assert "stats.csv: it is a folder" in failure_line(run("net.onnx", "one.npy"))
    (cli_out / "mean.svg").mkdir()
    words = ("net.onnx", "one.npy", "--diagram", str(cli_out / "mean.svg"))
    assert "mean.svg: it is a folder" in failure_line(run(*words, output="other.csv"))


def test_what_is_missing_is_told_first(
    run: Run, cli_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyarrow", "bokeh", "bokeh.models"):
        monkeypatch.setitem(sys.modules, name, None)
    line = failure_line(run("none.onnx", "one.npy", output="stats.parquet"))
    assert "pip install 'micam-fast[parquet]'" in line
    line = failure_line(run("none.onnx", "one.npy", "--diagram", str(cli_out / "mean.html")))
    assert "pip install 'micam-fast[view]'" in line


def test_a_threshold_is_a_number(run: Run) -> None:
    line = usage_error(run("net.onnx", "one.npy", "--dead-threshold", "nan"))
    assert "'nan'" in line


def test_an_empty_folder(run: Run) -> None:
    assert failure_line(run("net.onnx", "empty")).endswith("there is no sample to measure")


def test_names_stay_in_their_line(run: Run, tmp_path: Path) -> None:
    proto = models.conv_net()
    proto.graph.node[0].name = "conv\n\x1b[31m"
    onnx.save(proto, tmp_path / "odd.onnx")
    result = succeeded(run(str(tmp_path / "odd.onnx"), "one.npy"))
    assert all(x.isprintable() for x in result.stdout.splitlines())
    assert r"conv\n\x1b[31m  " in result.stdout


def test_modules_have_a_table_and_a_file(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    proto = onnx.load(cli_files / "net.onnx")
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    (kernel,) = (each for each in proto.graph.initializer if each.name == conv.input[1])
    conv.input[1] = kernel.name = "stage.0.conv.weight"
    onnx.save(proto, tmp_path / "staged.onnx")
    sample = str(cli_files / "one.npy")
    result = succeeded(run(str(tmp_path / "staged.onnx"), sample))
    assert "modules, all samples:\nmodule " in result.stdout
    files = [cli_out / name for name in ("stats.csv", "stats_modules.csv")]
    assert result.stdout.endswith(f"wrote {files[0]}, {files[1]} for 1 sample\n")
    assert [row["module"] for row in table(files[1])] == ["stage", "stage.0"]
    assert table(files[0])[1]["module"] == "stage.0"

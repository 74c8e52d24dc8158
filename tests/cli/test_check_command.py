"""The command ``check``: its files, what it says, its exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from micam_fast import demo, load_model
from micam_fast.analyses.checks import check
from micam_fast.cli.commands.check import check as command
from tests.helpers.commands import failure_line, names, succeeded, usage_error

Run = Callable[..., Result]


@pytest.fixture
def run(run_cli: Run, tmp_path: Path) -> Run:
    """The command on the files of `cli_files`, writing to ``out`` in `tmp_path`."""
    (tmp_path / "out").mkdir()

    def run_it(*words: str, output: str = "check.csv") -> Result:
        return run_cli("check", *words, "--output", str(tmp_path / "out" / output), out=False)

    return run_it


def test_tables_and_files(run: Run, cli_files: Path, cli_out: Path, tmp_path: Path) -> None:
    result = succeeded(run("net.onnx", "batch.npy", "one.npy"))
    samples = [*np.load(cli_files / "batch.npy"), np.load(cli_files / "one.npy")]
    expected = check(load_model(cli_files / "net.onnx"), samples)
    files = [cli_out / f"check{end}.csv" for end in ("", "_steps", "_curves")]
    assert names(cli_out) == sorted(path.name for path in files)
    written = f"wrote {', '.join(map(str, files))}"
    assert result.stdout.splitlines() == [*str(expected).splitlines(), "", written]
    assert result.stderr == "micam-fast: note: input 'x': taken as nchw\n"
    for path in expected.save(tmp_path / "check.csv"):
        assert (cli_out / path.name).read_bytes() == path.read_bytes()


def test_options_reach_the_check(run: Run, cli_files: Path, cli_out: Path, tmp_path: Path) -> None:
    given = ("--seed", "7", "--draws", "1", "--steps", "1", "--projection", "transposed")
    succeeded(run("net.onnx", "one.npy", *given, "--layers", "conv,dense", output="a.CSV"))
    model = load_model(cli_files / "net.onnx", layers="conv,dense")
    sample = np.load(cli_files / "one.npy")
    expected = check(model, [sample], projection="transposed", steps=1, draws=1, seed=7)
    assert expected.cascade.layers == ("conv", "dense")
    paths = expected.save(tmp_path / "a.CSV")
    assert names(cli_out) == sorted(path.name for path in paths)
    for path in paths:
        assert (cli_out / path.name).read_bytes() == path.read_bytes()


def test_defaults_are_those_of_the_library() -> None:
    given = {option.name: option.default for option in command.params}
    known = {name: each.default for name, each in inspect.signature(check).parameters.items()}
    for name in ("projection", "steps", "draws", "seed"):
        assert given[name] == known[name]


def test_a_model_without_classes(run: Run, cli_out: Path) -> None:
    result = succeeded(run("image.onnx", "one.npy"))
    assert "No deletion and insertion: no output is known to say classes" in result.stdout
    assert names(cli_out) == ["check.csv", "check_steps.csv"]


def test_some_samples_fail(run: Run, cli_out: Path) -> None:
    result = run("net.onnx", "one.npy", "wrong.npy")
    assert result.exit_code == 1
    assert "micam-fast: error: sample 1 (wrong.npy) skipped: shape (5, 7) does" in result.stderr
    assert "mean over 1 sample and" in result.stdout
    assert (cli_out / "check.csv").exists()


def test_all_samples_fail(run: Run, cli_out: Path) -> None:
    assert "shape (5, 7) does not fit" in failure_line(run("net.onnx", "wrong.npy"))
    assert "no sample in empty" in failure_line(run("net.onnx", "empty"))
    assert names(cli_out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("net.onnx",), "give at least one sample"),
        (("net.onnx", "one.npy", "--steps", "0"), "Invalid value for '--steps'"),
        (("net.onnx", "one.npy", "--draws", "none"), "Invalid value for '--draws'"),
        (("net.onnx", "one.npy", "--seed", "-1"), "Invalid value for '--seed'"),
        (("net.onnx", "one.npy", "--layers", "conv", "--to", "relu"), "choose one of --layers"),
    ],
)
def test_wrong_use(run: Run, words: tuple[str, ...], said: str) -> None:
    assert said in usage_error(run(*words))


def test_the_output_is_checked_first(run: Run, run_cli: Run, cli_files: Path) -> None:
    assert "'out.txt' must end in .csv" in usage_error(
        run_cli("check", "net.onnx", "one.npy", "--output", "out.txt", out=False)
    )
    under_a_file = str(cli_files / "one.npy" / "check.csv")
    result = run_cli("check", "net.onnx", "one.npy", "--output", under_a_file, out=False)
    assert "one.npy is a file" in failure_line(result)


def test_what_it_says_of_the_demo(run: Run) -> None:
    """What the guide says (check.md)."""
    result = succeeded(run(str(demo.MODEL), str(demo.DIGITS)))
    text = " ".join(result.stdout.split())
    kept = "5 of 11 maps: relu_1, pool_1, conv_2, relu_2, pool_2."
    assert f"more than what was learned: {kept}" in text
    changed = "6 of 11 maps: conv_1, flatten, dense_1, relu_3, dense_2, softmax."
    assert f"Changed with the weights: {changed}" in text
    assert "Better than random order for most samples, both ways: image, relu_1." in text
    assert "Not for most samples, or one way only: conv_1." in text


def test_a_folder_that_is_not_there_yet(run_cli: Run, tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder" / "check.csv"
    succeeded(run_cli("check", "image.onnx", "one.npy", "--output", str(output), out=False))
    assert names(output.parent) == ["check.csv", "check_steps.csv"]


def test_a_folder_in_the_place_of_the_output(run: Run, cli_out: Path) -> None:
    (cli_out / "check.csv").mkdir()
    assert "check.csv: it is a folder" in failure_line(run("net.onnx", "one.npy"))


def test_curves_of_an_earlier_run_go(run: Run, cli_out: Path) -> None:
    succeeded(run("net.onnx", "one.npy", "--draws", "1"))
    assert "check_curves.csv" in names(cli_out)
    succeeded(run("image.onnx", "one.npy", "--draws", "1"))
    assert names(cli_out) == ["check.csv", "check_steps.csv"]

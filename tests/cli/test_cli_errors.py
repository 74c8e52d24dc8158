"""The command line on bad input: one clear line, exit 2, nothing half-written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from tests.helpers import models
from tests.helpers.commands import failure_line, names, succeeded, usage_error


class TestBadInput:
    """The issue's list: one clear line, exit 2, nothing half-written."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["text.onnx", "one.npy"], r"text\.onnx is not an ONNX file"),
            (["empty.onnx", "one.npy"], r"empty\.onnx is not an ONNX file"),
            (["half.onnx", "one.npy"], r"half\.onnx is not an ONNX file"),
            (["colour.png", "one.npy"], r"colour\.png is not an ONNX file"),
            (["missing.onnx", "one.npy"], r"cannot read model missing\.onnx: No such file"),
            (["empty", "one.npy"], r"cannot read model empty: Is a directory"),
            (["strange.onnx", "one.npy"], r"onnxruntime refuses model 'strange': .*Frobnicate"),
            (["net.onnx", "one.npy", "--layers", "cnov"], r"'cnov' \(near names: conv"),
            (
                ["net.onnx", "wrong.npy"],
                r"wrong\.npy.*shape \(5, 7\) does not fit input 'x' of shape \(1, 8, 6\).*layout",
            ),
            (["net.onnx", "truncated.png"], r"truncated\.png.*image file is truncated"),
            (["net.onnx", "no_picture.png"], r"no_picture\.png is no picture that can be read"),
            (["net.onnx", "missing.png"], r"cannot read missing\.png: No such file or directory"),
            (["net.onnx", "objects.npy"], r"objects\.npy holds Python objects, .* never unpickled"),
            (
                ["net.onnx", "one.npy", "--engine", "/no/such/dot"],
                r"no Graphviz program at /no/such/dot; install .*pip install graphviz-pure",
            ),
            (
                ["net.onnx", "one.npy", "--engine", "/no/such/dot", "--format", "npz,svg,dot"],
                r"no Graphviz program at /no/such/dot",
            ),
            (
                ["net.onnx", "one.npy", "--engine", "./failing_engine"],
                r"failing_engine failed with exit code 3: too hard",
            ),
            (["net.onnx", "one.npy", "--engine", "./mute_engine"], r"failed with exit code 4\b"),
            (["net.onnx", "one.npy", "--engine", "./silent_engine"], r"silent_engine\b"),
            (["net.onnx", "one.npy", "--engine", "./odd_engine"], r"cannot run .*odd_engine"),
        ],
    )
    def test_one_line_and_nothing_left(
        self,
        run_cli: Callable[..., Result],
        cli_out: Path,
        capfd: pytest.CaptureFixture[str],
        words: list[str],
        said: str,
    ) -> None:
        line = failure_line(run_cli("plot", *words))
        assert re.search(said, line), line
        assert not cli_out.exists()
        assert capfd.readouterr() == ("", ""), "printed past Python's streams"

    @pytest.mark.parametrize("place", ["file", "file/below"])
    def test_an_output_folder_that_cannot_be_written(
        self, run_cli: Callable[..., Result], tmp_path: Path, place: str
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        path = tmp_path / place
        line = failure_line(
            run_cli("plot", "net.onnx", "one.npy", "--output-dir", str(path), out=False)
        )
        assert f"cannot write to folder {path}: " in line
        assert names(tmp_path) == ["file"]
        assert (tmp_path / "file").read_text() == "in the way"

    def test_an_output_folder_that_cannot_be_written_by_the_demo(
        self, run_cli: Callable[..., Result], tmp_path: Path
    ) -> None:
        (tmp_path / "out").write_text("in the way")
        assert "cannot write to folder " in failure_line(run_cli("demo"))

    def test_no_engine_anywhere(
        self, run_cli: Callable[..., Result], cli_out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/no/such/folder")
        monkeypatch.setattr(
            "micam_fast.diagrams.layout.sysconfig.get_path", lambda name: "/no/such/folder"
        )
        line = failure_line(run_cli("plot", "net.onnx", "one.npy", "--layout", "nchw"))
        assert "pip install graphviz-pure" in line
        assert not cli_out.exists()

    def test_bad_samples_in_a_batch_are_skipped(
        self, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        samples = ("wrong.npy", "one.npy", "missing.npy", "truncated.png", "batch.npy")
        result = run_cli("plot", "net.onnx", *samples, "--format", "npz", "--layout", "nchw")
        assert result.exit_code == 1
        lines, table = result.stderr.splitlines()[:3], result.stderr.splitlines()[3:]
        assert table[0] == "3 of 7 samples failed:"
        assert [line.split()[:2] for line in table[1:]] == [
            ["sample", "name"], ["0", samples[0]], ["2", samples[2]], ["3", samples[3]]
        ]  # fmt: skip
        for line, index, name in zip(lines, (0, 2, 3), (samples[0], *samples[2:4]), strict=True):
            assert line.startswith("micam-fast: ")
            assert f"sample {index} ({name}) skipped: " in line
        assert [re.sub(r"_pred.*", "", name) for name in names(cli_out)] == [
            "net_sample-1",
            "net_sample-4",
            "net_sample-5",
            "net_sample-6",
        ]
        assert "wrote 4 files (npz) for 4 samples to " in result.stdout

    def test_all_bad_in_a_batch(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        result = run_cli("plot", "net.onnx", "wrong.npy", "missing.npy")
        assert result.exit_code == 2
        assert "sample 0 (wrong.npy)" in result.stderr
        assert "sample 1 (missing.npy)" in result.stderr
        assert "2 of 2 samples failed:" in result.stderr
        assert result.stdout == ""
        assert names(cli_out) == []
        told = (cli_out / "manifest.jsonl").read_text().splitlines()
        assert [json.loads(line)["name"] for line in told[1:]] == ["wrong.npy", "missing.npy"]

    def test_a_file_name_with_a_line_break_stays_on_one_line(
        self, run_cli: Callable[..., Result], tmp_path: Path
    ) -> None:
        path = tmp_path / "a\nb.npy"
        np.save(path, models.random_array(1, 5, 7))
        result = run_cli(
            "plot", "net.onnx", str(path), "one.npy", "--layout", "nchw", "--format", "npz"
        )
        assert result.exit_code == 1
        line, *table = result.stderr.splitlines()
        assert "sample 0 (a" in line
        assert len(table) == 3

    def test_unknown_commands_and_options(self, run_cli: Callable[..., Result]) -> None:
        assert "No such command 'plto'" in usage_error(run_cli("plto", out=False))
        assert "--colour" in usage_error(run_cli("plot", "net.onnx", "one.npy", "--colour"))


@pytest.mark.parametrize("command", ["plot", "view"])
def test_a_failed_sample_s_name_cannot_drive_the_terminal(
    command: str, cli_files: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "\x1b[31mred.npy"
    hostile.write_bytes((cli_files / "wrong.npy").read_bytes())
    out = ("--output-dir" if command == "plot" else "--output", str(tmp_path / "out"))
    words = (command, str(cli_files / "net.onnx"), str(hostile), *out)
    result = CliRunner().invoke(cli.main, [*words], prog_name="micam-fast")
    assert "sample 0 (\\x1b[31mred.npy) skipped" in result.stderr
    assert "\x1b" not in result.stderr


def test_nor_can_that_of_one_that_was_written(cli_files: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[31mred.npy"
    hostile.write_bytes((cli_files / "one.npy").read_bytes())
    words = ("plot", str(cli_files / "net.onnx"), str(hostile), "--format", "npz")
    result = CliRunner().invoke(cli.main, [*words, "--output-dir", str(tmp_path / "out")])
    assert "sample 0 (\\x1b[31mred.npy): net_sample-0" in succeeded(result).stdout
    assert "\x1b" not in result.stdout

"""A bar on a terminal, plain lines in a pipe, a table of where the time went."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from numba import njit

from micam_fast._loops.compiling import when_compiling
from micam_fast.cli.progress import report_profile
from micam_fast.runs.summary import RunSummary
from tests.helpers.commands import only, succeeded
from tests.helpers.terminal import on_terminal, without_escapes


class TestTerminal:
    """A bar on a terminal, plain lines in a pipe."""

    def test_a_bar(self, cli_files: Path, tmp_path: Path) -> None:
        words = ("plot", "net.onnx", "batch.npy", "--format", "npz", "--output-dir", tmp_path)
        code, shown = on_terminal(words, cli_files)
        assert code == 0
        assert "━" in shown
        assert "3 samples" in shown
        assert "wrote 3 files (npz) for 3 samples to " in shown
        assert "sample 0 (batch.npy[0]):" not in shown

    def test_a_note_stands_above_the_bar(self, cli_files: Path, tmp_path: Path) -> None:
        words = ("plot", "net.onnx", "batch.npy", "--format", "npz", "--output-dir", tmp_path)
        _, shown = on_terminal(words, cli_files)
        # The line of the bar is cleared before the note is written over it.
        assert re.search(r"\x1b\[2K\r?micam-fast: note: input 'x': taken as nchw", shown)

    def test_the_count_never_goes_back(self, cli_files: Path, tmp_path: Path) -> None:
        words = ("plot", "net.onnx", "one.npy", "wrong.npy", "batch.npy", "--format", "npz")
        code, shown = on_terminal((*words, "--output-dir", tmp_path), cli_files)
        assert code == 1
        counts = [int(count) for count in re.findall(r"(\d+) samples ━", without_escapes(shown))]
        assert counts == sorted(counts)

    def test_a_bad_sample_is_one_line_on_a_narrow_terminal(
        self, cli_files: Path, tmp_path: Path
    ) -> None:
        """The terminal itself wraps; a break put in would stay in what is copied."""
        words = ("plot", "net.onnx", "one.npy", "wrong.npy", "--format", "npz")
        code, shown = on_terminal((*words, "--output-dir", tmp_path), cli_files)
        assert code == 1
        assert re.search(
            r"micam-fast: .*sample 1 \(wrong\.npy\) skipped: shape \(5, 7\) does not fit input 'x' "
            r"of shape \(1, 8, 6\) \(layout assumed: [^\r\n]*\)\r?\n",
            without_escapes(shown),
        )

    def test_standard_output_in_a_file_is_plain(self, cli_files: Path, tmp_path: Path) -> None:
        words = ("plot", "net.onnx", "batch.npy", "--format", "npz", "--output-dir", tmp_path / "o")
        with (tmp_path / "log").open("wb") as log:
            code, shown = on_terminal(words, cli_files, stdout=log.fileno())
        assert code == 0
        assert "━" in shown
        said = (tmp_path / "log").read_text()
        assert "\x1b" not in said
        assert "wrote 3 files (npz) for 3 samples" in said

    def test_the_cursor_is_shown_again_after_an_error(
        self, cli_files: Path, tmp_path: Path
    ) -> None:
        words = ("plot", "net.onnx", "one.npy", "--format", "npz", "--output-dir", tmp_path)
        assert on_terminal(words, cli_files)[0] == 0
        # Now a folder is in the way of the file.
        path = only(tmp_path, "*.npz")
        path.unlink()
        path.mkdir()
        code, shown = on_terminal(words, cli_files)
        assert code == 2
        assert -1 < shown.rfind("\x1b[?25l") < shown.rfind("\x1b[?25h")
        assert f"micam-fast: error: cannot write {path}" in shown.replace("\r\n", "")


class TestProfile:
    """Where the time went."""

    @staticmethod
    def said(seconds: dict[str, float], capsys: pytest.CaptureFixture[str], **counts: int) -> str:
        summary = RunSummary()
        summary.written, summary.failed = counts.get("written", 0), counts.get("failed", 0)
        summary.stages.seconds = seconds
        report_profile(summary, counts.get("threads", 2))
        return capsys.readouterr().out

    def test_a_line_for_each_stage(self, capsys: pytest.CaptureFixture[str]) -> None:
        seconds = {"load the model": 1.5, "lay out": 0.25, "forward pass": 0.5, "write png": 2.0}
        first, head, *lines = self.said(seconds, capsys, written=9, failed=1).splitlines()
        assert re.fullmatch(r"time by stage, over 2 threads; \d+\.\d\d s passed in all", first)
        assert head.split() == ["stage", "seconds", "ms", "a", "sample", "forward", "passes"]
        # What is done once has no time a sample; 10 samples took 0.5 s and 2 s.
        assert [line.split() for line in lines] == [
            ["load", "the", "model", "1.500"],
            ["lay", "out", "0.250"],
            ["forward", "pass", "0.500", "50.00", "1.00"],
            ["write", "png", "2.000", "200.00", "4.00"],
        ]
        assert len({len(line) for line in (head, *lines[2:])}) == 1

    def test_nothing_was_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        said = self.said({"read samples": 0.1, "forward pass": 0.0}, capsys, threads=1)
        assert "over 1 thread;" in said
        assert said.splitlines()[2].split() == ["read", "samples", "0.100"]
        assert "inf" not in said
        assert self.said({}, capsys).count("\n") == 2

    @pytest.mark.parametrize("threads", ["1", "2"])
    def test_of_a_run(self, run_cli: Callable[..., Result], threads: str) -> None:
        words = ("plot", "net.onnx", "batch.npy", "wrong.npy", "--format", "png,svg,npz")
        result = run_cli(*words, "--profile", "--threads", threads)
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        (begin,) = [n for n, line in enumerate(lines) if line.startswith("time by stage, over")]
        assert f"over {threads} thread" in lines[begin]
        assert lines[begin - 1].startswith("wrote 9 files")
        rows = {line[:16].strip(): line[16:].split() for line in lines[begin + 2 :]}
        assert set(rows) == {
            "load the model", "lay out", "read samples", "forward pass", "maps", "colours",
            "write png", "write svg", "write npz",
        }  # fmt: skip
        for name, numbers in rows.items():
            assert len(numbers) == (1 if name in ("load the model", "lay out") else 3)
            assert all(float(number) >= 0 for number in numbers)
        assert rows["forward pass"][2] == "1.00"

    def test_without_it_nothing_is_said(self, run_cli: Callable[..., Result]) -> None:
        result = succeeded(run_cli("plot", "net.onnx", "one.npy", "--format", "npz"))
        assert "time by stage" not in result.output

    def test_of_a_run_that_could_not_write(
        self, run_cli: Callable[..., Result], tmp_path: Path
    ) -> None:
        (tmp_path / "out").touch()
        result = run_cli("plot", "net.onnx", "one.npy", "--profile")
        assert result.exit_code == 2
        assert "Traceback" not in result.output
        assert len(result.stderr.splitlines()) == 1


class TestCompiling:
    """A word before the loops are compiled."""

    @staticmethod
    def fresh() -> Any:
        return njit(lambda value: value * 2)

    def test_it_is_said_once_and_before(self) -> None:
        said: list[int] = []
        one, other = self.fresh(), self.fresh()
        signatures: list[int] = []

        def say() -> None:
            said.append(1)
            signatures.append(len(one.signatures))

        with when_compiling(say):
            assert not said
            assert one(2) == 4
            assert other(3) == 6
        assert said == [1]
        assert signatures == [0]

    def test_what_is_compiled_is_not_announced(self) -> None:
        said: list[int] = []
        known = self.fresh()
        known(1)
        with when_compiling(lambda: said.append(1)):
            known(2)
        assert not said

    def test_after_an_error_nothing_is_said_any_more(self) -> None:
        said: list[int] = []
        with pytest.raises(ZeroDivisionError, match="stop"), when_compiling(lambda: said.append(1)):
            raise ZeroDivisionError("stop")
        self.fresh()(1)
        assert not said

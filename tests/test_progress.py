"""A bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.commands import (
    COMMAND,
)


def on_terminal(
    words: Sequence[str | Path], cwd: Path, *, stdout: int | None = None, width: int = 80
) -> tuple[int, str]:
    """Run the command with its standard error on a terminal; the exit code and what it showed."""
    leader, follower = pty.openpty()
    environment: Mapping[str, str] = {
        **{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")},
        "TERM": "xterm",
        "COLUMNS": str(width),
    }
    process = subprocess.Popen(
        [COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=follower if stdout is None else stdout,
        stderr=follower,
        cwd=cwd,
        env=environment,
    )
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(timeout=60), shown.decode()


def without_escapes(text: str) -> str:
    """Terminal output without its colours and cursor moves."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)


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
        (tmp_path / "file").touch()
        words = ("plot", "net.onnx", "one.npy", "--output-dir", tmp_path / "file")
        code, shown = on_terminal(words, cli_files)
        assert code == 2
        assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
        assert "micam-fast: error: cannot write to folder" in shown

"""A process of its own: what is handed over, and what is said of one that ends without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast.api import program_process
from micam_fast.api.export_report import ExportReport, LayerError
from micam_fast.api.program_process import (
    export_apart,
    read_request,
    write_request,
)
from micam_fast.core.errors import ExportError, MissingExtraError


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV$"),
        ("import os; os.kill(os.getpid(), 9)", r"was ended by SIGKILL \(.*memory runs out\)$"),
        ("import sys; sys.exit(3)", "ended with code 3: it said nothing$"),
        ("raise ValueError('a\\nb')", "ended with code 1: b$"),
        ("pass", "ended with code 0: it said nothing$"),
    ],
)
def test_a_process_that_leaves_no_report_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(program_process, "_CODE", code)
    with pytest.raises(ExportError, match=rf"^cannot export net\.pt2: PyTorch's process {said}"):
        export_apart(tmp_path / "net.pt2", tmp_path / "x.onnx", None)


def writing(found: Any) -> str:
    """Code that reports what was found."""
    return (
        "import sys; sys.path[:] = sys.argv[2:]\n"
        "from pathlib import Path, PosixPath\n"
        "from micam_fast.core.errors import *\n"
        "from micam_fast.api.program_process import *\n"
        "from micam_fast.api.export_report import *\n"
        f"write_report(Path(sys.argv[1]), {found!r})"
    )


def test_what_it_reports_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    differences = LayerError("random", "conv", 1e-7), LayerError("given", "fc", 2e-7)
    path = tmp_path / "x.onnx"
    report = ExportReport(path, 3, 99, differences, 1.5, "PyTorch", 2, ("a remark",))
    monkeypatch.setattr(program_process, "_CODE", writing(report))
    assert export_apart(tmp_path / "net.pt2", path, None) == report
    monkeypatch.setattr(program_process, "_CODE", writing(MissingExtraError("needs torch")))
    with pytest.raises(MissingExtraError, match=r"^needs torch$"):
        export_apart(tmp_path / "net.pt2", path, None)


@pytest.mark.parametrize(
    "sample",
    [
        None,
        np.arange(6.0).reshape(2, 3),
        (np.zeros(2), np.ones(3, np.int64)),
        {"../x": np.zeros(2), "a/b": np.ones(1)},
    ],
)
def test_samples_are_handed_over(tmp_path: Path, sample: Any) -> None:
    write_request(tmp_path, Path("net.pt2"), Path("x.onnx"), sample)
    model, path, found = read_request(tmp_path)
    assert (model, path) == (Path("net.pt2"), Path("x.onnx"))
    assert type(found) is type(sample)
    np.testing.assert_equal(found, sample)


def test_the_folder_a_user_stands_in_is_not_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "micam_fast", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program_process, "_CODE", writing(ExportError("ran")))
    with pytest.raises(ExportError, match=r"^ran$"):
        export_apart(tmp_path / "net.pt2", tmp_path / "x.onnx", None)

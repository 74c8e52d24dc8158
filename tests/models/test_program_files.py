"""Files of ``torch.export.save``, as far as they can be told without PyTorch."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from micam_fast.core.errors import ExportError
from micam_fast.models.other_files import describe_other
from micam_fast.models.pytorch import check_program_file


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "pt2")
    return path


@pytest.mark.parametrize("name", ["net/models/model.json", "serialized_exported_program.json"])
def test_a_program_needs_trust(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "net.pt2", name)
    with pytest.raises(
        ExportError,
        match=r"net\.pt2 is a program of torch\.export; .* --trust \(trust=True\) .*whom you trust",
    ):
        check_program_file(path, trust=False)
    check_program_file(path, trust=True)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("kind", ["empty", "cut", "no program", "libraries alone", "text"])
def test_what_is_no_program_is_called_so(tmp_path: Path, kind: str, trust: bool) -> None:
    path = archive(tmp_path / "net.pt2", "net/models/model.json")
    if kind in ("empty", "text"):
        path.write_text("hello" * (kind == "text"))
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        archive(path, "a.txt" if kind == "no program" else "net/data/aotinductor/model/x.so")
    with pytest.raises(ExportError, match=r"net\.pt2 is no file of torch\.export\.save .* bytes"):
        check_program_file(path, trust=trust)


def test_what_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot read .*net\.pt2: no such file"):
        check_program_file(tmp_path / "net.pt2", trust=True)
    with pytest.raises(ExportError, match=r"cannot read .*: it is a folder"):
        check_program_file(tmp_path, trust=True)


def test_a_program_under_another_name_says_how_to_take_it(tmp_path: Path) -> None:
    said = describe_other(archive(tmp_path / "net.pt", "net/models/model.json"))
    assert said is not None
    assert "is a program of torch.export, no ONNX file" in said
    assert "micam-fast export net.pt2 net.onnx --trust" in said

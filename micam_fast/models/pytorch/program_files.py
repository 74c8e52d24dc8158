"""Files of ``torch.export.save``: what can be seen of one without running anything in it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from micam_fast.core.errors import ExportError
from micam_fast.core.extras import import_extra
from micam_fast.core.texts import describe_error
from micam_fast.models.other_files import describe_other, kind_by_content


def check_program_file(path: Path, *, trust: bool) -> None:
    """Refuse a ``.pt2`` file that holds no program, or is not trusted.

    PyTorch unpickles what such a file holds, loads its libraries and evaluates its texts, so nobody
    can read one without giving its author the reader's rights.

    Raises
    ------
    ExportError
        With what the file is, and how to open it.
    """
    if not path.is_file():
        raise ExportError(
            f"cannot read {path}: {'it is a folder' if path.is_dir() else 'no such file'}"
        )
    kind = kind_by_content(path)
    if kind is None:
        raise ExportError(
            f"{path} is no file of torch.export.save ({path.stat().st_size:,} bytes, without a "
            "program): it is cut off, or of another kind"
        )
    if kind != "program":
        raise ExportError(str(describe_other(path)))
    if not trust:
        raise ExportError(
            f"{path} is a program of torch.export; PyTorch runs code that such a file may hold, so "
            "it is not opened; --trust (trust=True) opens it with your rights, in a process of its "
            "own: only for a file from whom you trust"
        )


def open_program(path: Path) -> Any:
    """Load a program; whatever its file holds may run.

    Raises
    ------
    ExportError
        If PyTorch cannot load it.
    MissingExtraError
        If PyTorch is not installed.
    """
    torch = import_extra("torch", extra="torch", purpose="opening a .pt2 file")
    reasons = _Reasons()
    log = logging.getLogger("torch.export")
    log.addHandler(reasons)
    try:
        return torch.export.load(path)
    except Exception as error:
        raise ExportError(
            f"PyTorch {torch.__version__} cannot load {path.name}: "
            f"{describe_error(reasons.first or error)}"
        ) from error
    finally:
        log.removeHandler(reasons)


class _Reasons(logging.Handler):
    """Keeps the first error that is logged: PyTorch then raises one that only refers to it."""

    first: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = record.exc_info[1] if record.exc_info else None
        if self.first is None and isinstance(found, Exception):
            self.first = found

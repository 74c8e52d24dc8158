"""A ``.pt2`` file to ONNX in a process of its own: a crash of PyTorch does not end this one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from micam_fast.api.export_report import ExportReport, LayerError
from micam_fast.core import errors
from micam_fast.core.errors import ExportError, MicamError
from micam_fast.core.texts import one_line
from micam_fast.samples import as_array

_LONGEST_REASON = 300
_REQUEST, _REPORT, _SAMPLE = "request.json", "report.json", "sample.npz"
# This process's own path: nothing is imported from the folder that a user happens to stand in.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from micam_fast.api.program_export import main; main(sys.argv[1])"
)


def export_apart(model: Path, path: Path, sample: Any) -> ExportReport:
    """Export a ``.pt2`` file that is trusted.

    Parameters
    ----------
    sample
        An array, several in a tuple or by input name, or ``None`` for the program's own.

    Raises
    ------
    MicamError
        What the other process raised, or an `ExportError` that says how it ended.
    """
    with TemporaryDirectory(prefix="micam-fast-") as name:
        folder = Path(name)
        write_request(folder, model.absolute(), path.absolute(), sample)
        done = subprocess.run(
            [sys.executable, "-c", _CODE, name, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        try:
            return _read_report(folder, path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise _ended(model, done.returncode, done.stderr) from None


def write_request(folder: Path, model: Path, path: Path, sample: Any) -> None:
    """Write what is to be exported; arrays by their places, as their names may hold anything."""
    named = isinstance(sample, Mapping)
    arrays = list(sample.values()) if named else sample
    if not isinstance(arrays, (tuple, list)):
        arrays = [] if arrays is None else [arrays]
    np.savez(folder / _SAMPLE, *map(as_array, arrays))
    request = {
        "model": str(model),
        "path": str(path),
        "names": list(sample) if named else None,
        "several": isinstance(sample, tuple),
    }
    (folder / _REQUEST).write_text(json.dumps(request))


def read_request(folder: Path) -> tuple[Path, Path, Any]:
    """The file to export, the one to write, and the sample."""
    request = json.loads((folder / _REQUEST).read_text())
    with np.load(folder / _SAMPLE, allow_pickle=False) as kept:
        arrays = [kept[f"arr_{place}"] for place in range(len(kept.files))]
    sample: Any = tuple(arrays)
    if request["names"] is not None:
        sample = dict(zip(request["names"], arrays, strict=True))
    elif not request["several"]:
        sample = arrays[0] if arrays else None
    return Path(request["model"]), Path(request["path"]), sample


def write_report(folder: Path, found: ExportReport | MicamError) -> None:
    """Write what came of it."""
    if isinstance(found, ExportReport):
        content = {**asdict(found), "path": str(found.path)}
    else:
        content = {"error": type(found).__name__, "said": str(found)}
    (folder / _REPORT).write_text(json.dumps(content))


def _read_report(folder: Path, path: Path) -> ExportReport:
    """The report, with the path as the caller wrote it; or the error, raised."""
    content = json.loads((folder / _REPORT).read_text())
    if "error" in content:
        raise getattr(errors, content["error"])(content["said"])
    differences = tuple(LayerError(**each) for each in content["differences"])
    remarks = tuple(content["remarks"])
    return ExportReport(**{**content, "path": path, "differences": differences, "remarks": remarks})


def _ended(model: Path, code: int, stderr: bytes) -> ExportError:
    """What to say of a process that left no report."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = " (the system's answer where memory runs out)" if name == "SIGKILL" else ""
        how = f"was ended by {name}{memory}"
    else:
        lines = stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        how = f"ended with code {code}: {one_line(lines[-1].strip(), _LONGEST_REASON)}"
    return ExportError(f"cannot export {model.name}: PyTorch's process {how}")

"""What runs in the process of `program_process`: it loads a ``.pt2`` file, exports and reports."""

from __future__ import annotations

from pathlib import Path

from micam_fast.api.export import export
from micam_fast.api.export_report import ExportReport
from micam_fast.api.program_process import read_request, write_report
from micam_fast.core.errors import ExportError, MicamError
from micam_fast.core.texts import describe_error
from micam_fast.models.pytorch import open_program


def main(name: str) -> None:
    """Do what the request in a folder asks for, and write the report beside it."""
    folder = Path(name)
    found: ExportReport | MicamError
    model, path, sample = read_request(folder)
    try:
        found = export(open_program(model), path, sample=sample)
    except MicamError as error:
        found = error
    except Exception as error:
        found = ExportError(f"cannot export {model.name}: {describe_error(error)}")
    write_report(folder, found)

"""A diagram as PNG."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.filling import fill_sheet
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style, check_png_size


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    sheet, fillings = fill_sheet(shown, style, native=False)
    check_png_size(sheet.template.width, sheet.template.height, style.scale)
    with atomic_file(path) as file:
        sheet.png.write(fillings, file, style.compress_level)
    return [path]

"""A diagram as PDF."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.encoders import write_pdf
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    template, fillings = fill_template(shown, style, native=True)
    with atomic_file(path) as file:
        write_pdf(template.blank.fill(fillings), file)
    return [path]

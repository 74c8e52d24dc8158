"""A diagram as SVG."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    text = svg_text(shown, style)
    with atomic_file(path) as file:
        file.write(text.encode())
    return [path]


def svg_text(shown: Shown, style: Style) -> str:
    """The diagram as SVG text."""
    template, fillings = fill_template(shown, style, native=True)
    return template.svg.write(fillings)

"""A diagram as PNG."""

from __future__ import annotations

from pathlib import Path

from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.png_limit import check_png_size
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    template, fillings = fill_template(shown, style, native=False)
    poster = isinstance(template, PosterTemplate)
    scale = style.scale_png if poster else style.scale
    check_png_size(template.blank.width, template.blank.height, scale, poster=poster)
    with atomic_file(path) as file:
        template.png.write(fillings, file, style.png_level(poster=poster))
    return [path]


def check_size(width: float, height: float, style: Style) -> None:
    """Refuse a picture that hardly any viewer would open."""
    check_png_size(width, height, style.scale)

"""A sample's interactive page."""

from __future__ import annotations

from pathlib import Path

from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.viewer import View


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    names = style.row_names or None
    depth, only_mapped = style.detail.depth, style.detail.only_mapped
    page = View(
        [shown],
        row_names=names,
        look=style.look_for(shown.input_size),
        rankdir=style.direction,
        depth=depth,
        only_mapped=only_mapped,
    )
    page.save(path)
    return [path]

"""A template made ready for each format, once for all of its samples."""

from __future__ import annotations

import functools
import threading

from micam_fast.diagrams.encoders.page import PngPage
from micam_fast.diagrams.encoders.png import LEVEL
from micam_fast.diagrams.encoders.svg import SvgPage
from micam_fast.diagrams.marks import Template


class Encoded:
    """A template, and what is made of it when a format is first asked for.

    Attributes
    ----------
    blank
        What all samples share, with holes for the rest.
    """

    _svg_level = LEVEL
    """Compression of an SVG's pictures."""

    def __init__(self, blank: Template) -> None:
        self.blank = blank
        self._png: PngPage | None = None
        self._lock = threading.Lock()

    @functools.cached_property
    def svg(self) -> SvgPage:
        """The template as pieces of SVG."""
        return SvgPage(self.blank, self._svg_level)

    @property
    def png(self) -> PngPage:
        """The template as pixels; drawing them takes long, so one thread does it for all."""
        with self._lock:
            if self._png is None:
                self._png = PngPage(self.blank)
            return self._png

"""Drawings to files: PNG, SVG, PDF; and the one font that all of them measure with."""

from micam_fast.diagrams.encoders.page import PngPage, write_png
from micam_fast.diagrams.encoders.pdf import write_pdf
from micam_fast.diagrams.encoders.png import encode_picture
from micam_fast.diagrams.encoders.svg import SvgPage, write_svg

__all__ = ["PngPage", "SvgPage", "encode_picture", "write_pdf", "write_png", "write_svg"]

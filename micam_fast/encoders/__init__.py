"""Drawings to files: PNG, SVG, PDF; and the one font that all of them measure with."""

from micam_fast.encoders.pdf import write_pdf
from micam_fast.encoders.png import encode_picture, write_png
from micam_fast.encoders.svg import write_svg

__all__ = ["encode_picture", "write_pdf", "write_png", "write_svg"]

"""Which axis of each activation holds the batch, and which the channels.

ONNX does not say it. It follows from evidence: a convolution's channels are axis 1, a
LayerNormalization's are the last, a constant with 64 numbers along one axis has one for each of 64
channels, a recurrent layer walks along time. Each piece is carried forwards and backwards through
the operators that keep axes or move them; where two meet, the stronger counts, and of equal ones
the nearer.
"""

from __future__ import annotations

from micam_fast.models.onnx.axes.conclusions import Conclusions, infer_axes
from micam_fast.models.onnx.axes.moves import listed_axes, moved_axes, only_moves_layout
from micam_fast.models.onnx.axes.reshapes import listed_numbers

__all__ = [
    "Conclusions",
    "infer_axes",
    "listed_axes",
    "listed_numbers",
    "moved_axes",
    "only_moves_layout",
]

"""What PyTorch's exporter writes for operators that it else takes in a roundabout way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def translations() -> dict[Any, Any]:
    """By PyTorch's operator: what writes it in ONNX, for ``custom_translation_table``."""
    import torch

    return {torch.ops.aten.as_strided.default: _as_strided}


def _as_strided(values: Any, size: Sequence[Any], stride: Sequence[int], offset: Any = None) -> Any:
    """The values themselves, where strides say of them nothing but how they lie in memory.

    A pool to one position of a picture with its channels last ends so. PyTorch's exporter writes a
    gather of all samples in a row, in which nobody finds the batch again.
    """
    from onnxscript import opset18 as op
    from onnxscript.function_libs.torch_lib.ops import core

    if not offset and _is_plain(values.shape, size, stride):
        return op.Identity(values)
    return core.aten_as_strided(values, size, stride, offset or 0)


def _is_plain(shape: Any, size: Sequence[Any], stride: Sequence[int]) -> bool:
    """Whether sizes stay, and strides are those of one axis after the other.

    Of an axis of one, nobody steps to the next number. The first size may be open, as no stride
    depends on it.
    """
    if shape is None or len(shape) != len(size):
        return False
    step = 1
    for axis in reversed(range(1, len(size))):
        known = isinstance(size[axis], int) and shape[axis] == size[axis]
        if not known or (size[axis] != 1 and stride[axis] != step):
            return False
        step *= size[axis]
    same = shape[0] == size[0] if isinstance(size[0], int) else not isinstance(shape[0], int)
    return same and (stride[0] == step or size[0] == 1)

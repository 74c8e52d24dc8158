"""Activations of a sample, copied out of a stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import LayerActivation


def copies(
    index: int, slot: int, found: Iterator[LayerActivation] | SampleError
) -> dict[str, NDArray[np.float32]]:
    """All activations of a sample."""
    if isinstance(found, SampleError):
        raise found
    return {each.layer: each.array.copy() for each in found}

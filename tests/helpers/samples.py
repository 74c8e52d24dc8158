"""Inputs of models, and arrays and samples that fit them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import Sample
from tests.helpers import models

GRAY = ModelInput("x", (None, 1, 8, 6), Axes(0, 1), "float32")
RGB = ModelInput("x", (None, 3, 8, 6), Axes(0, 1), "float32")
OPEN = ModelInput("x", (None, 3, None, None), Axes(0, 1), "float32")
FLAT = ModelInput("v", (None, 5), Axes(0, 1), "float32")
IMAGE = ModelInput("image", (None, 1, 8, 6), Axes(0, 1), "float32")
DEPTH = ModelInput("depth", (None, 2, 8, 6), Axes(0, 1), "float32")
OPEN_GRAY = ModelInput("x", (None, 1, None, None), Axes(0, 1), "float32")


def random_samples(count: int, *, seed: int = 1) -> list[NDArray[np.float32]]:
    """Samples for `models.conv_net`."""
    return list(models.random_array(seed, count, 1, 8, 6, spread=0.1))


def as_samples(arrays: Sequence[NDArray[np.float32]]) -> list[Sample]:
    """Samples named ``s0``, ``s1`` ..."""
    return [Sample(f"s{index}", {"x": array}) for index, array in enumerate(arrays)]


def numbered(*shape: int) -> NDArray[np.float32]:
    """An array whose values all differ."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

"""A network that folds the frames of a clip into its batch axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.helpers.chains import op
from tests.helpers.models import make_model, random_array

FRAMES = 5
KERNEL, BIAS = random_array(1, 4, 3, 3, 3), random_array(2, 4)
CLIPS = random_array(3, 4, FRAMES, 3, 8, 6)


def frames_net(batch: int | str = "N") -> onnx.ModelProto:
    """A clip of any length, folded into the batch, through a convolution, and its frames' mean."""
    nodes = [
        op("Reshape", "x folded", "fold"),
        op("Conv", "fold k b", "conv", pads=[1] * 4),
        op("GlobalAveragePool", "conv", "pool"),
        op("ReduceMean", "pool", "y", axes=[0]),
    ]
    constants = {"folded": np.array([-1, 3, 8, 6]), "k": KERNEL, "b": BIAS}
    return make_model(nodes, {"x": [batch, "T", 3, 8, 6]}, ["y"], constants)


def clip_net(**given: Any) -> onnx.ModelProto:
    """A clip ``(T, C, H, W)`` folded into the batch, through a CNN, and the mean of its frames."""
    nodes = [
        op("Reshape", "x folded", "fold"),
        op("Conv", "fold k b", "conv", **({"pads": [1] * 4} | given)),
        op("BatchNormalization", "conv scale shift mean variance", "norm"),
        op("Relu", "norm", "relu"),
        op("GlobalAveragePool", "relu", "pool"),
        op("Reshape", "pool apart", "unfold"),
        op("ReduceMean", "unfold", "y", axes=[1], keepdims=0),
    ]
    constants = {
        "folded": np.array([-1, 3, 8, 6]), "apart": np.array([-1, FRAMES, 4]), "k": KERNEL,
        "b": BIAS, "scale": random_array(4, 4), "shift": random_array(5, 4),
        "mean": random_array(6, 4), "variance": np.abs(random_array(7, 4)),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", FRAMES, 3, 8, 6]}, ["y"], constants)

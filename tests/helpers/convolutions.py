"""Convolutions of many sizes, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st

from tests.helpers.models import Array, random_array, single_conv


@st.composite
def convolutions(draw: st.DrawFn, rank: int, *, transpose: bool) -> dict[str, Any]:
    """Sizes, strides, pads, dilations and groups of a convolution that has an output."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    dilations = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [draw(st.integers(0, max(0, r - 1))) for r in reach * 2]
    return {
        "groups": groups,
        "j": groups * draw(st.integers(1, 2)),
        "c": groups * draw(st.integers(1, 3)),
        "kernel": kernel,
        "size": [draw(st.integers(max(r, 2), 9)) for r in reach],
        "strides": draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank)),
        "dilations": dilations,
        "pads": [0] * (2 * rank) if transpose else pads,
        "bias": draw(st.sampled_from(["random", "zero", "none"])),
        "seed": draw(st.integers(0, 10**6)),
    }


def convolution_model(
    case: dict[str, Any], *, transpose: bool, **extra: Any
) -> tuple[onnx.ModelProto, Array, Array | None, Array]:
    """The model of a drawn case with its kernel and bias, and a sample for it."""
    j, c, groups, seed = case["j"], case["c"], case["groups"], case["seed"]
    shape = (j, c // groups) if transpose else (c, j // groups)
    kernel = random_array(seed, *shape, *case["kernel"])
    biases = {"random": random_array(seed + 1, c), "zero": np.zeros(c, np.float32), "none": None}
    bias = biases[case["bias"]]
    model = single_conv(
        kernel,
        ["batch", j, *case["size"]],
        bias,
        "ConvTranspose" if transpose else "Conv",
        strides=case["strides"],
        dilations=case["dilations"],
        group=groups,
        **({"pads": case["pads"]} if "auto_pad" not in extra else {}),
        **extra,
    )
    return model, kernel, bias, random_array(seed + 2, j, *case["size"])

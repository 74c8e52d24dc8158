"""Convolutions of many sizes, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


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

"""Where batch and channels lie in a file's values, found by experiment alone.

The same network is made once more with other widths, and runs on other sizes and on another batch.
The axis whose size changes with the width is that of the channels; the one that changes with the
batch is the batch's, be it folded with others or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime

Axes = tuple[int | None, int]
"""Of the batch (``None`` without one), and of the channels."""
Sizes = Mapping[str, Sequence[int]]


def value_sizes(model: onnx.ModelProto, shape: Sequence[int]) -> dict[str, list[int]]:
    """The sizes of all values for an input of this shape, by ONNX Runtime without optimizations."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    there = {output.name for output in copy.graph.output}
    names = [name for node in copy.graph.node for name in node.output if name]
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options)
    sample = np.random.default_rng(1).standard_normal(tuple(shape)).astype(np.float32)
    found = session.run(names, {session.get_inputs()[0].name: sample})
    return {
        name: list(each.shape)
        for name, each in zip(names, found, strict=True)
        if isinstance(each, np.ndarray)  # not a sequence of arrays
    }


def measured_axes(plain: Sizes, wide: Sizes, larger: Sizes, many: Sizes) -> dict[str, Axes]:
    """By value, as far as the experiments decide: one axis of channels, at most one of the batch.

    A value is left out where an axis holds channels and positions at once, or where nothing
    changes with the width, as in scores of attention.
    """
    axes: dict[str, Axes] = {}
    for name, sizes in plain.items():
        if len(larger.get(name, ())) != len(sizes):
            continue  # Nobody can tell where its positions lie.
        channels = _changed(sizes, wide.get(name))
        batch = _changed(sizes, many.get(name))
        positions = _changed(sizes, larger.get(name))
        if len(channels) == 1 and len(batch) <= 1 and not channels & (batch | positions):
            axes[name] = (min(batch, default=None), min(channels))
    return axes


def _changed(before: Sequence[int], after: Sequence[int] | None) -> set[int]:
    if after is None or len(after) != len(before):
        return set()
    return {axis for axis, size in enumerate(before) if after[axis] != size}

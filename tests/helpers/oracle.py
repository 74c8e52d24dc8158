"""What SPEC says of a random graph: plain ONNX Runtime, and the formulas of `reference`.

It knows the graph and what its drawing says of each layer, and imports nothing of micam-fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.helpers import reference
from tests.helpers.random_graphs import Convolution, Drawn, Layer, Value

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class Plain:
    """Every value of the untouched file, by ONNX Runtime without optimizations."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        tapped = onnx.ModelProto()
        tapped.CopyFrom(model)
        self.outputs = [value.name for value in model.graph.output]
        made = [name for node in tapped.graph.node for name in node.output if name]
        self.names = list(dict.fromkeys([*self.outputs, *made]))
        there = set(self.outputs)
        tapped.graph.output.extend(onnx.ValueInfoProto(name=n) for n in made if n not in there)
        self.session = _session(tapped, optimized=False)
        self.held = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }

    def run(self, feed: Array) -> dict[str, Array]:
        """All values for an array with its batch."""
        name = self.session.get_inputs()[0].name
        found = self.session.run(self.names, {name: feed})
        return self.held | {name: feed} | dict(zip(self.names, found, strict=True))

    def optimized(self, feed: Array) -> list[Array]:
        """The untouched file's outputs as a user of ONNX Runtime gets them."""
        session = _session(self.model, optimized=True)
        return list(session.run(self.outputs, {session.get_inputs()[0].name: feed}))


def _session(model: onnx.ModelProto, *, optimized: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@dataclass(frozen=True)
class Expected:
    """A layer's map with what rounding may do to it."""

    cam: Float64
    slack: float


class Oracle:
    """What is right for a drawn graph and a sample.

    Attributes
    ----------
    values
        All values of the plain model.
    size
        ``(Hin, Win)``.
    """

    def __init__(self, drawn: Drawn, sample: Array) -> None:
        self.drawn = drawn
        self.plain = Plain(drawn.model)
        self.values = self.run(sample)
        # What tiny changes of the sample do is what rounding does on the way.
        shaken = sample * (1 + 1e-6 * np.random.default_rng(0).uniform(-1, 1, sample.shape))
        self.shaken = self.run(shaken.astype(np.float32))
        first = next(iter(drawn.layers.values())).value
        height, width = (1, *first.space)[-2:]
        self.size = (height, width)

    def run(self, sample: Array) -> dict[str, Array]:
        """All values for one sample, which a fixed batch repeats."""
        return self.plain.run(np.repeat(sample[np.newaxis], self.drawn.batch, axis=0))

    def check_shapes(self) -> None:
        """Raise if the drawing is wrong about a size."""
        for name, layer in self.drawn.layers.items():
            found = self.values[layer.value.name].shape
            assert found == layer.value.shape, (name, found, layer.value)

    def check_runtime(self, sample: Array) -> None:
        """Raise if ONNX Runtime's own optimizations break the untouched file."""
        feed = np.repeat(sample[np.newaxis], self.drawn.batch, axis=0)
        for name, found in zip(self.plain.outputs, self.plain.optimized(feed), strict=True):
            expected, slack = self.difference(name)
            assert np.allclose(found[0], expected, rtol=0, atol=slack + 1e-30, equal_nan=True), name

    def map(self, layer: Layer, projection: str) -> Expected:
        """A layer's map with its slack."""
        cam = layer_map(layer, self.values, self.size, projection)
        shaken = layer_map(layer, self.shaken, self.size, projection)
        parts = float(np.abs(self.values[layer.value.name][0]).max(initial=0))
        if layer.convolution is not None:
            kernel = self.values[layer.convolution.kernel]
            parts *= float(np.abs(kernel.astype(np.float64)).sum())
        else:
            # Of a difference of equals, nothing but the rounding of these is left.
            parts = max(parts, *(np.abs(each).max(initial=0) for each in self._read(layer)))
        with np.errstate(all="ignore"):
            moved = float(np.nan_to_num(np.abs(cam - shaken)).max(initial=0))
            scale = float(np.nan_to_num(np.abs(cam)).max(initial=0))
        return Expected(cam, 1e-4 * scale + 2e-7 * parts + 10 * moved)

    def _read(self, layer: Layer) -> Iterator[Array]:
        """The numbers that the operator behind a layer's value reads."""
        yield np.zeros(1)
        for node in self.drawn.model.graph.node:
            if layer.value.name in node.output:
                read = (self.values[name] for name in node.input if name in self.values)
                yield from (each for each in read if each.dtype.kind == "f")

    def difference(self, name: str) -> tuple[Array, float]:
        """A value of the first sample, and how far rounding may move it."""
        value = self.values[name][0].astype(np.float64)
        with np.errstate(all="ignore"):
            moved = np.abs(value - self.shaken[name][0])
        scale = float(np.abs(value).max(initial=0))
        return value, 1e-4 * scale + 10 * float(np.nan_to_num(moved).max(initial=0))


def layer_map(
    layer: Layer, values: Mapping[str, Array], size: tuple[int, int], projection: str
) -> Float64:
    """SPEC section 2 for one layer and the first sample of the values."""
    value = layer.value
    activation = values[value.name][0]
    if layer.flat or value.channel is None or activation.ndim < 2:
        return reference.flat_map(activation, *size)
    last = np.moveaxis(activation, value.channel - 1, -1)
    if layer.convolution is None:
        return reference.mean_map(last)
    return _convolution_map(layer.convolution, value, last, values, projection)


def _convolution_map(
    found: Convolution, value: Value, last: Array, values: Mapping[str, Array], projection: str
) -> Float64:
    kernel = values[found.kernel]
    bias = None if found.bias is None else values[found.bias]
    channels = last.shape[-1]
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), (channels,))
    if projection == "transposed":
        return reference.adjoint_map(
            last.reshape(*_grid(found, last), channels), kernel, bias,
            input_size=found.source.space, strides=found.strides, pads_begin=found.begins,
            dilations=found.dilations, groups=found.groups, transpose=found.transpose,
        )  # fmt: skip
    line = _line(found, kernel, last)
    if line is not None:
        shape = last.shape[:-1]
        strip = _published(found, line, bias, last.reshape(-1, channels))
        return strip.reshape(shape) if len(shape) == 2 else strip
    return _published(found, kernel, bias, last)


def _grid(found: Convolution, last: Array) -> tuple[int, ...]:
    """The convolution's own grid, with the axis of one that a Squeeze took."""
    size = last.shape[:-1]
    return size if len(size) == len(found.strides) else (1, *size)


def _line(found: Convolution, kernel: Array, last: Array) -> Array | None:
    """The kernel as a 1-D one, where it and the grid are one row or one column."""
    if len(found.strides) != 2:
        return None
    grid = _grid(found, last)
    for axis in (0, 1):
        if grid[axis] == 1 and kernel.shape[2 + axis] == 1:
            return np.squeeze(kernel, 2 + axis)
    return None


def _published(found: Convolution, kernel: Array, bias: Array | None, last: Array) -> Float64:
    if found.transpose:
        return reference.published_conv_transpose(last, kernel, bias, groups=found.groups)
    return reference.published_conv(last, np.moveaxis(kernel, (0, 1), (-1, -2)), bias)


def channels_by_values(layer: Layer, runs: Sequence[Mapping[str, Array]]) -> Float64:
    """``(C, n)``: a layer's channels over all samples and positions; of a flat one, its values."""
    parts = []
    for values in runs:
        activation = values[layer.value.name][0].astype(np.float64)
        if layer.flat or layer.value.channel is None or activation.ndim < 2:
            parts.append(activation.reshape(-1, 1))
        else:
            moved = np.moveaxis(activation, layer.value.channel - 1, 0)
            parts.append(moved.reshape(len(moved), -1))
    return np.concatenate(parts, axis=1)

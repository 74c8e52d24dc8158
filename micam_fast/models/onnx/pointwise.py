"""Layers that are computed from another one's activation element by element.

A batch normalization or a ReLU behind a convolution says nothing that the convolution's activation
does not hold already. Its map is taken from there while that is read, and ONNX Runtime need not
give its activation out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Pointwise, Tap
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.graph import Graph, attributes, is_training
from micam_fast.models.onnx.operators import find_operator

_LEAST_RANK = 3
# Operators between a layer and the one that it follows; two or three in real models.
_FARTHEST = 64
# Each has two numbers, whatever the file holds of them.
_MOST_CHANNELS = 2**20
# Bounds of a Clip that has none: it makes infinities finite.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ChannelStep:
    """A factor or a summand for each channel.

    Attributes
    ----------
    op_type
        ``"Mul"``, ``"Div"``, ``"Add"``, ``"Sub"`` or ``"BatchNormalization"``.
    constants
        Names of the numbers: one, or scale, bias, mean and variance.
    epsilon
        Of a batch normalization.
    """

    op_type: str
    constants: tuple[str, ...]
    epsilon: float = 0.0


@dataclass(frozen=True)
class Chain:
    """How a layer's activation follows from another one.

    Attributes
    ----------
    source
        The ONNX value that it follows from.
    channels
        Number of channels.
    steps
        From the layer's own operator back to the source.
    low, high
        Bounds of the result.
    """

    source: str
    channels: int
    steps: tuple[ChannelStep, ...]
    low: float
    high: float

    def numbers(self, constants: Constants) -> Pointwise | None:
        """All steps as one.

        ``None`` if they are not finite, are not for these channels, or cannot be computed.
        """
        scale, shift = np.ones(self.channels), np.zeros(self.channels)
        with np.errstate(all="ignore"):
            for step in self.steps:
                try:
                    factor, summand = _numbers(step, constants, self.channels)
                except (ModelError, ValueError):
                    return None
                shift = shift + scale * summand
                scale = scale * factor
            found = scale.astype(np.float32), shift.astype(np.float32)
        if not all(np.isfinite(each).all() for each in found):
            return None
        return Pointwise(self.source, *found, self.low, self.high)


def find_chains(graph: Graph, taps: Mapping[str, Tap]) -> dict[str, Chain]:
    """The layers that are pointwise functions of another one; taps are in topological order.

    Their sources are activations of layers that are none themselves.
    """
    read: dict[str, Axes] = {}
    found: dict[str, Chain] = {}
    for name, tap in taps.items():
        if tap.form not in ("channels", "framed"):
            continue
        chain = None if tap.geometry is not None else _trace(graph, tap, read)
        if chain is None:
            read[tap.value] = tap.axes
        else:
            found[name] = chain
    return found


def _trace(graph: Graph, tap: Tap, read: Mapping[str, Axes]) -> Chain | None:
    """Go from a layer's activation back to a value that is read anyway."""
    shape, channel = graph.shape(tap.value), tap.axes.channel
    if shape is None or len(shape) < _LEAST_RANK or channel is None or channel >= len(shape):
        return None
    channels = shape[channel]
    if channels is None or channels > _MOST_CHANNELS:
        return None
    steps: list[ChannelStep] = []
    low, high = -math.inf, math.inf
    value = tap.value
    far = 0
    while value not in read:
        far += 1
        if far > _FARTHEST:
            return None
        node = graph.nodes[graph.producer[value]] if value in graph.producer else None
        if node is None or graph.element_type(value) != onnx.TensorProto.FLOAT:
            return None
        if find_operator(node).affine == "bounds":
            bounds = read_bounds(graph, node)
            if steps or bounds is None:
                return None
            low, high = (min(max(bound, low), high) for bound in bounds)
            value = node.input[0]
        elif hands_on(graph, node, value):
            value = node.input[0]
        else:
            found = _read_step(graph, node, len(shape), channel, channels)
            if found is None:
                return None
            value, step = found
            steps.append(step)
        if graph.shape(value) != shape:
            return None
    if value == tap.value or read[value] != tap.axes:
        return None
    if graph.element_type(value) != onnx.TensorProto.FLOAT:
        return None
    adds = [step.op_type in ("Add", "Sub") for step in steps]
    if False in adds and True in adds[adds.index(False) :]:
        # What is centred first and scaled then would lose the digits that cancel out.
        return None
    return Chain(value, channels, tuple(steps), low, high)


def hands_on(graph: Graph, node: onnx.NodeProto, value: str) -> bool:
    """Tell whether a node hands on what it reads."""
    operator = find_operator(node)
    if operator.name == "Dropout" and value == node.output[0]:
        return not is_training(graph, node)
    return operator.name == "Identity"


def read_bounds(graph: Graph, node: onnx.NodeProto) -> tuple[float, float] | None:
    """Bounds of a Relu or Clip, where they are known single numbers in order."""
    if find_operator(node).name == "Relu":
        return 0.0, math.inf
    given = attributes(node)
    bounds = {"min": given.get("min", -_LARGEST), "max": given.get("max", _LARGEST)}
    for name, key in zip(node.input[1:], bounds, strict=False):
        if name:
            if not graph.is_known(name) or graph.array(name).size != 1:
                return None
            bounds[key] = float(graph.array(name).reshape(()))
    return (bounds["min"], bounds["max"]) if bounds["min"] <= bounds["max"] else None


def _read_step(
    graph: Graph, node: onnx.NodeProto, rank: int, channel: int, channels: int
) -> tuple[str, ChannelStep] | None:
    """What a node reads, and what it does to it."""
    operator = find_operator(node)
    if operator.affine == "normalization":
        given = attributes(node)
        trains = given.get("training_mode", 0) or given.get("spatial", 1) != 1
        if channel != 1 or trains:
            return None
        if not all(
            graph.is_constant(name)
            and graph.is_known(name)
            and graph.constant_shape(name) == (channels,)
            for name in node.input[1:5]
        ):
            return None
        step = ChannelStep(operator.name, tuple(node.input[1:5]), float(given.get("epsilon", 1e-5)))
        return node.input[0], step
    if operator.affine not in ("factor", "summand"):
        return None
    operands = split_operands(graph, node)
    if operands is None:
        return None
    value, number = operands
    if operator.name in ("Sub", "Div") and node.input[0] != value:
        return None
    if count_by_channel(graph, number, rank, channel) not in (1, channels):
        return None
    return value, ChannelStep(operator.name, (number,))


def split_operands(graph: Graph, node: onnx.NodeProto) -> tuple[str, str] | None:
    """The value and the known constant that an operator of two inputs combines.

    A number that is known for the shapes of one run alone is none.
    """
    known = [graph.is_constant(name) and graph.is_known(name) for name in node.input]
    if len(known) != 2 or sum(known) != 1:
        return None
    return node.input[known[0]], node.input[1 - known[0]]


def count_by_channel(graph: Graph, constant: str, rank: int, channel: int) -> int | None:
    """How many numbers a constant has along a value's axis of the channels.

    ``None`` if it differs along another axis, too, or has more axes than the value.
    """
    size = graph.constant_shape(constant)
    whole = (1,) * (rank - len(size)) + size
    if len(whole) > rank or math.prod(whole) != whole[channel]:
        return None
    return whole[channel]


def _numbers(
    step: ChannelStep, constants: Constants, channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factor and summand of each channel.

    Raises
    ------
    ValueError
        If there are numbers for another number of channels.
    """
    arrays = [constants.array(name).astype(np.float64).reshape(-1) for name in step.constants]
    if step.op_type == "BatchNormalization":
        weight, bias, mean, variance = arrays
        if {len(array) for array in arrays} != {channels}:
            raise ValueError(f"a normalization of other than {channels} channels")
        factor = weight / np.sqrt(variance + step.epsilon)
        return factor, bias - mean * factor
    number = np.broadcast_to(arrays[0], channels)
    if step.op_type in ("Mul", "Div"):
        return number if step.op_type == "Mul" else 1 / number, np.zeros(channels)
    return np.ones(channels), number if step.op_type == "Add" else -number

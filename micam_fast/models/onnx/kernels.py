"""Kernels and biases: where a layer has them, and what their numbers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Geometry
from micam_fast.models.onnx.axes import moved_axes, only_moves_layout
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.graph import Graph, attributes, input_name, label
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.quantization import ROUNDS

# No stride, dilation or pad comes near it; a map that far out could not be held.
_FAR = 2**16
# Where an Add, and one of codes, has what it adds up.
_SUMMANDS = {"Add": (0, 1), "QLinearAdd": (0, 3)}


@dataclass(frozen=True)
class Weights:
    """Names of a layer's constant kernel and bias.

    A quantized kernel has a ``scale`` and a ``zero`` point; its bias has the ``input_scale``, too.
    The scale may be that of the product: the kernel's times the ``scale_unit``, the input's.
    A ``kernel_shape`` leaves out axes of size 1 that the constant has besides. The kernel of a
    separable convolution is depthwise, and followed by one that is ``pointwise``.
    """

    kernel: str
    bias: str | None
    scale: str | None = None
    scale_unit: str | None = None
    zero: str | None = None
    input_scale: str | None = None
    kernel_shape: tuple[int, ...] | None = None
    pointwise: str | None = None


def read_weights(
    constants: Constants, found: Weights, bias_shape: tuple[int, ...] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Kernel in ONNX order and bias ``(C,)``, quantized ones in their real units.

    Of a separable convolution, SPEC section 2: the effective kernel, summed over the input channels
    already: ``(C, 1, *k)``.
    """
    kernel = constants.array(found.kernel)
    if found.kernel_shape is not None:
        kernel = kernel.reshape(found.kernel_shape)
    if found.pointwise is not None:
        # sum_j sum_m D[j*m, u, v] P[c, j*m]: all channels in between.
        point = constants.array(found.pointwise).reshape((-1, len(kernel)))
        depth = kernel[:, 0].astype(np.float64)
        kernel = np.tensordot(point.astype(np.float64), depth, axes=1)[:, np.newaxis]
    if found.zero is not None or found.scale is not None:
        kernel = kernel.astype(np.float32)
        column = (-1,) + (1,) * (kernel.ndim - 1)
        if found.zero is not None:
            kernel = kernel - constants.array(found.zero).astype(np.float32).reshape(column)
        if found.scale is not None:
            kernel = kernel * constants.array(found.scale).reshape(column)
        if found.scale_unit is not None:
            kernel = kernel / constants.array(found.scale_unit).reshape(())
    if found.bias is None:
        return kernel, None
    bias = constants.array(found.bias).reshape(-1)
    if found.input_scale is not None and found.scale is not None:
        bias = bias * constants.array(found.input_scale) * constants.array(found.scale)
    return kernel, np.broadcast_to(bias, bias_shape or bias.shape)


def find_kernel(graph: Graph, node: onnx.NodeProto) -> tuple[str | None, str | None]:
    """Names of the constant kernel and bias among the node's own inputs."""
    operator = find_operator(node)
    if operator.kernel is None:
        return None, None
    kernel = input_name(node, operator.kernel.place)
    if operator.cost == "product" and not graph.is_constant(kernel):
        kernel = input_name(node, operator.factors[0])
    bias = input_name(node, operator.kernel.bias)
    return (kernel if graph.is_known(kernel) else None, bias if graph.is_known(bias) else None)


def with_quantization(graph: Graph, node: onnx.NodeProto, found: Weights) -> Weights:
    """The same weights with the scales and the zero point of a quantized convolution."""
    kernel = find_operator(node).kernel
    if kernel is None:
        return found
    input_scale = input_name(node, kernel.input_scale)
    return replace(
        found,
        scale=input_name(node, kernel.scale) or None,
        zero=input_name(node, kernel.zero) or None,
        input_scale=input_scale if graph.is_known(input_scale) else None,
    )


def following_bias(
    graph: Graph,
    node: onnx.NodeProto,
    channels: int | None,
    axes_of: Callable[[str], Axes],
    live: frozenset[int],
    before: Sequence[int] = (),
) -> tuple[str, str, list[int]] | None:
    """Find a bias that is an Add of its own: one that alone consumes the node's output.

    A quantized model may round what the Add reads to codes, which changes no layer.

    Parameters
    ----------
    before
        Nodes that belong to the layer already; what the last one makes is looked at.

    Returns
    -------
    tuple or None
        The Add's output, its constant, and the nodes from the layer to the Add.
    """
    operator = find_operator(node)
    kernel = operator.kernel
    if kernel is None or operator.cost == "recurrent" or input_name(node, kernel.bias):
        return None
    if "activation" in attributes(node):
        # Of ONNX Runtime's own operators: the Add would come behind the activation function.
        return None
    nodes = list(before)
    value = (graph.nodes[nodes[-1]] if nodes else node).output[0]
    while value not in graph.outputs:
        # What makes real numbers of codes beside those that go on with them does not count.
        readers = [index for index in graph.consumers[value] if index in live]
        if len(readers) != 1:
            return None
        index = readers[0]
        follower = graph.nodes[index]
        if value not in follower.input:
            return None
        nodes.append(index)
        between = find_operator(follower)
        if (places := _SUMMANDS.get(between.name)) is not None:
            first, second = (input_name(follower, place) for place in places)
            other = second if first == value else first
            axes, rank = axes_of(value), _rank(graph, node, value)
            count = _count_known(graph, value, axes) if channels is None else channels
            known = graph.is_constant(other) and graph.is_known(other)
            fits = known and _is_per_channel(graph, other, axes, rank, count)
            return (follower.output[0], other, nodes) if fits else None
        rounds = between.name in ROUNDS and value == follower.input[0]
        if not (between.hands_on or rounds) or between.channels == "reshaped":
            return None
        if between.channels == "permuted" and not only_moves_layout(graph, follower):
            return None
        value = follower.output[0]
    return None


def squeezed_axis(graph: Graph, nodes: Sequence[int], rank: int) -> int | None:
    """Spatial axis that nodes between a convolution of a rank and its bias take away, if any."""
    left: dict[int, int | None] = {axis: axis for axis in range(rank)}
    for index in nodes:
        move = moved_axes(graph, graph.nodes[index])
        if move is not None:
            left = {axis: None if now is None else move(now) for axis, now in left.items()}
    gone = [axis for axis, now in left.items() if now is None]
    return gone[0] - 2 if len(gone) == 1 and gone[0] >= 2 else None


def _rank(graph: Graph, node: onnx.NodeProto, value: str) -> int | None:
    """Rank of a convolution's output, by its kernel where the graph does not tell."""
    rank, kernel = graph.rank(value), find_operator(node).kernel
    if rank is None and kernel is not None and value == node.output[0]:
        return graph.rank(input_name(node, kernel.place))
    return rank


def _count_known(graph: Graph, value: str, axes: Axes) -> int | None:
    """Number of a value's channels by its shape; ``None`` where that does not tell."""
    shape = graph.shape(value)
    place = -1 if axes.channel is None else axes.channel
    return shape[place] if shape and place < len(shape) else None


def _is_per_channel(
    graph: Graph, constant: str, axes: Axes, rank: int | None, channels: int | None
) -> bool:
    """Tell whether a constant adds one value per channel to an activation.

    It must not enlarge the activation: an unknown number of channels equals no other, and an
    unknown rank leaves room for one axis.
    """
    sizes = graph.constant_shape(constant)
    if len(sizes) > (1 if rank is None else rank):
        return False
    if rank is None or rank < 3 or axes.channel is None:
        # Two-dimensional, or a MatMul of unknown rank: its channels are last.
        return all(size == 1 for size in sizes[:-1]) and sizes[-1:] in ((), (1,), (channels,))
    sizes = (1,) * (rank - len(sizes)) + sizes
    return all(
        size == 1 or (axis == axes.channel and size == channels) for axis, size in enumerate(sizes)
    )


def count_channels(graph: Graph, node: onnx.NodeProto, kernel: str) -> int:
    """Number of output channels, which is the bias's size.

    Raises
    ------
    ModelError
        If the kernel has fewer axes than one of this operator.
    """
    shape = graph.constant_shape(kernel)
    operator = find_operator(node)
    least = operator.kernel.axes if operator.kernel else 0
    if len(shape) < least:
        raise ModelError(
            f"{label(node)} has a kernel of shape {list(shape)}, where at least {least} axes are "
            "expected; export the model again"
        )
    if operator.name == "ConvTranspose":
        return shape[1] * int(attributes(node).get("group", 1))
    given = attributes(node)
    if operator.cost in ("gemm", "quantized gemm"):
        return shape[0] if given.get("transB", 0) else shape[1]
    if operator.cost == "product":
        first = kernel == input_name(node, operator.factors[0])
        turned = bool(given.get("transA" if first else "transB", 0))
        return shape[-2] if first != turned and len(shape) > 1 else shape[-1]
    return shape[0]


def read_geometry(node: onnx.NodeProto, rank: int) -> Geometry:
    """Attributes of a convolution with this number of spatial axes.

    Raises
    ------
    ModelError
        If they are for another number of axes, or nothing that a convolution has.
    """
    given = attributes(node)
    auto_pad = given.get("auto_pad", b"NOTSET").decode(errors="replace") or "NOTSET"
    found = Geometry(
        transpose=find_operator(node).name == "ConvTranspose",
        strides=tuple(given.get("strides", [1] * rank)),
        dilations=tuple(given.get("dilations", [1] * rank)),
        pads=tuple(given.get("pads", [0] * (2 * rank))),
        groups=int(given.get("group", 1)),
        auto_pad=auto_pad,
        output_padding=tuple(given.get("output_padding", [0] * rank)),
        output_shape=tuple(given.get("output_shape", ())),
    )
    try:
        check_geometry(found, rank)
    except ValueError as error:
        raise ModelError(f"{label(node)} has {error}; export the model again") from None
    return found


def check_geometry(geometry: Geometry, rank: int) -> None:
    """Raise if no convolution with this number of spatial axes walks like that.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    walks = (geometry.strides, geometry.dilations)
    # Only a transposed convolution has an output padding.
    lengths = (*map(len, walks), len(geometry.output_padding) or rank, len(geometry.pads) / 2)
    if set(lengths) != {rank}:
        raise ValueError(f"a geometry for other than {rank} axes")
    steps = [step for walk in walks for step in walk]
    extras = [*geometry.pads, *geometry.output_padding]
    if not (all(0 < n < _FAR for n in steps) and all(0 <= n < _FAR for n in extras)):
        raise ValueError("strides, dilations or pads that no convolution has")
    if not 0 < geometry.groups < _FAR:
        raise ValueError(f"{geometry.groups} groups")


def check_groups(geometry: Geometry, kernel_shape: Sequence[int]) -> None:
    """Raise if the channels of a kernel in ONNX order do not fall into its groups.

    Raises
    ------
    ValueError
        With their numbers.
    """
    if kernel_shape[0] % geometry.groups:
        raise ValueError(f"{geometry.groups} groups for {kernel_shape[0]} channels")

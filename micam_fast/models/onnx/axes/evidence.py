"""What single nodes and inputs of a graph say of where batch and channels lie."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import onnx

from micam_fast.core.layers import Shape
from micam_fast.models.onnx.axes.moves import listed_axes
from micam_fast.models.onnx.axes.reshapes import listed_numbers
from micam_fast.models.onnx.graph import Graph, attributes, input_name, label
from micam_fast.models.onnx.inference import shape_of
from micam_fast.models.onnx.limits import shown
from micam_fast.models.onnx.operator_row import Operator

COLOURS = (1, 3, 4)


class Role(IntEnum):
    """What is said to lie in some axes."""

    CHANNEL = 0
    BATCH = 1
    WALKED = 2


class Level(IntEnum):
    """How much a piece of evidence counts, the strongest first."""

    WALKS = 0
    DEFINES = 1
    FITS = 2
    SPARES = 3
    HINTS = 4
    FIRST = 5
    JOINED = 6


@dataclass(frozen=True)
class Evidence:
    """Something that says where batch or channels lie.

    Attributes
    ----------
    level
        How much it counts.
    words
        What says so.
    node
        The node of which the words speak, if they do.
    """

    level: Level
    words: str
    node: onnx.NodeProto | None = None

    def __str__(self) -> str:
        return self._text

    @functools.cached_property
    def _text(self) -> str:
        """Short whatever names the file has, and one string for all values that it speaks of."""
        return shown(self.words if self.node is None else f"{label(self.node)} {self.words}")


Claim = tuple[str, Role, tuple[int, ...], Evidence]
"""A value, what lies there, in which of its axes, and what says so.

No axis means, for a batch, that all of the value is one sample.
"""


def input_claims(graph: Graph) -> Iterator[Claim]:
    """What sizes and places of the graph's inputs say."""
    shapes = {value.name: graph.shape(value.name) for value in graph.inputs}
    main = next(iter(shapes.values()), None)
    batch = main[0] if main else None
    # A size of 1 beside an open batch is that batch, fixed.
    batches = (None, 1 if batch is None else batch)
    for name, shape in shapes.items():
        if shape is None:
            continue
        if shape == () or shape[0] not in batches:
            words = f"the first size of input {name!r} is not that of the first input"
            yield name, Role.BATCH, (), Evidence(Level.DEFINES, words)
            continue
        first = Evidence(Level.FIRST, f"it is the first axis of input {name!r}")
        yield name, Role.BATCH, (0,), first
    for value in graph.inputs:
        declared = shape_of(value.type) or ()
        yield from _fixed_claims(value.name, declared)
        # A size that the file leaves open is no number of colours, whatever it is in a sample.
        yield from _colour_claims(value.name, declared)


def _fixed_claims(name: str, shape: Shape) -> Iterator[Claim]:
    """What a file fixes of an input, while it leaves all positions open, is its channels."""
    fixed = [axis for axis, size in enumerate(shape) if axis and size is not None]
    if len(fixed) == 1 and len(shape) > 2:
        words = f"input {name!r} has a fixed size there alone"
        yield name, Role.CHANNEL, (fixed[0],), Evidence(Level.FITS, words)


def _colour_claims(name: str, shape: Shape) -> Iterator[Claim]:
    if len(shape) == 4 and (shape[1] in COLOURS) != (shape[3] in COLOURS):
        axis = 1 if shape[1] in COLOURS else 3
        words = f"input {name!r} has {shape[axis]} values there, as colours are"
        yield name, Role.CHANNEL, (axis,), Evidence(Level.HINTS, words)


def growth_claims(graph: Graph) -> Iterator[Claim]:
    """The axis of which twice the samples make twice the size holds the batch."""
    for name, doubled in graph.doubled.items():
        shape = graph.shape(name)
        if shape is None or doubled is None or len(shape) != len(doubled):
            continue
        if None in shape or None in doubled:
            continue
        grown = [axis for axis, size in enumerate(shape) if size != doubled[axis]]
        if grown and grown[0] and shape[0] == 1 != shape[grown[0]]:
            # A list of sizes that begins with 1 is for one sample, whatever is fed.
            continue
        if len(grown) == 1 and doubled[grown[0]] == 2 * (shape[grown[0]] or 0):
            words = f"twice the samples make {name!r} twice as large"
            yield name, Role.BATCH, (grown[0],), Evidence(Level.DEFINES, words)


def node_claims(
    graph: Graph, node: onnx.NodeProto, operator: Operator, read: Sequence[str]
) -> Iterator[Claim]:
    """What a node says of the values that it makes and reads; `read` are its activations."""
    channels = operator.channels
    if channels in ("second", "last"):
        yield from _defined_claims(graph, node, operator, read)
    elif channels == "recurrent":
        yield from _recurrent_claims(node, read)
    elif channels == "dense" or operator.cost == "gemm":
        yield from _dense_claims(graph, node, operator, read)
    elif channels == "reduced":
        yield from _reduction_claims(graph, node, read)
    elif channels == "listed":
        evidence = Evidence(Level.DEFINES, "makes a list, of one sample", node)
        yield node.output[0], Role.BATCH, (), evidence
    elif channels == "gathered" and graph.is_constant(node.input[0]):
        rank, first = graph.rank(node.output[0]), attributes(node).get("axis", 0) == 0
        if first and rank and graph.rank(node.input[0]) == 2:
            evidence = Evidence(Level.DEFINES, "looks up rows of a table", node)
            yield node.output[0], Role.CHANNEL, (rank - 1,), evidence
    elif operator.field == "elementwise":
        if len(node.input) == 2 and len(read) == 1:
            yield from _constant_claims(graph, node, read[0])
    elif operator.field == "layer norm":
        rank = graph.rank(read[0])
        if rank and attributes(node).get("axis", -1) in (-1, rank - 1):
            evidence = Evidence(Level.DEFINES, "normalizes the last axis", node)
            for name in (node.output[0], read[0]):
                yield name, Role.CHANNEL, (rank - 1,), evidence
    elif operator.field in ("resize", "pad", "concat"):
        yield from _spared_claims(graph, node, operator, read)


def _defined_claims(
    graph: Graph, node: onnx.NodeProto, operator: Operator, read: Sequence[str]
) -> Iterator[Claim]:
    """An operator that has its channels second, or last, whatever it reads."""
    if operator.channels == "second":
        axis, words = 1, "has its channels second"
    else:
        rank = _rank_of(graph, node, operator)
        if rank is None:
            return
        axis, words = rank - 1, "has its channels last"
    kernel = input_name(node, operator.kernel.place) if operator.kernel else ""
    shape = graph.shape(kernel) if kernel and graph.is_constant(kernel) else None
    if shape and len(shape) > 1:
        group = int(attributes(node).get("group", 1))
        made = (shape[1] or 0) * group if operator.name == "ConvTranspose" else shape[0]
        words = f"has a kernel of {made} channels"
        told = graph.shape(node.output[0])
        if told and len(told) > axis and told[axis] is not None and told[axis] != made:
            words += f", where the file says {told[axis]}"
    evidence = Evidence(Level.DEFINES, words, node)
    batch = Evidence(Level.DEFINES, "has its samples first", node)
    for name in (node.output[0], node.input[0]):
        if name == node.output[0] or name in read:
            yield name, Role.CHANNEL, (axis,), evidence
            yield name, Role.BATCH, (0,), batch


def _rank_of(graph: Graph, node: onnx.NodeProto, operator: Operator) -> int | None:
    """As many axes as the value has, or the kernel or window that walks over it."""
    rank, window = graph.rank(node.output[0]), attributes(node).get("kernel_shape")
    if rank is None and operator.kernel is not None:
        rank = graph.rank(input_name(node, operator.kernel.place))
    return len(window) + 2 if rank is None and window is not None else rank


def _recurrent_claims(node: onnx.NodeProto, read: Sequence[str]) -> Iterator[Claim]:
    first = attributes(node).get("layout", 0) == 0
    walks = Evidence(Level.WALKS, "walks along the other one", node)
    makes = Evidence(Level.WALKS, "has its hidden units last", node)
    if node.input[0] in read:
        yield node.input[0], Role.WALKED, (0 if first else 1,), walks
        yield node.input[0], Role.BATCH, (1 if first else 0,), walks
        yield node.input[0], Role.CHANNEL, (2,), Evidence(Level.WALKS, "reads features last", node)
    sequence, *states = node.output
    if sequence:
        yield sequence, Role.BATCH, (2 if first else 0,), walks
        yield sequence, Role.CHANNEL, (3,), makes
    for name in (*states, *(name for name in node.input[5:7] if name in read)):
        if name:
            yield name, Role.BATCH, (1 if first else 0,), walks
            yield name, Role.CHANNEL, (2,), makes


def _dense_claims(
    graph: Graph, node: onnx.NodeProto, operator: Operator, read: Sequence[str]
) -> Iterator[Claim]:
    """A product of two activations (attention) has no channels of its own."""
    first, second = (input_name(node, place) for place in operator.factors)
    left, right = graph.is_constant(first), graph.is_constant(second)
    if left == right:
        return
    # In W x the channels are the rows, in x W the columns.
    last = 2 if left else 1
    rank = graph.rank(node.output[0])
    if rank and rank >= last:
        weights = graph.shape(first if left else second) or ()
        count = weights[-last] if len(weights) >= 2 and operator.cost != "gemm" else None
        words = f"has a kernel of {count} channels" if count else "is a dense layer"
        yield node.output[0], Role.CHANNEL, (rank - last,), Evidence(Level.DEFINES, words, node)
    name = second if left else first
    rank = graph.rank(name)
    if name in read and rank and rank >= last and not attributes(node).get("transA", 0):
        yield name, Role.CHANNEL, (rank - last,), Evidence(Level.FITS, "reads features there", node)


def _constant_claims(graph: Graph, node: onnx.NodeProto, value: str) -> Iterator[Claim]:
    """A constant that differs along one axis alone has a number for each channel."""
    constant = node.input[1] if node.input[0] == value else node.input[0]
    if not graph.is_constant(constant):
        return
    shape, sizes = graph.shape(value), graph.shape(constant)
    if shape is None or not sizes or max(len(shape), len(sizes)) < 3:
        return
    rank = max(len(shape), len(sizes))
    long = [axis for axis, size in enumerate(sizes, rank - len(sizes)) if size != 1]
    if len(long) != 1 or not long[0] or sizes[long[0] - rank] is None:
        return
    words = f"has a number for each of {sizes[long[0] - rank]} channels"
    evidence = Evidence(Level.FITS, words, node)
    yield node.output[0], Role.CHANNEL, (long[0],), evidence
    if len(shape) == rank and shape[long[0]] != 1:
        yield value, Role.CHANNEL, (long[0],), evidence


def _reduction_claims(graph: Graph, node: onnx.NodeProto, read: Sequence[str]) -> Iterator[Claim]:
    """What takes all positions together spares the channels."""
    rank = graph.rank(node.input[0])
    if node.input[0] not in read or rank is None or rank < 3:
        return
    axes = {axis % rank for axis in listed_axes(graph, node) or ()}
    kept = [axis for axis in range(1, rank) if axis not in axes]
    if len(axes) > 1 and 0 not in axes and len(kept) == 1:
        evidence = Evidence(Level.SPARES, "takes all other axes together", node)
        yield node.input[0], Role.CHANNEL, (kept[0],), evidence
    centred = axes == {rank - 1} and attributes(node).get("keepdims", 1)
    if centred and any(
        graph.nodes[index].op_type == "Sub" and node.input[0] in graph.nodes[index].input
        for index in graph.consumers[node.output[0]]
    ):
        evidence = Evidence(Level.FITS, "and what follows it normalize the last axis", node)
        yield node.input[0], Role.CHANNEL, (rank - 1,), evidence


def _spared_claims(
    graph: Graph, node: onnx.NodeProto, operator: Operator, read: Sequence[str]
) -> Iterator[Claim]:
    """What changes rows and columns spares the channels; what joins pictures joins channels."""
    shape, given = graph.shape(node.input[0]), attributes(node)
    if shape is None or len(shape) < 3 or node.input[0] not in read:
        return
    if operator.field == "concat":
        axis = int(given.get("axis", 1)) % len(shape)
        if len(read) > 1 and len(shape) == 4 and axis in (1, 3):
            evidence = Evidence(Level.HINTS, "joins values along it", node)
            yield node.output[0], Role.CHANNEL, (axis,), evidence
        return
    after = graph.shape(node.output[0])
    if operator.field == "pad":
        pads = given.get("pads") or listed_numbers(graph, input_name(node, 1)) or ()
        if len(pads) != 2 * len(shape):
            return
        changed = [bool(pads[axis] or pads[axis + len(shape)]) for axis in range(len(shape))]
        evidence = Evidence(Level.HINTS, "pads all other axes", node)
    else:
        sizes = after if after and len(after) == len(shape) else ()
        changed = _scaled(graph, node, len(shape)) or [
            size != old and None not in (size, old) for size, old in zip(sizes, shape, strict=False)
        ]
        evidence = Evidence(Level.SPARES, "scales all other axes", node)
    kept = [axis for axis, moved in enumerate(changed) if axis and not moved]
    if len(kept) == 1 and not changed[0]:
        yield node.input[0], Role.CHANNEL, (kept[0],), evidence


def _scaled(graph: Graph, node: onnx.NodeProto, rank: int) -> list[bool]:
    """Which axes a list of scales changes; an empty list where none is known."""
    for name in node.input[1:3]:
        if graph.is_known(name) and graph.constant_shape(name) == (rank,):
            return [scale != 1 for scale in graph.array(name).tolist()]
    return []

"""Small graphs that lie about sizes: declared shapes, weights, attributes; from a seed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.lying_oracle import Known, Walk
from tests.helpers.models import Array, random_array
from tests.helpers.mutations import Random

SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64, 4096, 65536, 10**6, 2**31 - 1, 2**31, 2**40, -1)
SMALL = (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64)


@dataclass(frozen=True)
class Liar:
    """A file that lies, a sample for it, and where its layers' activations are."""

    proto: onnx.ModelProto
    sample: Array
    layers: Mapping[str, Known]
    lie: str


# --- True graphs ------------------------------------------------------------------------------


class _Builder:
    def __init__(self, rng: Random, rank: int) -> None:
        self.rng, self.rank = rng, rank
        self.nodes: list[onnx.NodeProto] = []
        self.held: dict[str, Any] = {}
        self.last, self.channels = "x", rng.choice((1, 2, 3))

    def hold(self, *shape: int, positive: bool = False) -> str:
        name = f"k{len(self.held)}"
        array = random_array(self.rng.randrange(10**6), *shape, spread=0.5)
        self.held[name] = np.abs(array) + np.float32(0.2) if positive else array
        return name

    def add(self, op: str, *more: str, **given: Any) -> None:
        name = f"{op.lower()}{len(self.nodes)}"
        node = helper.make_node(op, [self.last, *more], [name], name=name, **given)
        self.nodes.append(node)
        self.last = name

    def convolve(self) -> None:
        rng, rank = self.rng, self.rank
        groups = rng.choice((1, 1, 1, self.channels))
        made = groups * rng.choice((2, 4, 8) if groups == 1 else (1, 2))
        taps = [rng.choice((1, 2, 3)) for _ in range(rank)]
        given: dict[str, Any] = {"kernel_shape": taps, "group": groups}
        if rng.random() < 0.3:
            given["strides"] = [rng.choice((1, 2)) for _ in range(rank)]
        if rng.random() < 0.25:
            kernel = self.hold(self.channels, made // groups, *taps)
            self.add("ConvTranspose", kernel, self.hold(made), **given)
        else:
            given["pads"] = [tap // 2 for tap in taps] * 2
            kernel = self.hold(made, self.channels // groups, *taps)
            self.add("Conv", kernel, self.hold(made), **given)
        self.channels = made

    def scale(self) -> None:
        shape = (self.channels, *[1] * self.rank)
        op = self.rng.choice(("Mul", "Add", "Sub", "Div"))
        self.add(op, self.hold(*shape, positive=op == "Div"))

    def normalize(self) -> None:
        names = [self.hold(self.channels, positive=place == 3) for place in range(4)]
        self.add("BatchNormalization", *names)

    def clip(self) -> None:
        self.held["low"], self.held["high"] = np.float32(-0.5), np.float32(0.9)
        self.add("Clip", "low", "high")

    def quantize(self) -> None:
        scale = self.hold(self.channels, positive=True)
        zero = f"{scale}z"
        self.held[zero] = np.full(self.channels, 3, np.uint8)
        self.add("QuantizeLinear", scale, zero, axis=1)
        self.add("DequantizeLinear", scale, zero, axis=1)

    def branch(self) -> None:
        if self.rank == 1:
            # Which axis of a sequence has the channels is not to be seen behind a body.
            return
        bodies = {}
        for key, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
            out = helper.make_tensor_value_info(f"{self.last}{op}", TensorProto.FLOAT, None)
            node = helper.make_node(op, [self.last], [out.name])
            bodies[key] = helper.make_graph([node], op, [], [out])
        self.held["true"] = np.array(self.rng.random() < 0.5)
        self.last = "true"
        self.add("If", **bodies)


def true_graph(rng: Random) -> tuple[onnx.ModelProto, Array]:
    """A graph that says nothing wrong, and a sample for it."""
    rank = rng.choice((1, 2, 2, 2, 3))
    made = _Builder(rng, rank)
    first = made.channels
    size = [rng.choice((4, 5, 6, 8)) for _ in range(rank)]
    steps: tuple[Callable[[], None], ...] = (
        made.convolve, made.scale, made.normalize, made.clip,
        lambda: made.add("Relu"), lambda: made.add("Relu"), lambda: made.add("Sigmoid"),
        made.scale, made.quantize, made.branch,
    )  # fmt: skip
    made.convolve()
    for _ in range(rng.randrange(2, 7)):
        rng.choice(steps)()
    shown = [node.output[0] for node in made.nodes if rng.random() < 0.3]
    if rng.random() < 0.6:
        made.add("GlobalAveragePool")
        made.add("Flatten")
        made.add("Gemm", made.hold(made.channels, 4), made.hold(4))
    outputs = dict.fromkeys([made.last, *shown])
    batch = rng.choice(("N", "N", 1))
    graph = helper.make_graph(
        made.nodes,
        "liar",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, first, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in made.held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if rng.random() < 0.5:
        model = onnx.shape_inference.infer_shapes(model)
    return model, random_array(rng.randrange(10**6), first, *size)


# --- Lies -------------------------------------------------------------------------------------


def _set_shape(value: onnx.ValueInfoProto, rng: Random) -> None:
    """Declare another shape: one size of the true one, or any."""
    dims = value.type.tensor_type.shape.dim
    if not dims or rng.random() < 0.3:
        sizes = ["N", *(rng.choice(SIZES) for _ in range(rng.randrange(6)))]
        del dims[:]
        for size in sizes[rng.randrange(2) :]:
            dims.add(**{"dim_param" if isinstance(size, str) else "dim_value": size})
        return
    place = rng.randrange(len(dims))
    what = rng.random()
    if what < 0.75:
        dims[place].dim_value = rng.choice(SIZES)
    elif what < 0.85:
        dims[place].dim_param = "N"
    elif what < 0.95:
        dims.add().dim_value = rng.choice(SIZES)
    else:
        del dims[place]


def _lie_of_outputs(model: onnx.ModelProto, rng: Random) -> None:
    for value in model.graph.output:
        if rng.random() < 0.7:
            _set_shape(value, rng)


def _lie_of_channels(model: onnx.ModelProto, rng: Random) -> None:
    """All values are given out, each with its true shape but for the channels."""
    inferred = model
    with suppress(onnx.shape_inference.InferenceError):
        # Another lie may be there already.
        inferred = onnx.shape_inference.infer_shapes(model)
    known = {each.name: each for each in (*inferred.graph.value_info, *inferred.graph.output)}
    made = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    wrong = rng.choice(SMALL)
    for name in made:
        value = known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        model.graph.output.append(value)
        if len(value.type.tensor_type.shape.dim) > 1 and rng.random() < 0.8:
            model.graph.output[-1].type.tensor_type.shape.dim[1].dim_value = wrong


def _lie_of_values(model: onnx.ModelProto, rng: Random) -> None:
    known = {each.name for each in model.graph.value_info}
    names = [name for node in model.graph.node for name in node.output]
    outputs = {each.name for each in model.graph.output}
    for name in names:
        if name not in known | outputs:
            model.graph.value_info.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])
            )
    for value in model.graph.value_info:
        if rng.random() < 0.7:
            _set_shape(value, rng)


def _lie_of_inputs(model: onnx.ModelProto, rng: Random) -> None:
    _set_shape(model.graph.input[0], rng)


def _lie_in_branches(model: onnx.ModelProto, rng: Random) -> None:
    bodies = [each.g for node in model.graph.node for each in node.attribute if each.HasField("g")]
    for body in bodies:
        for value in body.output:
            value.type.tensor_type.shape.SetInParent()
            _set_shape(value, rng)
    if not bodies:
        _lie_of_outputs(model, rng)


def _lie_of_weights(model: onnx.ModelProto, rng: Random) -> None:
    """A weight of another shape: biases, bounds, scales, factors, kernels."""
    tensor = rng.choice(model.graph.initializer)
    old = numpy_helper.to_array(tensor)
    shape = list(old.shape)
    what = rng.random()
    if shape and what < 0.6:
        shape[rng.randrange(len(shape))] = rng.choice(SMALL)
    elif what < 0.75:
        shape.insert(rng.randrange(len(shape) + 1), rng.choice((1, 1, 2, 3)))
    elif shape and what < 0.85:
        shape.pop(rng.randrange(len(shape)))
    elif shape and what < 0.95:
        rng.shuffle(shape)
    else:
        shape = [rng.choice(SMALL) for _ in range(rng.randrange(5))]
    new = np.resize(old, shape).astype(old.dtype)
    tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))


def _lie_of_attributes(model: onnx.ModelProto, rng: Random) -> None:
    """Shapes of kernels, groups, strides, pads, dilations, axes."""
    node = rng.choice([each for each in model.graph.node if "Conv" in each.op_type])
    rank = len(model.graph.input[0].type.tensor_type.shape.dim) - 2
    name = rng.choice(
        ("kernel_shape", "group", "strides", "pads", "dilations", "output_shape", "output_padding")
    )
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if name == "group":
        node.attribute.append(helper.make_attribute(name, rng.choice(SIZES)))
        return
    length = max(1, rng.choice((rank, rank, rank, rank + 1, 1))) * (2 if name == "pads" else 1)
    numbers = SMALL if rng.random() < 0.7 else SIZES
    node.attribute.append(helper.make_attribute(name, [rng.choice(numbers) for _ in range(length)]))


def _lie_of_listed_weights(model: onnx.ModelProto, rng: Random) -> None:
    """Initializers among the inputs, with shapes of their own."""
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        if rng.random() < 0.4:
            _set_shape(value, rng)
        model.graph.input.append(value)


LIES: Mapping[str, Callable[[onnx.ModelProto, Random], None]] = {
    "outputs": _lie_of_outputs,
    "channels": _lie_of_channels,
    "values": _lie_of_values,
    "inputs": _lie_of_inputs,
    "branches": _lie_in_branches,
    "weights": _lie_of_weights,
    "attributes": _lie_of_attributes,
    "listed": _lie_of_listed_weights,
}


def lying_graph(seed: int) -> Liar:
    """The graph of a seed, the same in every run."""
    rng = Random(f"graph {seed}")
    model, sample = true_graph(rng)
    names = [rng.choice(list(LIES)) for _ in range(rng.choice((1, 1, 2, 3)))]
    for name in names:
        LIES[name](model, rng)
    return Liar(model, sample, known_layers(model), ", ".join(names))


def known_layers(model: onnx.ModelProto) -> dict[str, Known]:
    """The layers, as the nodes say."""
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    found = {"x": Known("x", 1)}
    for node in model.graph.node:
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        flat = node.op_type in ("GlobalAveragePool", "Flatten", "Gemm")
        walk = source = None
        if "Conv" in node.op_type:
            kernel, source = held[node.input[1]], node.input[0]
            rank = max(1, kernel.ndim - 2)
            walk = Walk(
                kernel,
                held[node.input[2]],
                given.get("strides", [1] * rank),
                given.get("dilations", [1] * rank),
                given.get("pads", [0] * (2 * rank))[:rank],
                given.get("group", 1),
                node.op_type == "ConvTranspose",
                given.get("output_padding", ()),
            )
            if "output_shape" in given:
                # Its pads follow from rules that are not written down here.
                continue
        form = "flat" if flat else "channels"
        found[node.name] = Known(_shown_value(model, node.output[0]), 1, form, walk, source)
    return found


def _shown_value(model: onnx.ModelProto, value: str) -> str:
    """What a layer shows: the numbers behind the pair, if nothing else reads its own."""
    readers = [node for node in model.graph.node if value in _read(node)]
    given_out = any(each.name == value for each in model.graph.output)
    if given_out or [node.op_type for node in readers] != ["QuantizeLinear"]:
        return value
    (codes,) = readers[0].output
    pairs = (node for node in model.graph.node if codes in node.input)
    return next((node.output[0] for node in pairs), value)


def _read(node: onnx.NodeProto) -> set[str]:
    """What a node reads, its branches included."""
    bodies = [each.g for each in node.attribute if each.HasField("g")]
    return {*node.input, *(name for body in bodies for each in body.node for name in each.input)}

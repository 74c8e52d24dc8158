"""Models made to be run: in one piece without looking at the graph, as cut by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.slices import cut_model, find_bounds, whole_model
from tests.helpers.models import (
    Array,
    conv_net,
    conv_node,
    if_branches,
    loop_body,
    make_model,
    random_array,
    two_input_net,
)
from tests.helpers.plain_runtime import run as plain

node = helper.make_node


def listed_net() -> onnx.ModelProto:
    """A model of IR version 3, whose weights are listed among the inputs."""
    model = make_model(
        [conv_node("conv", "x", "w")],
        {"x": ["b", 1, 8, 6]},
        ["conv:0"],
        {"w": random_array(1, 2, 1, 3, 3)},
        listed=True,
    )
    model.ir_version = 3
    return model


def idle_net() -> onnx.ModelProto:
    """With a weight and an input that nobody reads, and wrong words about a value's shape."""
    model = make_model(
        [node("Relu", ["x"], ["r"], name="relu"), node("Neg", ["r"], ["out"], name="neg")],
        {"x": ["b", 1, 8, 6], "idle": ["b", 2]},
        ["out"],
        {"nothing": np.zeros(4, np.float32)},
    )
    model.graph.value_info.append(helper.make_tensor_value_info("r", onnx.TensorProto.DOUBLE, [1]))
    return model


def rnn_net() -> onnx.ModelProto:
    """Whose ``Y`` has no name until its layers are read."""
    constants = {"w": random_array(1, 1, 16, 3), "r": random_array(2, 1, 16, 4)}
    nodes = [node("LSTM", ["x", "w", "r"], ["", "h"], name="lstm", hidden_size=4)]
    return make_model(nodes, {"x": [5, 1, 3]}, ["h"], constants)


MODELS = {
    "net": conv_net(),
    "two inputs": two_input_net(),
    "listed": listed_net(),
    "idle": idle_net(),
    "rnn": rnn_net(),
}


def run(proto: onnx.ModelProto, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> list[Array]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    shapes = {each.name: each.shape for each in session.get_inputs()}
    feeds = {
        name: random_array(seed, *(size if isinstance(size, int) else 2 for size in shapes[name]))
        for seed, name in enumerate(inputs)
    }
    return list(session.run(list(outputs), feeds))


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model_is_what_one_slice_is(name: str) -> None:
    file = open_model(MODELS[name])
    known = read_layers(file)
    wanted = [t.value for t in known.taps.values() if t.value in known.graph.producer]
    bounds = find_bounds(known.graph, wanted, {}, 2**62)
    (cut,) = cut_model(file, known.graph, wanted, bounds)
    whole = whole_model(file, wanted)
    assert (whole.inputs, whole.outputs) == (cut.inputs, cut.outputs)
    assert [t.name for t in whole.proto.graph.initializer] == [
        t.name for t in cut.proto.graph.initializer
    ]
    one, other = (run(part.proto, part.inputs, part.outputs) for part in (whole, cut))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_file_stays_as_it_is() -> None:
    file = open_model(conv_net())
    whole_model(file, ["conv:0"])
    assert file.proto == conv_net()


def number(name: str, value: float) -> onnx.NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, np.float32)))


SAME: dict[str, Any] = {"pads": [1] * 4}
CONSTANTS = {
    "w": random_array(1, 4, 1, 3, 3), "v": random_array(2, 4, 4, 3, 3),
    "limit": np.float32(0), "parts": np.array(2), "first": np.array(0),
    "yes": np.array(True), "times": np.array(3), "axis": np.array([1]),
}  # fmt: skip
CONVS = [conv_node("c1", "x", "w", **SAME), conv_node("c2", "c1:0", "v", **SAME)]
CUT: dict[str, tuple[list[onnx.NodeProto], list[str]]] = {
    "bounds between": (
        [CONVS[0], number("low", 0), number("high", 6),
         node("Clip", ["c1:0", "low", "high"], ["r"]),
         conv_node("c2", "r", "v", **SAME), conv_node("c3", "c2:0", "v", **SAME),
         node("Add", ["c3:0", "r"], ["out"])], ["out"],
    ),
    "constants at the end": (
        [*CONVS, number("low", 0), node("Max", ["c2:0", "low"], ["out"]), number("late", 1),
         node("Neg", ["late"], ["later"])], ["out"],
    ),
    "a constant that many read": (
        [number("two", 2), CONVS[0], node("Mul", ["c1:0", "two"], ["m"]),
         node("Neg", ["two"], ["n"]),
         conv_node("c2", "m", "v", **SAME), node("Mul", ["c2:0", "n"], ["k"]),
         node("Add", ["k", "two"], ["out"])], ["out"],
    ),
    "a constant given out": (
        [*CONVS, number("two", 2), node("Add", ["c2:0", "two"], ["out"])], ["out", "two", "v"],
    ),
    "what nobody reads": (
        [CONVS[0], node("Neg", ["c1:0"], ["lost"]), CONVS[1], node("Relu", ["c2:0"], ["out"]),
         node("Abs", ["out"], ["lost too"])], ["out"],
    ),
    "between given out": ([*CONVS, node("Relu", ["c2:0"], ["out"])], ["c1:0", "out", "c2:0"]),
    "captured": (
        [*CONVS, node("ReduceMax", ["c2:0"], ["top"], keepdims=0),
         node("Greater", ["top", "limit"], ["flag"]),
         node("If", ["flag"], ["branch"], **if_branches("c1:0")),
         conv_node("c3", "branch", "v", **SAME), node("Add", ["c3:0", "c1:0"], ["out"])], ["out"],
    ),
    "a loop": (
        [*CONVS, node("Loop", ["times", "yes", "c2:0"], ["looped"],
                      body=loop_body(node("Add", ["state", "c1:0"], ["next"]))),
         conv_node("c3", "looped", "v", **SAME)], ["c3:0"],
    ),
    "a sequence": (
        [*CONVS, node("SplitToSequence", ["c2:0", "parts"], ["many"], axis=1),
         conv_node("c3", "c2:0", "v", **SAME), node("SequenceAt", ["many", "first"], ["part"]),
         node("ReduceSum", ["part", "axis"], ["sum"]), node("Mul", ["sum", "c3:0"], ["out"])],
        ["out"],
    ),
    "outputs left out": (
        [CONVS[0], node("Dropout", ["c1:0"], ["d", "mask"]), conv_node("c2", "d", "v", **SAME),
         node("MaxPool", ["c2:0"], ["p", ""], kernel_shape=[1, 1]),
         node("Where", ["mask", "p", "d"], ["out"])], ["out"],
    ),
    "shapes": (
        [*CONVS, node("Shape", ["c1:0"], ["sizes"]), conv_node("c3", "c2:0", "v", **SAME),
         node("Reshape", ["c3:0", "sizes"], ["out"])], ["out"],
    ),
}  # fmt: skip
"""Nodes and outputs of models, cut wherever there is a place."""


@pytest.mark.parametrize("wanted_too", ["all", "last"])
@pytest.mark.parametrize("name", CUT)
def test_slices_give_what_the_whole_gives(name: str, wanted_too: str) -> None:
    nodes, outputs = CUT[name]
    used = {read for each in nodes for read in each.input} | set(outputs)
    held = {key: value for key, value in CONSTANTS.items() if key in used}
    model = make_model(nodes, {"x": ["b", 1, 8, 6]}, outputs, held)
    file = open_model(model)
    graph = Graph(file)
    made = [each for one in graph.nodes for each in one.output if each in graph.kind]
    wanted = [
        each
        for each in made
        if graph.kind[each] is Kind.ACTIVATION and graph.element_type(each) == 1
    ]
    wanted = wanted if wanted_too == "all" else [each for each in wanted if each in outputs]
    bounds = find_bounds(graph, wanted, dict.fromkeys(wanted, 2), 1)
    parts = cut_model(file, graph, wanted, bounds)
    values: dict[str, Array] = {"x": random_array(5, 2, 1, 8, 6)}
    for part in parts:
        assert part.outputs
        assert all(graph.kind[each] is not Kind.CONSTANT for each in part.outputs)
        session = onnxruntime.InferenceSession(
            part.proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        feeds = {each: values[each] for each in part.inputs}
        values.update(zip(part.outputs, session.run(list(part.outputs), feeds), strict=True))
    given_out = [each for part in parts for each in part.outputs]
    assert len(given_out) == len(set(given_out))
    for each, expected in zip(wanted, plain(model, {"x": values["x"]}, *wanted), strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(values[each] / largest, expected / largest, atol=1e-5)
    assert len(parts) > 1 or wanted_too == "last"

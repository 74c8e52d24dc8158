"""Models made to be run: in one piece without looking at the graph, as cut by it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.slices import cut_model, find_bounds, whole_model
from tests.helpers.models import Array, conv_net, conv_node, make_model, random_array, two_input_net

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

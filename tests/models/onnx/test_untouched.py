"""What a file says is what runs, whatever this project rewrites when it reads the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from micam_fast.models.onnx import OnnxFile, open_model, read_layers
from micam_fast.models.onnx.files import make_mark
from micam_fast.models.onnx.untouched import untouched_model
from tests.helpers.chains import op
from tests.helpers.models import Array, conv_net, make_model, random_array
from tests.helpers.quantized_models import pairs_net


def rnn_net() -> onnx.ModelProto:
    """An LSTM whose ``Y`` has no name."""
    constants = {"w": random_array(1, 1, 16, 3), "r": random_array(2, 1, 16, 4)}
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], name="lstm", hidden_size=4),
        op("Relu", "h", "out"),
    ]
    return make_model(nodes, {"x": [5, 1, 3]}, ["out"], constants)


def function_net() -> onnx.ModelProto:
    """A convolution, and a function that is called twice and holds a constant."""
    half = helper.make_node(
        "Constant", [], ["half"], value=numpy_helper.from_array(np.array([2], np.float32))
    )
    body = [half, helper.make_node("Mul", ["a", "half"], ["b"])]
    opsets = [helper.make_opsetid("", 13)]
    twice = helper.make_function("own", "Twice", ["a"], ["b"], body, opsets)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], name="conv"),
        helper.make_node("Twice", ["conv"], ["more"], domain="own"),
        helper.make_node("Twice", ["more"], ["out"], domain="own"),
    ]
    graph = helper.make_graph(
        nodes,
        "calls",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info("out", 1, None)],
        [numpy_helper.from_array(random_array(0, 2, 3, 3, 3), "w")],
    )
    own = helper.make_opsetid("own", 1)
    return helper.make_model(graph, functions=[twice], opset_imports=[*opsets, own], ir_version=8)


def integer_net() -> onnx.ModelProto:
    """A convolution of codes, whose codes are the output."""
    weights = np.random.default_rng(0).integers(-9, 9, (4, 3, 3, 3)).astype(np.int8)
    constants = {
        "s": np.float32(0.03), "z": np.uint8(120), "w": weights, "ws": np.float32(0.01),
        "wz": np.int8(0),
    }  # fmt: skip
    nodes = [op("QuantizeLinear", "x s z", "q"), op("QLinearConv", "q s z w ws wz s z", "out")]
    proto = make_model(nodes, {"x": ["N", 3, 6, 6]}, ["out"], constants)
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return proto


REWRITTEN = {
    "units": integer_net(),
    "pairs": pairs_net("none before pools"),
    "unnamed": rnn_net(),
    "functions": function_net(),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_the_nodes_are_the_files_own(name: str) -> None:
    proto = REWRITTEN[name]
    model = open_model(proto)
    read_layers(model)
    assert list(model.proto.graph.node) != list(proto.graph.node)
    output = proto.graph.output[0].name
    found = untouched_model(model, [output]).proto
    key = onnx.NodeProto.SerializeToString
    own = [node for node in found.graph.node if node.op_type != "Constant"]
    assert [key(n) for n in own] == [key(n) for n in proto.graph.node if n.op_type != "Constant"]
    assert [each.name for each in found.graph.output] == [output]
    assert list(found.functions) == list(proto.functions)
    assert {t.name for t in found.graph.initializer} <= {t.name for t in proto.graph.initializer}
    for tensor in found.graph.initializer:
        assert tensor in proto.graph.initializer


def weights_held(message: onnx.ModelProto | None) -> Iterator[int]:
    if message is not None:
        yield from (tensor.ByteSize() for tensor in message.graph.initializer)
        for node in message.graph.node:
            yield from (each.t.ByteSize() for each in node.attribute if each.HasField("t"))


@pytest.mark.parametrize("name", REWRITTEN)
def test_weights_are_held_once(name: str) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(REWRITTEN[name])
    large = numpy_helper.from_array(random_array(0, 300, 100), "large")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["large"], value=large))
    model = open_model(proto)
    assert model.original is not None
    assert sum(weights_held(model.original)) == 0
    assert sum(weights_held(model.proto)) > 120_000


def test_a_file_that_is_not_rewritten_is_held_once() -> None:
    model = open_model(conv_net())
    assert model.original is None
    found = untouched_model(model, ["softmax:0"]).proto
    assert list(found.graph.node) == list(conv_net().graph.node)


# --- What tells a model from others -------------------------------------------------------------


def with_weights(array: Array) -> onnx.ModelProto:
    return make_model([op("Conv", "x w", "conv")], {"x": ["N", 64, 8, 8]}, ["conv"], {"w": array})


def test_weights_that_a_training_changed_are_another_model() -> None:
    kernel = random_array(0, 512, 64, 3, 3)
    assert kernel.nbytes > 2**20
    mark = open_model(with_weights(kernel)).mark
    assert mark is not None
    assert open_model(with_weights(kernel)).mark == mark
    for step in (1e-3, 1e-6):
        trained = kernel + np.float32(step) * random_array(1, *kernel.shape)
        assert open_model(with_weights(trained)).mark != mark


def test_every_byte_of_a_small_model_counts() -> None:
    kernel = random_array(0, 4, 64, 1, 1)
    other = kernel.copy()
    other[2, 7] += 1
    assert open_model(with_weights(kernel)).mark != open_model(with_weights(other)).mark


def test_weights_in_other_files_count(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"

    def save(seed: int) -> OnnxFile:
        (tmp_path / "weights").unlink(missing_ok=True)
        proto = with_weights(random_array(seed, 16, 64, 3, 3))
        onnx.save(proto, path, save_as_external_data=True, location="weights")
        return open_model(path)

    before = save(0).mark
    assert open_model(path).mark == before
    assert save(1).mark != before


def test_a_mark_is_of_the_content() -> None:
    assert make_mark(b"a", []) != make_mark(b"b", [])
    assert make_mark(b"a" * 2**21, []) != make_mark(b"a" * (2**21 + 509), [])

"""Zeros that PyTorch's exporter gives to convolutions whose modules have no bias."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from micam_fast.models.pytorch.conversion import drop_made_biases
from tests.helpers.models import conv_node, make_model, random_array


def net(**biases: object) -> onnx.ModelProto:
    """A convolution for each bias, one after the other."""
    nodes, source = [], "x"
    for place, name in enumerate(biases):
        nodes.append(conv_node(f"c{place}", source, "w", name, pads=[1, 1, 1, 1]))
        source = nodes[-1].output[0]
    constants = {"w": random_array(1, 2, 2, 3, 3), **biases}
    return make_model(nodes, {"x": [1, 2, 4, 4]}, [source], constants)


def test_zeros_that_are_no_parameter_go() -> None:
    zeros = np.zeros(2, np.float32)
    proto = net(**{"conv.bias": zeros, "val_3": zeros, "val_4": random_array(2, 2)})
    drop_made_biases(proto)
    assert [list(node.input[2:]) for node in proto.graph.node] == [["conv.bias"], [], ["val_4"]]
    assert [each.name for each in proto.graph.initializer] == ["w", "conv.bias", "val_4"]


def test_what_others_read_stays() -> None:
    """A branch of an If reads what lies outside of it, and the graph may give a constant out."""
    zeros = np.zeros(2, np.float32)
    proto = net(val_3=zeros)
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Neg", ["val_3"], ["b"])], "body", [], [value])
    other = helper.make_graph([helper.make_node("Abs", ["val_5"], ["b"])], "other", [], [value])
    proto.graph.node.append(
        helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=other)
    )
    for name, array in (("yes", np.array(True)), ("val_5", zeros), ("given", zeros)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    proto.graph.output.append(helper.make_tensor_value_info("given", TensorProto.FLOAT, [2]))
    held = [each.name for each in proto.graph.initializer]
    drop_made_biases(proto)
    assert len(proto.graph.node[0].input) == 2
    assert [each.name for each in proto.graph.initializer] == held

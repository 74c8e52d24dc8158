"""What an ONNX file tells of the modules that its operators come from."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from micam_fast.models.onnx import open_model, read_layers


def scoped(node: onnx.NodeProto, *modules: str) -> onnx.NodeProto:
    """A node with the modules around it, as PyTorch's exporter writes them."""
    scopes = repr([*modules, node.output[0]])
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return node


def halves(*around: str) -> onnx.ModelProto:
    """A Split that says nothing of itself, within a module that two others lie in."""
    nodes = [
        scoped(helper.make_node("Relu", ["x"], ["r"], "node_relu"), "", "stage", "stage.act"),
        helper.make_node("Split", ["r"], ["a", "b"], "node_Split_3", axis=1, num_outputs=2),
        scoped(helper.make_node("Tanh", ["a"], ["t"], "node_tanh"), *around),
        scoped(helper.make_node("Add", ["t", "b"], ["y"], "node_add"), "", "stage"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 3, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [value], [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def names(model: onnx.ModelProto) -> list[str]:
    return [layer.name for layer in read_layers(open_model(model)).layers]


def test_an_operator_that_says_nothing_stands_where_all_around_it_do() -> None:
    """PyTorch's optimizer makes a Split of a chunk, and forgets whose it was."""
    wanted = ["x", "stage.act", "stage.split", "stage.split:1", "stage.inner", "stage.add"]
    assert names(halves("", "stage", "stage.inner")) == wanted


def test_what_has_nothing_in_common_stands_in_the_network_itself() -> None:
    assert names(halves("", "other"))[2:4] == ["split", "split:1"]


def test_where_no_neighbour_tells_anything_the_node_s_name_stays() -> None:
    model = halves("", "other")
    for node in model.graph.node:
        del node.metadata_props[:]
    assert names(model)[2:4] == ["node_Split_3", "node_Split_3:1"]

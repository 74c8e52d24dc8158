"""Names of layers by what an ONNX file tells of its modules."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

import micam_fast
from micam_fast.core.layers import Layer
from micam_fast.models.onnx import open_model, read_layers
from tests.helpers.models import conv_node, make_model, random_array


def scoped_net(prefix: str = "model/") -> onnx.ModelProto:
    """A convolution with its ReLU in a layer, a nested model of two layers, called twice."""
    nodes = [
        conv_node(f"{prefix}stem/Conv2D", "x", "w1"),
        helper.make_node("Relu", [f"{prefix}stem/Conv2D:0"], ["r1"], f"{prefix}stem/Relu"),
        conv_node(f"{prefix}block/conv/Conv2D", "r1", f"{prefix}block/conv/Conv2D/ReadVariableOp"),
        helper.make_node(
            "Relu", [f"{prefix}block/conv/Conv2D:0"], ["r2"], f"{prefix}block/relu/Relu__7"
        ),
        helper.make_node("Add", ["r2", "r1"], ["sum"], "Add__12"),
    ]
    constants = {
        "w1": random_array(1, 4, 4, 1, 1),
        f"{prefix}block/conv/Conv2D/ReadVariableOp": random_array(2, 4, 4, 1, 1),
    }
    return make_model(nodes, {"x": [None, 4, 5, 5]}, ["sum"], constants)


def layers_of(proto: onnx.ModelProto) -> list[Layer]:
    return list(micam_fast.load_model(proto).layers)


def test_scopes_of_tensorflow_name_layers() -> None:
    proto = scoped_net()
    proto.producer_name = "tf2onnx"
    assert [(each.name, each.cluster, each.module) for each in layers_of(proto)] == [
        ("x", (), None),
        ("stem/conv", (), "stem"),
        ("stem/relu", (), "stem"),
        ("block/conv", ("block",), "block/conv"),
        ("block/relu", ("block",), "block/relu"),
        ("Add__12", (), None),
    ]


def test_a_saved_model_is_known_whatever_rewrote_the_file() -> None:
    proto = scoped_net("StatefulPartitionedCall/model/")
    proto.producer_name = "onnx.quantize"
    assert [each.name for each in layers_of(proto)][3:5] == ["block/conv", "block/relu"]


def test_scopes_of_others_are_names() -> None:
    assert [each.name for each in layers_of(scoped_net())][1] == "model/stem/Conv2D"


def split_net(last: str) -> onnx.ModelProto:
    """An operator without a scope between two of the module ``attn``, and one of `last`."""
    nodes = [
        conv_node("/attn/qkv/Conv", "x", "w"),
        helper.make_node("Relu", ["/attn/qkv/Conv:0"], ["r"], "/attn/Relu"),
        helper.make_node("Split", ["r"], ["a", "b"], "Split_37", axis=1),
        helper.make_node("Sigmoid", ["a"], ["c"], "/attn/Sigmoid"),
        helper.make_node("Tanh", ["b"], ["d"], f"{last}Tanh"),
        helper.make_node("Add", ["c", "d"], ["sum"], "/Add"),
    ]
    return make_model(nodes, {"x": [None, 4, 5, 5]}, ["sum"], {"w": random_array(1, 4, 4, 1, 1)})


def test_an_operator_that_was_added_lies_where_all_around_it_lies() -> None:
    found = {each.onnx_name: each for each in layers_of(split_net("/attn/"))}
    assert found["Split_37"].name == "attn.split"
    assert found["Split_37"].cluster == ("attn",)


def test_an_operator_between_modules_keeps_its_name() -> None:
    for last in ("/", "/head/", "Unknown_"):
        assert "Split_37" in [each.name for each in layers_of(split_net(last))]


def test_an_operator_at_an_end_keeps_its_name() -> None:
    proto = split_net("/attn/")
    proto.graph.output.append(helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None))
    assert "Split_37" in [each.name for each in layers_of(proto)]


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


def test_what_stands_between_the_outermost_modules_keeps_its_name() -> None:
    assert names(halves("", "other"))[2:4] == ["node_Split_3", "node_Split_3:1"]


def test_where_no_neighbour_tells_anything_the_node_s_name_stays() -> None:
    model = halves("", "other")
    for node in model.graph.node:
        del node.metadata_props[:]
    assert names(model)[2:4] == ["node_Split_3", "node_Split_3:1"]

"""What all evidence of a graph says together, and what it says against each other."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import helper

from micam_fast.core.layers import Axes, Reason
from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.axes import infer_axes
from micam_fast.models.onnx.graph import Graph
from tests.helpers.axes import channels, conclude, ints, ones, op, places
from tests.helpers.models import make_model

CUBE = {"x": ["N", 5, 5, 5]}
K = ones(5, 5, 1, 1)


@pytest.mark.parametrize("kind", ["Frobnicate", "Conv", "LayerNormalization", "Relu"])
def test_nothing_is_known_of_another_domain(kind: str) -> None:
    """Whatever its operators are called."""
    model = make_model([op("Sum", "x k", "y")], CUBE, ["y"], {"k": K})
    node = model.graph.node[0]
    node.op_type, node.domain = kind, "somebody.else"
    model.opset_import.append(helper.make_opsetid("somebody.else", 1))
    found = infer_axes(Graph(open_model(model)))
    assert set(found.axes) == {"x"}
    assert places(found, "x") == [(0, None)]
    assert found.reason("x") == Reason(None, "it is the first axis of input 'x'")
    assert found.reason("y") == Reason(None, None)
    assert not found.has_channels("y")


def test_evidence_is_carried_forwards_and_backwards() -> None:
    nodes = [
        op("Relu", "x", "before"),
        op("Transpose", "before", "second", perm=[0, 3, 1, 2]),
        op("Conv", "second k", "conv"),
        op("Transpose", "conv", "last", perm=[0, 2, 3, 1]),
        op("Tanh", "last", "after"),
    ]
    found = conclude(nodes, CUBE, {"k": K})
    assert channels(found, "x", "before", "second", "conv", "last", "after") == [3, 3, 1, 1, 3, 3]
    assert {found.reason(n).channels for n in ("x", "after")} == {
        "node 'conv' (Conv) has a kernel of 5 channels"
    }


def test_constants_of_channels_last_between_convolutions() -> None:
    """Where height, width and channels are the same, sizes tell nothing."""
    nodes = [
        op("Conv", "x k", "conv"),
        op("Transpose", "conv", "last", perm=[0, 2, 3, 1]),
        op("Mul", "last scale", "scaled"),
        op("Add", "scaled shift", "shifted"),
    ]
    constants = {"k": K, "scale": ones(5), "shift": ones(1, 1, 5)}
    found = conclude(nodes, CUBE, constants)
    assert channels(found, "last", "scaled", "shifted") == [3, 3, 3]
    assert found.reason("shifted").contradiction is None


def test_the_stronger_counts() -> None:
    """A kernel, before a constant, before the sizes of a picture."""
    nodes = [op("Mul", "x k3", "scaled"), op("Conv", "scaled k", "conv")]
    found = conclude(nodes, {"x": ["N", 5, 5, 3]}, {"k3": ones(3), "k": K})
    assert channels(found, "scaled", "x") == [1, 1]
    assert found.reason("x").channels == "node 'conv' (Conv) has a kernel of 5 channels"
    found = conclude([op("Mul", "x k5", "y")], {"x": ["N", 5, 4, 3]}, {"k5": ones(5, 1, 1)})
    assert channels(found, "x") == [1]


def test_of_equal_ones_the_nearer_counts() -> None:
    nodes = [
        op("LayerNormalization", "x scale", "norm"),
        op("Relu", "norm", "near"),
        op("Tanh", "near", "middle"),
        op("Sigmoid", "middle", "far"),
        op("Conv", "far k", "conv"),
    ]
    found = conclude(nodes, CUBE, {"scale": ones(5), "k": K})
    assert channels(found, "x", "norm", "near", "far", "conv") == [3, 3, 3, 1, 1]


def test_a_contradiction() -> None:
    nodes = [op("LayerNormalization", "x scale", "norm"), op("Conv", "norm k", "conv")]
    found = conclude(nodes, CUBE, {"scale": ones(5), "k": K})
    assert channels(found, "norm", "conv") == [3, 1]
    assert found.reason("norm") == Reason(
        "node 'norm' (LayerNormalization) normalizes the last axis",
        "node 'conv' (Conv) has its samples first",
        "node 'conv' (Conv) has a kernel of 5 channels: channels on axis 1",
    )
    assert found.reason("conv").contradiction is None


def test_weak_evidence_contradicts_nothing() -> None:
    nodes = [op("Mul", "x scale", "y"), op("Conv", "y k", "conv")]
    found = conclude(nodes, CUBE, {"scale": ones(5), "k": K})
    assert found.reason("y").contradiction is None


def test_the_file_contradicts_a_kernel() -> None:
    """What the file says of sizes that inference cannot tell is a claim."""
    model = make_model([op("Conv", "x k", "y")], {"x": [1, 5, 4, 4]}, ["y"], {"k": K})
    node = model.graph.node[0]
    node.op_type, node.domain = "FusedConv", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 64
    found = infer_axes(Graph(open_model(model)))
    assert channels(found, "y") == [1]
    said = "node 'y' (FusedConv) has a kernel of 5 channels, where the file says 64"
    assert found.reason("y").channels == said


def test_names_of_any_length_make_short_words() -> None:
    found = conclude([op("MaxPool", "x", "y" * 1_999, kernel_shape=[1, 1])], CUBE)
    reason = found.reason("x")
    assert reason.channels is not None
    assert len(reason.channels) <= 200
    assert reason.channels.endswith("has its channels second")


def test_words_are_made_once_for_all_values() -> None:
    nodes = [op("Conv", "x k", "conv"), *(op("Relu", "conv", f"r{n}") for n in range(3))]
    found = conclude(nodes, CUBE, {"k": K})
    assert len({id(found.reason(f"r{n}").channels) for n in range(3)}) == 1


def test_where_all_axes_hold_channels_there_is_no_batch() -> None:
    found = conclude([op("LayerNormalization", "x scale", "y")], {"x": ["N"]}, {"scale": ones(1)})
    assert places(found, "x", "y") == [(None, 0)] * 2


# --- Attention ----------------------------------------------------------------------------------


def attention(heads: int, features: int) -> tuple[list[Any], dict[str, Any]]:
    nodes = []
    for name in "qkv":
        nodes += [
            op("MatMul", f"x w{name}", name),
            op("Reshape", f"{name} split", f"{name}_split"),
            op("Transpose", f"{name}_split", f"{name}_heads", perm=[0, 2, 1, 3]),
        ]
    nodes += [
        op("Transpose", "k_heads", "k_turned", perm=[0, 1, 3, 2]),
        op("MatMul", "q_heads k_turned", "scores"),
        op("Softmax", "scores", "weights", axis=-1),
        op("MatMul", "weights v_heads", "mixed"),
        op("Transpose", "mixed", "mixed_back", perm=[0, 2, 1, 3]),
        op("Reshape", "mixed_back join", "joined"),
        op("MatMul", "joined wo", "out"),
    ]
    size = heads * features
    constants = {f"w{name}": ones(size, size) for name in "qkvo"}
    constants |= {"split": ints(0, -1, heads, features), "join": ints(0, -1, size)}
    return nodes, constants


@pytest.mark.parametrize("tokens", [4, 6])
@pytest.mark.parametrize("fed", [False, True])
def test_heads_of_attention(tokens: int, fed: bool) -> None:
    """Four tokens, heads and features make axes of the same size."""
    nodes, constants = attention(4, 4)
    shapes = {"fed": {"x": (1, tokens, 16)}} if fed else {}
    found = conclude(nodes, {"x": ["N", tokens, 16]}, constants, **shapes)
    assert places(found, "x", "q", "joined", "out") == [(0, 2)] * 4
    assert places(found, "q_split", "v_split", "mixed_back") == [(0, 3)] * 3
    assert places(found, "q_heads", "v_heads", "mixed") == [(0, 3)] * 3
    assert places(found, "k_turned") == [(0, 2)]
    assert not any(found.reason(n).contradiction for n in found.axes)


def test_axes_are_equal_whatever_is_assumed() -> None:
    assert Axes(0, 1, assumed_batch=True) == Axes(0, 1)

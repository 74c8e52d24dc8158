"""Operations that an owner wrote by hand: a leaf module is one layer unless it computes several."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from micam_fast import load_model
from tests.helpers.models import make_model, random_array
from tests.helpers.operation_nets import written

QUICK_GELU = "a = Mul x slope; b = Sigmoid a; y = Mul x b"
_SCOPES, _CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


def net(text: str, within: dict[str, str], *, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    """Nodes, each in the module whose path is given by its output; classes are the last words."""
    nodes = written(text)
    for node in nodes:
        path = within.get(node.output[0], "")
        pieces = path.split(".") if path else []
        paths = ["", *(".".join(pieces[: depth + 1]) for depth in range(len(pieces)))]
        classes = ["net.Net", *(f"net.{piece.title()}" for piece in pieces)]
        node.metadata_props.add(key=_SCOPES, value=str([*paths, "operator"]))
        node.metadata_props.add(key=_CLASSES, value=str([*classes, "aten.operator"]))
        node.name = f"node_{node.output[0]}"
    held = {
        "slope": np.float32(1.702),
        "two": np.float32(2),
        "w": random_array(1, 3, 3, 1, 1),
        "places": np.array([2, 3]),
    }
    read = {name for node in nodes for name in node.input}
    used = {name: array for name, array in held.items() if name in read}
    return make_model(nodes, {"x": ["N", 3, 4, 5]}, outputs, used, opset=18)


def names(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(each.name, each.class_label) for each in load_model(proto).layers[1:]]


def test_an_activation_written_by_hand_is_one_layer() -> None:
    proto = net(QUICK_GELU, dict.fromkeys("aby", "body.act"))
    assert names(proto) == [("body.act", "Act")]
    sample = random_array(2, 3, 4, 5)
    found = load_model(proto).explain(sample).maps["body.act"]
    wanted = (sample / (1 + np.exp(-1.702 * sample))).mean(axis=0)
    np.testing.assert_allclose(found.cam, wanted, rtol=1e-5, atol=1e-6)


def test_a_normalization_written_by_hand_is_one_layer() -> None:
    text = "a = ReduceL2 x places; b = Div x a; c = Mul x b; y = Add c x"
    assert names(net(text, dict.fromkeys("abcy", "grn"))) == [("grn", "Grn")]


def test_each_call_is_one_layer() -> None:
    text = f"{QUICK_GELU}; c = Conv y w; d = Mul c slope; e = Sigmoid d; z = Mul c e"
    within = {**dict.fromkeys("abydez", "act"), "c": "conv"}
    found = names(net(text, within, outputs=("z",)))
    assert found == [("act", "Act"), ("conv", "Conv"), ("act#2", "Act")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = Conv x w; b = Tanh a; y = Mul a b", "a kernel"),
        ("a = Sigmoid x; b = Softmax a axis:1; y = Mul x b", "another operation"),
        ("a = Mul x slope; b = Sigmoid a; y = Mul b other", "two inputs"),
    ],
)
def test_a_leaf_module_that_computes_several_is_several_layers(text: str, why: str) -> None:
    before = "other = Relu x; " if "other" in text else ""
    proto = net(f"{before}{text}", dict.fromkeys("aby", "leaf"))
    assert len([name for name, _ in names(proto) if name.startswith("leaf.")]) == 3, why


def test_what_is_read_inside_stays_a_layer() -> None:
    proto = net(f"{QUICK_GELU}; z = Add b y", dict.fromkeys("aby", "act"), outputs=("z",))
    assert [name for name, _ in names(proto)] == ["act.mul", "act.sigmoid", "act.mul#2", "add"]


def test_a_module_with_modules_within_is_no_leaf() -> None:
    text = "a = Mul x slope; b = Sigmoid a; y = Mul x b"
    within = {"a": "block", "b": "block.gate", "y": "block"}
    found = [name for name, _ in names(net(text, within))]
    assert found == ["block.mul", "block.gate", "block.mul#2"]
    # The whole network is no leaf either.
    assert len(names(net(text, {}))) == 3


def test_a_pattern_keeps_its_name() -> None:
    text = "a = Sigmoid x; y = Mul x a"
    assert names(net(text, dict.fromkeys("ay", "act"))) == [("act", "SiLU")]

"""Modules that a person wrote, and the names of layers by them."""

from __future__ import annotations

import pytest

from micam_fast.models.modules import (
    Calls,
    LayerName,
    Place,
    Scope,
    name_layers,
    path_of_weight,
    read_scopes,
    read_slashes,
)


def names(places: list[Place | None], *known: str, taken: tuple[str, ...] = ()) -> list[str | None]:
    every = {*known, *(place.path for place in places if place is not None)}
    found = name_layers(places, every, taken)
    return [None if each is None else each.name for each in found]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("layer1.0.conv1.weight", "layer1.0.conv1"),
        ("conv.weight.weight", "conv.weight"),
        ("layer1.0.conv1.bias", None),
        ("attn.in_proj_weight", None),
        ("conv1.weight_quantized", None),
        ("onnx::Conv_218", None),
        ("weight", None),
        ("", None),
    ],
)
def test_only_a_weight_tells_a_module(name: str, path: str | None) -> None:
    assert path_of_weight(name) == path


def test_scopes_are_modules_and_their_classes() -> None:
    found = read_scopes(
        "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']",
        "['net.Net', 'torch.nn.Sequential', 'net.Block', 'torch.nn.Conv2d', 'aten.conv2d']",
    )
    assert found == (
        Scope("", "net.Net"),
        Scope("layer1", "torch.nn.Sequential"),
        Scope("layer1.0", "net.Block"),
        Scope("layer1.0.conv1", "torch.nn.Conv2d"),
    )


def test_classes_that_do_not_fit_are_not_known() -> None:
    assert read_scopes("['', 'conv', 'conv2d']", "['net.Net']") == (Scope(""), Scope("conv"))


def test_where_nothing_is_known_nothing_is_told() -> None:
    empty = "_empty_nn_module_stack_from_metadata_hook"
    assert read_scopes(f"['{empty}', 'sym_size']", f"['{empty}', 'aten.sym_size']") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "7",
        "{'a': 1}",
        "['', 3, 'conv']",
        "__import__('os').getcwd()",
        "['a' + 'b']",
        "(" * 9_000,
        "[" * 9_000 + "]" * 7_000,
        "-" * 16_000 + "1",
        "'\\ud800'",
        "['\\x41', 'conv']",
        "['a' 'b']",
        "['a', 'b'] + ['c']",
        "['" + "a" * 20_000 + "', 'conv']",
    ],
)
def test_metadata_that_is_no_list_of_names_tells_nothing(text: str) -> None:
    assert read_scopes(text, text) == ()


def test_very_many_scopes_are_cut() -> None:
    assert len(read_scopes(str(["a"] * 900), "")) < 100


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("/conv1/Conv", ["", "conv1"]),
        ("/layer1/layer1.0/conv1/Conv", ["", "layer1", "layer1.0", "layer1.0.conv1"]),
        (
            "/stages/stages.1/blocks/blocks.0/mlp/fc1/MatMul",
            [
                "",
                "stages",
                "stages.1",
                "stages.1.blocks",
                "stages.1.blocks.0",
                "stages.1.blocks.0.mlp",
                "stages.1.blocks.0.mlp.fc1",
            ],
        ),
        ("/more.1/more.1.0/Conv", ["", "more.1", "more.1.0"]),
        ("/Add", [""]),
        ("/block/Add_12", ["", "block"]),
        ("/block/Mul_1_quant", ["", "block"]),
        ("/etc/passwd", []),
        ("/conv1/my node", []),
        ("Add", []),
        ("model/conv1/Conv2D", []),
        ("//Conv", []),
        ("/conv1/", []),
        ("", []),
        ("/", []),
        ("/a" * 500, []),
    ],
)
def test_slashes_are_paths_where_a_name_begins_with_one(name: str, paths: list[str]) -> None:
    assert [scope.path for scope in read_slashes(name)] == paths


def test_a_weight_tells_that_a_module_is_called_again() -> None:
    calls = Calls()
    calls.add("block.head", "block.head")
    calls.add("block.head_1", "block.head")
    calls.add("block_1.head", "block.head")
    assert calls.resolve("block.head_1") == "block.head"
    assert calls.resolve("block_1.relu") == "block.relu"


def test_a_number_is_a_further_call_where_all_lower_ones_are_there() -> None:
    calls = Calls()
    for path in ("block.relu", "block.relu_1", "block.relu_2", "block.act_2", "other.relu_1"):
        calls.add(path, None)
    assert calls.resolve("block.relu_2") == "block.relu"
    assert calls.resolve("block.act_2") == "block.act_2"
    assert calls.resolve("other.relu_1") == "other.relu_1"
    assert calls.resolve("block.relu_0") == "block.relu_0"


def test_a_huge_number_takes_no_time() -> None:
    calls = Calls()
    calls.add("relu", None)
    path = f"relu_{'9' * 9_000}"
    calls.add(path, None)
    assert calls.resolve(path) == path


def test_the_only_layer_of_a_leaf_has_its_path() -> None:
    places = [
        Place("layer1.0.conv1", "conv"),
        Place("layer1.0", "add"),
        Place("layer1.0", "add"),
        Place("act", "mul"),
        Place("act", "add"),
        None,
        Place("", "flatten"),
    ]
    assert names([*places]) == [
        "layer1.0.conv1",
        "layer1.0.add",
        "layer1.0.add#2",
        "act.mul",
        "act.add",
        None,
        "flatten",
    ]


def test_a_module_that_holds_others_is_no_leaf() -> None:
    assert names([Place("attn", "matmul")], "attn.out_proj") == ["attn.matmul"]


def test_calls_of_a_leaf_are_numbered() -> None:
    called = [Place("relu", "relu", "1"), Place("relu", "relu", "2")]
    assert names([*called]) == ["relu", "relu#2"]
    assert names([*called, Place("relu", "relu")]) == ["relu.relu", "relu.relu#2", "relu.relu#3"]
    mixed = [Place("attn", "matmul", "1"), Place("attn", "softmax", "2")]
    assert names([*mixed]) == ["attn.matmul", "attn.softmax"]


def test_names_of_others_are_not_taken() -> None:
    assert names([Place("conv", "conv")], taken=("conv",)) == ["conv#2"]


def test_modules_around_a_layer_are_told_outermost_first() -> None:
    places = [Place("layer1.0.conv1", "conv"), Place("layer1.0", "add"), Place("", "add")]
    assert name_layers(places, {"", "layer1", "layer1.0", "layer1.0.conv1"}, ()) == [
        LayerName("layer1.0.conv1", ("layer1", "layer1.0")),
        LayerName("layer1.0.add", ("layer1", "layer1.0")),
        LayerName("add", ()),
    ]

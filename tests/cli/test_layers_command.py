"""``micam-fast layers``: where axes lie and why, as JSON; what was assumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import helper

from tests.helpers.commands import succeeded, usage_error
from tests.helpers.models import conv_node, make_model, random_array


def saved(folder: Path, model: onnx.ModelProto, name: str = "net") -> Path:
    onnx.save(model, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def described(result: Result) -> dict[str, Any]:
    """By layer name, in the diagram's order."""
    found = json.loads(succeeded(result).stdout)
    assert list(found) == ["model", "shapes", "layers"]
    return {each["name"]: each for each in found["layers"]}


def guessing_net() -> onnx.ModelProto:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale"], ["norm:0"], name="norm"),
        conv_node("conv", "norm:0", "k"),
        helper.make_node("Abs", ["z"], ["abs:0"], name="abs"),
        helper.make_node("Neg", ["abs:0"], ["neg:0"], name="neg"),
    ]
    constants = {"scale": random_array(1, 6), "k": random_array(2, 4, 5, 1, 1)}
    shapes = {"x": ["N", 5, 7, 6], "z": ["N", 5, 7, 6]}
    return make_model(nodes, shapes, ["conv:0", "neg:0"], constants, opset=17)


def open_picture_net() -> onnx.ModelProto:
    """Rows and columns are open; behind them tokens, of a size that is computed from them."""
    nodes = [
        conv_node("conv", "x", "k"),
        helper.make_node("Shape", ["conv:0"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "first"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["conv:0", "target"], ["tokens:0"], name="tokens"),
    ]
    constants = {
        "k": random_array(2, 4, 3, 1, 1), "first": np.array([0, 1]), "rest": np.array([-1]),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", 3, "H", "W"]}, ["tokens:0"], constants)


def test_path_sizes_axes_and_why(run_cli: Callable[..., Result]) -> None:
    result = run_cli("layers", "net.onnx", "--json", out=False)
    found = described(result)
    assert result.stderr == ""
    assert list(found) == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
    assert json.loads(result.stdout)["shapes"] == {"x": [1, 1, 8, 6]}
    twice = "twice the samples make 'conv:0' twice as large"
    assert found["conv"] == {
        "name": "conv", "class": "Conv", "inputs": ["x"], "path": "conv", "module_class": None,
        "onnx_name": "conv", "domain": "ai.onnx", "operator": "Conv", "value": "conv:0",
        "sizes": [1, 4, 8, 6],
        "axes": {"batch": 0, "channels": [1], "spatial": [2, 3]},
        "why": {
            "batch": twice, "channels": "node 'conv' (Conv) has a kernel of 4 channels",
            "contradiction": None,
        },
        "kernel": [4, 1, 3, 3], "bias": [4],
    }  # fmt: skip
    image = found["x"]
    assert [image[key] for key in ("path", "domain", "operator", "value")] == [None] * 3 + ["x"]
    assert image["why"]["channels"] == "node 'conv' (Conv) has a kernel of 4 channels"
    dense = found["dense"]
    assert dense["axes"] == {"batch": 0, "channels": [1], "spatial": []}
    assert dense["why"]["channels"] == "node 'dense' (Gemm) is a dense layer"


def test_each_layer_has_a_line(run_cli: Callable[..., Result]) -> None:
    first, *lines, last = succeeded(
        run_cli("layers", "net.onnx", "--json", out=False)
    ).stdout.splitlines()
    assert first.endswith('"layers": [')
    assert last == "]}"
    names = [json.loads(line.rstrip(","))["name"] for line in lines]
    assert names == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]


def test_what_is_assumed_or_disputed(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    file = saved(tmp_path, guessing_net())
    found = described(run_cli("layers", str(file), "--json", out=False))
    assert (
        found["norm"]["why"]["channels"]
        == "node 'norm' (LayerNormalization) normalizes the last axis"
    )
    assert found["norm"]["why"]["contradiction"] == (
        "node 'conv' (Conv) has a kernel of 4 channels: channels on axis 1"
    )
    assert found["neg"]["why"]["channels"] == "assumed"
    # As the model's other pictures are.
    assert found["neg"]["axes"] == {"batch": 0, "channels": [3], "spatial": [1, 2]}
    result = succeeded(run_cli("layers", str(file), out=False))
    assert result.stderr.splitlines() == [
        "micam-fast: note: channels assumed last in 3 layers: z, abs, neg",
        "micam-fast: note: channels last, disputed in 1 layer: norm",
    ]
    assert "assumed" not in result.stdout


def test_nothing_is_known_of_a_batch(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    nodes = [helper.make_node("Einsum", ["x"], ["y:0"], name="y", equation="nchw->nwc")]
    file = saved(tmp_path, make_model(nodes, {"x": [1, 4, 5, 6]}, ["y:0"]))
    found = described(run_cli("layers", str(file), "--json", out=False))["y"]
    assert found["sizes"] == [1, 6, 4]
    assert found["why"] == {"batch": "assumed", "channels": "assumed", "contradiction": None}
    assert found["axes"] == {"batch": 0, "channels": [2], "spatial": [1]}


def test_a_list_of_one_sample_has_no_batch(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places:0"], name="places")]
    file = saved(tmp_path, make_model(nodes, {"x": ["N", 4]}, ["places:0"]))
    found = described(run_cli("layers", str(file), "--json", out=False))["places"]
    assert found["sizes"] == [2, None]
    assert found["axes"] == {"batch": None, "channels": [1], "spatial": [0]}
    assert found["why"]["batch"] == "node 'places' (NonZero) makes a list, of one sample"


def test_a_recurrent_layer_has_two_axes_of_channels(
    run_cli: Callable[..., Result], tmp_path: Path
) -> None:
    weights = {"w": random_array(1, 1, 12, 5), "r": random_array(2, 1, 12, 3)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=3)
    file = saved(tmp_path, make_model([node], {"x": [7, 1, 5]}, ["y"], weights))
    found = described(run_cli("layers", str(file), "--json", out=False))["lstm"]
    assert found["axes"] == {"batch": 2, "channels": [1, 3], "spatial": [0]}
    assert found["why"]["channels"] == "node 'lstm' (LSTM) has its hidden units last"


def test_sizes_can_be_given(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    file = str(saved(tmp_path, open_picture_net()))
    result = run_cli("layers", file, "--json", out=False)
    assert described(result)["conv"]["sizes"] == [None, 4, None, None]
    assert json.loads(result.stdout)["shapes"] is None
    for given in ("3x5x6", "x=3x5x6"):
        result = run_cli("layers", file, "--json", "--shape", given, out=False)
        assert described(result)["conv"]["sizes"] == [1, 4, 5, 6]
        assert described(result)["tokens"]["sizes"] == [1, 4, 30]
        assert json.loads(result.stdout)["shapes"] == {"x": [1, 3, 5, 6]}
    table = succeeded(run_cli("layers", file, "--shape", "3x5x6", out=False)).stdout
    assert "(None, 4, 5, 6)" in table


@pytest.mark.parametrize("given", ["", "3x5", "x=", "3x0x6", "y=3x5x6", "4x5x6", "3,5,6", "ax5x6"])
def test_sizes_that_do_not_fit(run_cli: Callable[..., Result], tmp_path: Path, given: str) -> None:
    file = str(saved(tmp_path, open_picture_net()))
    assert "--shape" in usage_error(run_cli("layers", file, "--shape", given, out=False))


def test_of_several_inputs_the_closed_ones_need_no_sizes(
    run_cli: Callable[..., Result], tmp_path: Path
) -> None:
    model = guessing_net()
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "HW"[axis - 2]
    del model.graph.value_info[:]
    file = str(saved(tmp_path, model))
    assert "INPUT=SIZES" in usage_error(run_cli("layers", file, "--shape", "5x7x6", out=False))
    assert "input 'x'" in usage_error(run_cli("layers", file, "--shape", "z=5x7x6", out=False))
    found = described(run_cli("layers", file, "--json", "--shape", "x=5x7x6", out=False))
    assert found["x"]["sizes"] == found["z"]["sizes"] == [1, 5, 7, 6]

"""Models that nobody here made: all their layers, their maps against the oracle, their pictures.

The packages that ship them have pins that do not fit ours, so ``tools/test.sh`` downloads the
wheels and nothing of them is installed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

import micam_fast
from tests.helpers import reference
from tests.helpers.comparing import assert_close, assert_colours
from tests.helpers.models import Array
from tests.helpers.plain_runtime import run
from tests.helpers.real_models import LIGHT_NAMES, PACKED, load

pytestmark = pytest.mark.slow

# Operators that are no layers where they only handle shapes, constants and layouts.
BOOKKEEPING = {"Constant", "ConstantOfShape", "Shape", "Slice", "Cast", "Identity", "Unsqueeze"}


def expected_map(
    layer: micam_fast.Layer, activation: Array, weights: dict[str, Array], size: tuple[int, ...]
) -> Array:
    """The oracle's map, from what this file itself reads in the graph."""
    op = layer.op_type
    one = activation[0]
    if op.startswith("Global") or one.ndim < 2:
        return reference.flat_map(one, size[0], size[1])
    last = np.moveaxis(one, 0, -1)
    if op not in ("Conv", "ConvTranspose"):
        return reference.mean_map(last)
    kernel, bias = weights["kernel"], weights.get("bias")
    if op == "ConvTranspose":
        return reference.published_conv_transpose(last, kernel, bias, groups=1)
    return reference.published_conv(last, np.moveaxis(kernel, (0, 1), (-1, -2)), bias)


def constants_of(model: onnx.ModelProto, sample: Array) -> dict[str, Array]:
    """All constants by name: initializers, and what ONNX Runtime computes without the input."""
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    fixed = set(known)
    folded: list[str] = []
    for node in model.graph.node:
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
            folded.extend(node.output)
    if folded:
        feeds = {input_name(model): sample[np.newaxis]}
        known.update(zip(folded, run(model, feeds, *folded), strict=True))
    return known


def input_name(model: onnx.ModelProto) -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    return next(value.name for value in model.graph.input if value.name not in weights)


def whole_windows(model: onnx.ModelProto, sample: Array) -> set[str]:
    """What pools make whose window is the whole picture: they are global ones."""
    pools = [node for node in model.graph.node if node.op_type in ("AveragePool", "MaxPool")]
    if not pools:
        return set()
    read = run(model, {input_name(model): sample[np.newaxis]}, *(n.input[0] for n in pools))
    windows = [next(list(a.ints) for a in n.attribute if a.name == "kernel_shape") for n in pools]
    return {
        node.output[0]
        for node, window, picture in zip(pools, windows, read, strict=True)
        if window == list(picture.shape[2:])
    }


def plain_layers(
    model: onnx.ModelProto, constants: dict[str, Array], whole: set[str]
) -> list[dict[str, Any]]:
    """The layers by a plain reading: op, value, kernel, bias; biases as Adds merged."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    operations = written_out(model, constants)
    merged = {name for inner in operations.values() for name in inner[1:]}
    layers = []
    for node in model.graph.node:
        if node.output[0] in constants or node.output[0] in merged or node.op_type in BOOKKEEPING:
            continue
        if all(name in constants or name in SHAPES for name in node.input):
            continue
        if node.op_type == "Concat" and node.input[0] in SHAPES:
            continue
        op = operations.get(node.output[0], (node.op_type,))[0]
        op = f"Global{op}" if node.output[0] in whole else op
        layer: dict[str, Any] = {"op": op, "value": node.output[0], "weights": {}}
        if node.op_type in ("Conv", "ConvTranspose", "MatMul"):
            layer["weights"]["kernel"] = constants[node.input[1]]
            if len(node.input) > 2:
                layer["weights"]["bias"] = constants[node.input[2]]
            (follower, *others) = readers.get(node.output[0], [None])
            if follower is not None and not others and follower.op_type == "Add":
                other = [name for name in follower.input if name != node.output[0]]
                if len(node.input) == 2 and other and other[0] in constants:
                    value = constants[other[0]]
                    channels = activation_channels(node, layer["weights"]["kernel"])
                    if value.size in (1, channels) and max(value.shape, default=1) == value.size:
                        layer["value"] = follower.output[0]
                        layer["weights"]["bias"] = value.reshape(-1)
                        merged.add(follower.output[0])
        layers.append(layer)
    return layers


def written_out(model: onnx.ModelProto, constants: dict[str, Array]) -> dict[str, list[str]]:
    """Operations of several operators, by their last value: what they are, and values inside.

    PaddlePaddle writes HardSwish as ``x * clip(x + 3, 0, 6) / 6``, Caffe2 the factor and the
    summand of a batch normalization as operators of their own.
    """
    makers = {node.output[0]: node for node in model.graph.node}
    found = {}
    for node in model.graph.node:
        chain = [node]
        while len(chain) < 4:
            free = [name for name in chain[-1].input if name not in constants and name in makers]
            # Of a product of two activations, what was cut off.
            free = [name for name in free if makers[name].op_type == "Clip"] or free
            if not free:
                break
            chain.append(makers[free[0]])
        ops = tuple(each.op_type for each in chain)
        held = [constants[n].reshape(-1)[:1].tolist() for n in node.input if n in constants]
        if ops == ("Div", "Mul", "Clip", "Add") and held == [[6]]:
            found[node.output[0]] = ["HardSwish", *(each.output[0] for each in chain[1:])]
        if ops[:3] == ("Add", "Mul", "BatchNormalization") and held:
            found[node.output[0]] = ["BatchNormalization", *(e.output[0] for e in chain[1:3])]
    return found


def activation_channels(node: onnx.NodeProto, kernel: Array) -> int:
    return int(kernel.shape[-1] if node.op_type == "MatMul" else kernel.shape[0])


# Values made from shapes alone, in the models above.
SHAPES: set[str] = set()


def note_shapes(model: onnx.ModelProto, constants: dict[str, Array]) -> None:
    SHAPES.clear()
    for node in model.graph.node:
        inputs = [name for name in node.input if name and name not in constants]
        if node.op_type == "Shape" or (inputs and all(name in SHAPES for name in inputs)):
            SHAPES.update(node.output)


@pytest.mark.parametrize("name", [*PACKED, *LIGHT_NAMES])
def test_all_layers_all_maps_and_pictures(name: str, tmp_path: Path) -> None:
    model, shape = load(name, tmp_path)
    sample = np.random.default_rng(1).random(shape, np.float32)
    constants = constants_of(model, sample)
    note_shapes(model, constants)
    wanted = plain_layers(model, constants, whole_windows(model, sample))
    loaded = micam_fast.load_model(model)
    explanation = loaded.explain(sample)

    assert [layer.op_type for layer in loaded.layers] == ["Input", *(each["op"] for each in wanted)]
    assert list(explanation.cams) == [layer.name for layer in loaded.layers]
    # Optimized: without, a Sigmoid's tail near zero comes out otherwise by all of its value.
    feeds = {input_name(model): sample[np.newaxis]}
    activations = run(model, feeds, *(each["value"] for each in wanted), optimized=True)
    assert_close(explanation.cams[loaded.layers[0].name], sample.mean(axis=0))
    for layer, each, activation in zip(loaded.layers[1:], wanted, activations, strict=True):
        expected = expected_map(layer, activation, each["weights"], shape[1:])
        assert_close(explanation.cams[layer.name], expected)
    assert_colours(explanation)

    text = explanation.save(tmp_path / "net.svg", "flat").read_text()
    root = ElementTree.fromstring(text)
    images = root.findall("{http://www.w3.org/2000/svg}image")
    assert len(images) >= len(loaded.layers)
    picture = explanation.save(tmp_path / "net.png", scale_tiles=0.4)
    with Image.open(picture) as opened:
        opened.load()
        assert opened.width > 250
    written = np.load(explanation.save(tmp_path / "net.npz"))
    assert {f"cam/{layer.name}" for layer in loaded.layers} <= set(written.files)


@pytest.mark.parametrize("name", ["mnist-8", "cls", "resnet50", "shufflenet"])
def test_the_same_bits_from_one_and_two_threads(name: str, tmp_path: Path) -> None:
    model, shape = load(name, tmp_path)
    sample = np.random.default_rng(1).random(shape, np.float32)
    for projection in ("published", "transposed"):
        first, second = (
            micam_fast.load_model(model, threads=t).explain(sample, projection=projection)
            for t in (1, 2)
        )
        for layer, cam in first.cams.items():
            np.testing.assert_array_equal(cam, second.cams[layer])
            np.testing.assert_array_equal(first.rgba[layer], second.rgba[layer])


@pytest.mark.parametrize("name", ["cls", "shufflenet", "densenet121"])
def test_slices_of_real_models_give_the_same_maps(name: str, tmp_path: Path) -> None:
    """To rounding: ONNX Runtime picks other memory layouts, so other orders of sums, at a cut."""
    model, shape = load(name, tmp_path)
    sample = np.random.default_rng(1).random(shape, np.float32)
    whole = micam_fast.load_model(model).explain(sample)
    sliced = micam_fast.load_model(model, memory=2_000_000)
    found = sliced.explain(sample)
    assert max(len(parts) for parts in sliced.pipeline("published").sessions._opened.values()) > 1
    for layer, cam in whole.cams.items():
        assert_close(found.cams[layer], cam, 1e-5)

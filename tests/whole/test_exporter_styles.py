"""One network, whoever exported it: the same layers, the same maps, the same diagram."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import micam_fast
from micam_fast.analyses.differences import match_layers
from micam_fast.analyses.differences.operations import family
from micam_fast.core.layers import Layer
from micam_fast.models.keras import export_model
from tests.helpers import exporter_styles
from tests.helpers.exporter_styles import SAMPLE
from tests.helpers.keras_layers import needs_tensorflow

# Keras keeps functions in layers of one class.
_FUNCTIONS = {"silu": "SiLU", "hard_silu": "HardSwish", "gelu_by_tanh": "GELU"}
LAYERS = [
    ("Input", ()), ("Conv", (0,)), ("MaxPool", (1,)), ("BatchNormalization", (2,)), ("SiLU", (3,)),
    ("Conv", (4,)), ("HardSwish", (5,)), ("Conv", (6,)), ("Add", (2, 7)),
    ("BatchNormalization", (8,)), ("GELU", (9,)), ("GroupNormalization", (10,)),
    ("LayerNormalization", (11,)), ("GlobalAveragePool", (12,)), ("MatMul", (13,)),
]  # fmt: skip
"""What each layer is, and the places of the layers that it reads."""
STYLES: dict[str, Callable[[], onnx.ModelProto]] = {
    "PyTorch, tracing": exporter_styles.tracing_style,
    "PyTorch, dynamo": exporter_styles.dynamo_style,
    "Keras": lambda: export_model(exporter_styles.keras_model()).proto,
    "tf2onnx": exporter_styles.tf2onnx_model,
}
OTHERS = [
    "PyTorch, dynamo",
    pytest.param("Keras", marks=needs_tensorflow),
    pytest.param("tf2onnx", marks=needs_tensorflow),
]


def explained(style: str) -> tuple[micam_fast.Model, micam_fast.Explanation]:
    model = micam_fast.load_model(STYLES[style]())
    first = style.startswith("PyTorch")
    return model, model.explain(np.moveaxis(SAMPLE, -1, 0) if first else SAMPLE)


def layers_of(model: micam_fast.Model) -> list[tuple[str, tuple[int, ...]]]:
    names = [layer.name for layer in model.layers]
    return [
        (
            _FUNCTIONS.get(layer.activation or "", family(layer)),
            tuple(sorted(names.index(name) for name in layer.inputs)),
        )
        for layer in model.layers
    ]


def drawn(explanation: micam_fast.Explanation, path: Path) -> tuple[list[str], list[str]]:
    """The nodes of a diagram by their numbers, and the lines between them.

    Modules, which frame nodes, are another thing in each framework.
    """
    text = explanation.save(path, scale_tiles=0.3).read_text()
    nodes = re.findall(r"^\t+(n\d+) \[", text, re.MULTILINE)
    lines = re.findall(r"^\t+(n\d+ -> n\d+)", text, re.MULTILINE)
    assert len(nodes) == len(explanation.cams)
    assert len(lines) >= sum(len(parents) for _, parents in LAYERS)
    return sorted(nodes), sorted(lines)


@pytest.mark.parametrize("style", ["PyTorch, tracing", *OTHERS])
def test_the_layers_are_the_same(style: str) -> None:
    assert layers_of(explained(style)[0]) == LAYERS


@functools.cache
def layers_by_structure(style: str) -> tuple[Layer, ...]:
    return tuple(micam_fast.load_model(STYLES[style]()).layers)


@needs_tensorflow
@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(STYLES, 2)])
def test_structure_matches_all_layers(one: str, other: str) -> None:
    """Kernels lie in other orders, and nobody knows what Keras' function of a user's is."""
    ours, theirs = layers_by_structure(one), layers_by_structure(other)
    pairs = match_layers(ours, theirs, "structure").pairs
    expected = zip((e.name for e in ours), (e.name for e in theirs), strict=True)
    assert pairs == dict(expected)


@needs_tensorflow
def test_structure_matches_keras_classes_with_tf2onnx_operators() -> None:
    model = exporter_styles.mobile_keras_model()
    ours = micam_fast.load_model(export_model(model).proto).layers
    theirs = micam_fast.load_model(exporter_styles.by_tf2onnx(model)).layers
    found = match_layers(ours, theirs, "structure")
    assert {*found.pairs, *found.within[0]} == {layer.name for layer in ours}
    assert {*found.pairs.values(), *found.within[1]} == {layer.name for layer in theirs}
    # What Keras computes in one layer, tf2onnx writes as several.
    named = {one: other.split("/")[0] for one, other in found.pairs.items()}
    # It folds the normalization into the convolution, whose kernel tells its name.
    assert named == {one: one for one in named} | {"norm": "stem", "dropout": "flatten"}
    types = {layer.name: layer.op_type for layer in theirs}
    assert types[found.pairs["relu6"]] == "Clip"


@needs_tensorflow
def test_normalizations_that_tf2onnx_folds_are_counted() -> None:
    model = exporter_styles.mobile_keras_model()
    (note,) = micam_fast.load_model(exporter_styles.by_tf2onnx(model)).graph.notes
    assert note.startswith("batch normalizations were folded into 1 convolution by the exporter")
    assert micam_fast.load_model(export_model(model).proto).graph.notes == ()
    # This one's normalizations stand behind other layers.
    assert micam_fast.load_model(exporter_styles.tf2onnx_model()).graph.notes == ()


@pytest.mark.parametrize("style", OTHERS)
def test_maps_and_diagrams_are_the_same(style: str, tmp_path: Path) -> None:
    _, expected = explained("PyTorch, tracing")
    _, found = explained(style)
    for (name, wanted), (other, cam) in zip(expected.cams.items(), found.cams.items(), strict=True):
        assert cam.shape == wanted.shape, (name, other)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(cam, wanted, rtol=0, atol=1e-4 * scale, err_msg=other)
        np.testing.assert_allclose(found.rgba[other], expected.rgba[name], rtol=0, atol=1)
    assert found.output is not None
    assert expected.output is not None
    np.testing.assert_allclose(found.output, expected.output, rtol=0, atol=1e-4)
    assert drawn(found, tmp_path / "a.dot") == drawn(expected, tmp_path / "b.dot")

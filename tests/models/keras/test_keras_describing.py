"""What the diagram says of Keras layers: order, classes, shapes, weights and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.numbers import show_range
from micam_fast.models.onnx.annotations import LayerNote
from tests.helpers import keras_models
from tests.helpers.keras_layers import CONVOLUTIONS, OTHERS, needs_tensorflow
from tests.helpers.keras_models import exported
from tests.helpers.keras_oracle import keras_edges
from tests.helpers.models import random_array

pytestmark = needs_tensorflow

SHARED = {"shared_layer", "nested_twice"}


def note_of(name: str) -> LayerNote:
    """The first layer of its kind, which reads the model's input."""
    _, found = exported(name)
    return next(n for n in found.notes if n.layer.inputs == ("x",) and n.layer.name != "before")


@pytest.mark.parametrize("name", sorted(keras_models.FUNCTIONAL.keys() - SHARED))
def test_layers_stand_as_keras_lists_them(name: str) -> None:
    model, found = exported(name)
    assert [note.layer.name for note in found.notes] == list(keras_edges(model))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shared_layer", ["left", "right", "shared", "shared#2", "shared#3", "join"]),
        (
            "nested_twice",
            [
                "left", "right", "encoder/inside", "encoder/conv", "encoder/act",
                "encoder#2/inside", "encoder#2/conv", "encoder#2/act", "difference",
            ],
        ),
        ("subclassed", ["input", "conv", "body/act", "conv#2", "body#2/act", "sum", "dense"]),
    ],
)  # fmt: skip
def test_others_stand_as_they_run(name: str, expected: list[str]) -> None:
    _, found = exported(name)
    assert [note.layer.name for note in found.notes] == expected


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *OTHERS, "functional", "several", "attention"])
def test_classes_and_shapes(name: str) -> None:
    model, found = exported(name)
    inputs = [tensor._keras_history.operation.name for tensor in model.inputs]
    for note in found.notes:
        layer = model.get_layer(note.layer.name)
        assert note.layer.op_type == type(layer).__name__
        assert note.layer.class_label.split("(")[0] == type(layer).__name__
        outputs = layer.output if isinstance(layer.output, (list, tuple)) else [layer.output]
        assert note.layer.output_shape == tuple(outputs[0].shape)
        (node,) = layer._inbound_nodes
        read = node.input_tensors if layer.name not in inputs else outputs
        assert list(note.layer.input_shapes) == [tuple(tensor.shape) for tensor in read]


# Kernel, bias, and the second kernel of separable layers, in Keras' order of axes.
WEIGHTS: dict[str, tuple[tuple[int, ...] | None, ...]] = {
    "conv2d": ((3, 2, 4, 3), (3,), None),
    "conv2d_grouped": ((3, 2, 2, 6), (6,), None),
    "conv2d_without_bias": ((3, 3, 4, 3), None, None),
    "depthwise2d": ((3, 2, 4, 2), (8,), None),
    "separable2d": ((3, 2, 4, 2), (3,), (1, 1, 8, 3)),
    "transpose2d": ((3, 2, 3, 4), (3,), None),
    "conv1d": ((4, 4, 3), (3,), None),
    "depthwise1d": ((3, 4, 2), (8,), None),
    "separable1d": ((3, 4, 2), (3,), (1, 8, 3)),
    "conv3d": ((2, 3, 2, 2, 3), (3,), None),
    "dense": ((5, 12), (12,), None),
    "dense_on_picture": ((4, 5), (5,), None),
    "lstm": ((4, 20), (20,), None),
    "gru": ((4, 15), (2, 15), None),
    "simple_rnn": ((4, 5), (5,), None),
    "bidirectional": ((4, 12), (12,), None),
    "time_distributed": ((2, 2, 2, 3), (3,), None),
    "spectral_norm": ((3, 3, 4, 3), (3,), None),
    "batch_norm": (None, None, None),
    "layer_norm": (None, None, None),
    "max_pool": (None, None, None),
    "prelu": (None, None, None),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_shapes_of_weights(name: str) -> None:
    layer = note_of(name).layer
    assert (layer.kernel_shape, layer.bias_shape, layer.pointwise_shape) == WEIGHTS[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("conv2d", "linear"),
        ("conv2d_same_relu", "relu"),
        ("conv2d_softmax", "softmax"),
        ("depthwise2d_dilated", "tanh"),
        ("dense", "softmax"),
        ("lstm", "tanh"),
        ("swish", "silu"),
        ("time_distributed", "linear"),
        ("batch_norm", None),
        ("max_pool", None),
        ("leaky_relu", None),
        ("relu6", "relu6"),
        ("relu_with_limits", "relu with limits"),
    ],
)
def test_activation_functions(name: str, said: str | None) -> None:
    assert note_of(name).layer.activation == said


def test_activation_functions_that_have_no_name_of_keras() -> None:
    import keras

    from micam_fast.models.keras import export_model

    def squash(x: Any) -> Any:
        return x / 2

    dense = keras.layers.Dense
    leaky = keras.layers.LeakyReLU(name="leaky")
    model = keras.Sequential([keras.Input((3,)), dense(2, squash), dense(2, leaky)])
    notes = export_model(model).notes
    assert [note.layer.activation for note in notes] == [None, "squash", "leaky"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("time_distributed", "TimeDistributed(Conv2D)"),
        ("bidirectional", "Bidirectional(LSTM)"),
        ("bidirectional_last", "Bidirectional(GRU)"),
        ("spectral_norm", "SpectralNormalization(Conv2D)"),
        ("rnn_of_cells", "RNN"),
    ],
)
def test_wrappers_name_what_they_wrap(name: str, label: str) -> None:
    layer = note_of(name).layer
    assert layer.class_label == label
    assert layer.op_type == label.split("(")[0]


def test_wrappers_of_wrappers_and_of_models() -> None:
    import keras

    from micam_fast.models.keras import export_model

    layers = keras.layers
    body = keras.Sequential([keras.Input((5, 4)), layers.Flatten(name="flatten")], name="body")
    x = keras.Input((3, 5, 4), name="x")
    y = layers.TimeDistributed(layers.Bidirectional(layers.LSTM(2)), name="both")(x)
    z = layers.TimeDistributed(body, name="whole")(x)
    notes = export_model(keras.Model(x, [y, z])).notes
    assert [(note.layer.name, note.layer.class_label) for note in notes] == [
        ("x", "InputLayer"),
        ("both", "TimeDistributed(Bidirectional(LSTM))"),
        ("whole/flatten", "Flatten"),
    ]


LABELS = {
    "picture": ["InputLayer", "I = O: (None, 8, 6, 3)"],
    "first": [
        "Conv2D", "I: (None, 8, 6, 3)", "O: (None, 8, 6, 4)", "(3, 3, 3, 4) + (4,)",
    ],
    "norm": ["BatchNormalization", "I = O: (None, 8, 6, 4)"],
    "sum": ["Add", "I: 2 x (None, 8, 6, 4)", "O: (None, 8, 6, 4)"],
    "mean": ["GlobalAveragePooling2D", "I: (None, 8, 6, 4)", "O: (None, 4)", "tile: (1, 4)"],
    "classes": [
        "Dense", "I: (None, 4)", "O: (None, 5)", "softmax", "(4, 5) + (5,)", "tile: (1, 5)",
    ],
}  # fmt: skip


def test_labels_as_published() -> None:
    model, found = exported("functional")
    loaded = micam_fast.load_model(found.proto)
    explanation = loaded.explain(random_array(1, 8, 6, 3))
    for layer in loaded.layers:
        lines = label_lines(layer, explanation.maps[layer.name])
        cam = explanation.cams[layer.name]
        low, high = show_range(float(cam.min()), float(cam.max()))
        assert lines[-2:] == [f"map min: {low}", f"map max: {high}"]
        if layer.name in LABELS:
            assert lines[:-2] == [layer.name, *LABELS[layer.name]]
    assert len(loaded.layers) == len(model.layers)


def test_labels_of_both_kernels_of_a_wrapper_and_of_several_inputs() -> None:
    def label(note: LayerNote) -> list[str]:
        return label_lines(note.layer, None)[1:]

    assert label(note_of("separable2d")) == [
        "SeparableConv2D", "I: (None, 7, 6, 4)", "O: (None, 5, 5, 3)",
        "(3, 2, 4, 2) (1, 1, 8, 3) + (3,)",
    ]  # fmt: skip
    assert label(note_of("time_distributed")) == [
        "TimeDistributed(Conv2D)", "I: (None, 3, 5, 4, 2)", "O: (None, 3, 4, 3, 3)",
        "(2, 2, 2, 3) + (3,)",
    ]  # fmt: skip
    _, found = exported("several")
    notes = {note.layer.name: note for note in found.notes}
    assert label(notes["both"]) == ["Concatenate", "I: (None, 48), (None, 3)", "O: (None, 51)"]


def test_nested_models_are_clusters() -> None:
    _, found = exported("nested_deep")
    clusters = {note.layer.name: note.layer.cluster for note in found.notes}
    assert clusters["act"] == ()
    assert clusters["middle/act"] == ("middle",)
    assert clusters["middle/inner/act"] == ("middle", "inner")


def test_weights_are_those_of_keras_in_onnx_order() -> None:
    from onnx import numpy_helper

    model, found = exported("separable2d")
    stored = {t.name: numpy_helper.to_array(t) for t in found.proto.graph.initializer}
    note = note_of("separable2d")
    layer = model.get_layer(note.layer.name)
    depthwise, pointwise = (stored[k.value].reshape(k.shape) for k in note.kernels)
    wanted = np.asarray(layer.depthwise_kernel)
    for j in range(4):
        for m in range(2):
            np.testing.assert_array_equal(depthwise[2 * j + m, 0], wanted[:, :, j, m])
    np.testing.assert_array_equal(pointwise[:, :, 0, 0].T, np.asarray(layer.pointwise_kernel)[0, 0])
    assert note.bias is not None
    np.testing.assert_array_equal(stored[note.bias.value], np.asarray(layer.bias))

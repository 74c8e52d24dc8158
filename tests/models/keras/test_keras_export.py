"""The ONNX file of a Keras model: what it holds, who can run it, and what its layers are called."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from micam_fast.api.export import export
from micam_fast.models.keras import export_model
from micam_fast.models.keras.tidying import cancel_transposes, drop_dead_nodes, fold_constants
from tests.helpers import keras_models
from tests.helpers.keras_layers import CONVOLUTIONS, OTHERS, needs_tensorflow
from tests.helpers.keras_models import exported
from tests.helpers.keras_oracle import run_layers, shake_weights
from tests.helpers.models import Array, random_array

pytestmark = needs_tensorflow

STRUCTURES = [*keras_models.FUNCTIONAL, "half_precision", "subclassed"]


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, in subgraphs, too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def samples_of(proto: onnx.ModelProto, count: int = 1) -> dict[str, Array]:
    """Some samples for each input; small whole numbers where it takes such."""
    feeds = {}
    for seed, value in enumerate(proto.graph.input):
        kind = value.type.tensor_type
        noise = random_array(seed, count, *(dim.dim_value for dim in kind.shape.dim[1:]))
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        feeds[value.name] = (np.abs(noise * 3) if dtype.kind in "iu" else noise).astype(dtype)
    return feeds


# --- The file --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *OTHERS, *STRUCTURES])
def test_the_checker_finds_nothing(name: str) -> None:
    _, found = exported(name)
    onnx.checker.check_model(found.proto, full_check=True)


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_output_for_each_layer(name: str) -> None:
    _, found = exported(name)
    outputs = [value.name for value in found.proto.graph.output]
    taps = [note.tap.value for note in found.notes if note.layer.inputs]
    assert sorted(outputs) == sorted(taps)
    # The values are called like the layers.
    assert taps == [note.layer.name for note in found.notes if note.layer.inputs]
    assert [value.name for value in found.proto.graph.input] == [spec.name for spec in found.inputs]


@pytest.mark.parametrize("name", ["several", "dictionaries", "passing", "nested_functional"])
def test_own_outputs_come_first_as_keras_has_them(name: str) -> None:
    model, found = exported(name)
    feeds = samples_of(found.proto, 2)
    session = onnxruntime.InferenceSession(found.proto.SerializeToString())
    import keras

    expected = model(keras.tree.pack_sequence_as(model._inputs_struct, list(feeds.values())))
    ends = keras.tree.flatten(expected)
    for array, wanted in zip(session.run(None, feeds), ends, strict=False):
        assert array.shape == wanted.shape
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)
    assert len(ends) >= 1


@pytest.mark.parametrize(
    "name", ["functional", "several", "lstm", "gru", "conv_lstm", "attention", "masked"]
)
def test_any_number_of_samples(name: str) -> None:
    _, found = exported(name)
    feeds = samples_of(found.proto, 3)
    session = onnxruntime.InferenceSession(found.proto.SerializeToString())
    together = session.run(None, feeds)
    for index in range(3):
        alone = session.run(None, {key: each[index : index + 1] for key, each in feeds.items()})
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_of_them[index], rtol=1e-4, atol=1e-5)


def test_a_conv_net_is_turned_once() -> None:
    """At its input; labels still show Keras' order of axes."""
    import keras

    layers = keras.layers
    x = keras.Input((16, 16, 3), name="x")
    y = x
    for number in range(3):
        skip = layers.Conv2D(8, 1, name=f"skip_{number}")(y)
        y = layers.SeparableConv2D(8, 3, padding="same", use_bias=False, name=f"conv_{number}")(y)
        y = layers.BatchNormalization(name=f"norm_{number}")(y)
        y = layers.Add(name=f"sum_{number}")([layers.ReLU(name=f"act_{number}")(y), skip])
        y = layers.Concatenate(name=f"both_{number}")([y, layers.Activation("swish")(y)])
        y = layers.MaxPooling2D(2, name=f"pool_{number}")(y)
    y = layers.Dense(4, name="dense")(layers.GlobalAveragePooling2D(name="mean")(y))
    found = export_model(keras.Model(x, y))
    transposes = [node for node in found.proto.graph.node if node.op_type == "Transpose"]
    assert [node.input[0] for node in transposes] == ["x"]
    conv = next(note for note in found.notes if note.layer.name == "conv_1")
    assert conv.layer.output_shape == (None, 8, 8, 8)
    assert conv.tap.axes.channel == 1
    assert conv.tap.shown == (0, 2, 3, 1)


def test_normalization_stays_out_of_the_convolution() -> None:
    model, found = exported("functional")
    feeds = samples_of(found.proto)
    session = onnxruntime.InferenceSession(found.proto.SerializeToString())
    by_onnx = session.run(["first", "norm"], feeds)
    runs = run_layers(model, feeds["picture"][0])
    for name, array in zip(["first", "norm"], by_onnx, strict=True):
        expected = runs[name].activation
        np.testing.assert_allclose(np.moveaxis(array[0], 0, -1), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(runs["first"].activation - runs["norm"].activation).max() > 0.01


def test_weights_are_stored_once() -> None:
    import keras

    layers = keras.layers
    x = keras.Input((16, 16, 8), name="x")
    y = layers.Conv2D(48, 3, name="conv")(x)
    y = layers.SeparableConv2D(64, 3, name="separable")(y)
    y = layers.Conv2DTranspose(48, 3, strides=2, name="transposed")(y)
    dense = layers.Dense(64, name="dense")
    y = dense(dense(layers.Dense(64, name="first")(layers.GlobalMaxPooling2D(name="max")(y))))
    model = keras.Model(x, y)
    shake_weights(model)
    found = export_model(model)
    parameters = sum(4 * weight.numpy().size for weight in model.weights)
    stored = [numpy_helper.to_array(tensor) for tensor in found.proto.graph.initializer]
    assert parameters <= sum(array.nbytes for array in stored) < parameters + 4096
    assert found.proto.ByteSize() < parameters + 32_000
    named = {weight.value for note in found.notes for weight in note.kernels}
    assert {"conv/kernel", "separable/kernel", "separable/pointwise_kernel"} < named


@pytest.mark.parametrize("name", STRUCTURES)
def test_nothing_is_left_unused(name: str) -> None:
    """Weights that only the maps need, like one that a graph reads turned, are named in notes."""
    _, found = exported(name)
    graph = found.proto.graph
    read = {value for node in nodes_of(graph) for value in node.input}
    for note in found.notes:
        read |= {weight.value for weight in (*note.kernels, note.bias) if weight is not None}
    assert {tensor.name for tensor in graph.initializer} <= read
    made = [value for node in graph.node for value in node.output if value]
    ends = {value.name for value in graph.output}
    assert all(set(node.output) & (read | ends) for node in graph.node)
    assert max(Counter(made).values()) == 1


def test_the_file_runs_in_onnxruntime_alone(tmp_path: Path) -> None:
    model = keras_models.functional()
    report = export(model, tmp_path / "net.onnx")
    sample = random_array(1, 8, 6, 3)
    np.save(tmp_path / "sample.npy", sample)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tf2onnx']))\n"
        "import numpy as np, onnxruntime, micam_fast\n"
        "sample = np.load('sample.npy')\n"
        "session = onnxruntime.InferenceSession('net.onnx')\n"
        "np.save('run.npy', session.run(None, {'picture': sample[None]})[0])\n"
        "found = micam_fast.explain('net.onnx', sample)\n"
        "np.save('map.npy', found.cams['first'])\n"
        "print(len(found.maps))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == report.layers == len(model.layers)
    expected = np.asarray(model(sample[np.newaxis]))
    np.testing.assert_allclose(np.load(tmp_path / "run.npy"), expected, rtol=1e-4, atol=1e-6)
    assert np.load(tmp_path / "map.npy").shape == (8, 6)


# --- Its parts -------------------------------------------------------------------------------


def graph_of(nodes: list[onnx.NodeProto], output: str, **constants: Array) -> onnx.GraphProto:
    """A graph from ``x`` to one output."""
    values = [onnx.ValueInfoProto(name=name) for name in ("x", output)]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return onnx.helper.make_graph(nodes, "graph", values[:1], values[1:], weights)


def test_what_depends_on_weights_alone_is_computed() -> None:
    """A scalar stays one: an axis more, and ONNX Runtime refuses a Loop."""
    make = onnx.helper.make_node
    nodes = [
        make("Transpose", ["w"], ["turned"], perm=[1, 0]),
        make("Add", ["one", "one"], ["two"]),
        make("MatMul", ["x", "turned"], ["y"]),
        make("Mul", ["y", "two"], ["z"]),
    ]
    kernel = random_array(1, 2, 3)
    graph = graph_of(nodes, "z")
    stored: dict[str, Array] = {"w": kernel, "one": np.ones((), np.float32), "idle": kernel}
    fold_constants(graph, stored)
    assert [node.op_type for node in graph.node] == ["MatMul", "Mul"]
    drop_dead_nodes(graph, stored, ())
    assert stored.keys() == {"turned", "two"}
    np.testing.assert_array_equal(stored["turned"], kernel.T)
    assert stored["two"].shape == ()
    assert stored["two"] == 2


def test_random_numbers_are_not_folded() -> None:
    nodes = [
        onnx.helper.make_node("RandomNormal", [], ["noise"], shape=[3]),
        onnx.helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    graph = graph_of(nodes, "y")
    fold_constants(graph, {})
    assert [node.op_type for node in graph.node] == ["RandomNormal", "Add"]


def test_transposes_that_undo_each_other_go() -> None:
    make = onnx.helper.make_node
    there, back = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        make("Transpose", ["x"], ["a"], perm=there),
        make("Transpose", ["a"], ["b"], perm=back),
        make("Transpose", ["b"], ["c"], perm=there),
        make("Relu", ["c"], ["d"]),
        make("Transpose", ["d"], ["e"], perm=there),
        make("Transpose", ["e"], ["y"], perm=back),
    ]
    graph = graph_of(nodes, "y")
    sample = {"x": random_array(1, 2, 3, 4, 5)}
    (before,) = evaluate(graph, sample)
    cancel_transposes(graph)
    drop_dead_nodes(graph, {}, ())
    # The last one is shown as it is.
    kinds = [node.op_type for node in graph.node]
    assert kinds == ["Transpose", "Relu", "Transpose", "Transpose"]
    np.testing.assert_array_equal(evaluate(graph, sample)[0], before)


def evaluate(graph: onnx.GraphProto, feeds: dict[str, Array]) -> list[Any]:
    opset = [onnx.helper.make_opsetid("", 15)]
    model = onnx.helper.make_model(graph, opset_imports=opset)
    return list(ReferenceEvaluator(model).run(None, feeds))

"""Which calls a Keras model makes: their names, nesting and edges, as the diagram shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import ExportError
from micam_fast.models.keras.recording import Recording, record
from tests.helpers import keras_models
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.keras_oracle import keras_edges, run_layers
from tests.helpers.models import random_array

pytestmark = needs_tensorflow

# Layers and what they read, by hand.
GRAPHS: dict[str, dict[str, tuple[str, ...]]] = {
    "functional": {
        "picture": (),
        "first": ("picture",),
        "norm": ("first",),
        "act": ("norm",),
        "second": ("act",),
        "sum": ("second", "first"),
        "mean": ("sum",),
        "classes": ("mean",),
    },
    "sequential": {
        "picture": (),
        "conv": ("picture",),
        "pool": ("conv",),
        "drop": ("pool",),
        "flat": ("drop",),
        "dense": ("flat",),
    },
    "nested_functional": {
        "picture": (),
        "stem": ("picture",),
        "encoder/inside": ("stem",),
        "encoder/conv": ("encoder/inside",),
        "encoder/act": ("encoder/conv",),
        "flat": ("encoder/act",),
    },
    "nested_sequential": {
        "picture": (),
        "stem": ("picture",),
        "body/conv": ("stem",),
        "body/act": ("body/conv",),
        "flat": ("body/act",),
    },
    "functional_in_sequential": {
        "picture": (),
        "encoder/inside": ("picture",),
        "encoder/conv": ("encoder/inside",),
        "encoder/act": ("encoder/conv",),
        "mean": ("encoder/act",),
        "dense": ("mean",),
    },
    "nested_deep": {
        "picture": (),
        "conv": ("picture",),
        "middle/inside": ("conv",),
        "middle/conv": ("middle/inside",),
        "middle/inner/conv": ("middle/conv",),
        "middle/inner/act": ("middle/inner/conv",),
        "middle/act": ("middle/inner/act",),
        "act": ("middle/act",),
    },
    "nested_twice": {
        "left": (),
        "right": (),
        "encoder/inside": ("left",),
        "encoder/conv": ("encoder/inside",),
        "encoder/act": ("encoder/conv",),
        "encoder#2/inside": ("right",),
        "encoder#2/conv": ("encoder#2/inside",),
        "encoder#2/act": ("encoder#2/conv",),
        "difference": ("encoder/act", "encoder#2/act"),
    },
    "nested_pair": {
        "picture": (),
        "act": ("picture",),
        "pair/low": ("act",),
        "pair/high": ("picture",),
        "pair/sum": ("pair/low", "pair/high"),
        "pair/conv": ("pair/high",),
        "join": ("pair/conv", "pair/sum"),
    },
    "shared_layer": {
        "left": (),
        "right": (),
        "shared": ("left",),
        "shared#2": ("shared",),
        "shared#3": ("right",),
        "join": ("shared#2", "shared#3"),
    },
    "several": {
        "picture": (),
        "age": (),
        "conv": ("picture",),
        "flat": ("conv",),
        "both": ("flat", "age"),
        "classes": ("both",),
        "value": ("both",),
    },
    "dictionaries": {
        "wide": (),
        "deep": (),
        "conv": ("wide",),
        "flat": ("conv",),
        "both": ("flat", "deep"),
        "four": ("both",),
        "two": ("both",),
    },
    "passing": {
        "picture": (),
        "first": ("picture",),
        "linear": ("first",),
        "conv": ("linear",),
        "spatial": ("conv",),
        "same": ("spatial",),
        "flat": ("same",),
    },
    "subclassed": {
        "input": (),
        "conv": ("input",),
        "body/act": ("conv",),
        "conv#2": ("body/act",),
        "body#2/act": ("conv#2",),
        "sum": ("body#2/act", "input"),
        "dense": ("sum",),
    },
    "two_outputs_layer": {
        "picture": (),
        "halves": ("picture",),
        "low": ("halves",),
        "high": ("halves",),
        "sum": ("low", "high"),
    },
    "sized_like": {
        "picture": (),
        "large": ("picture",),
        "small": ("picture",),
        "enlarged": ("small",),
        "sum": ("large", "enlarged"),
    },
    "composite_layer": {"picture": (), "block": ("picture",), "pool": ("block",)},
    "masked": {
        "words": (),
        "embed": ("words",),
        "first": ("embed",),
        "second": ("first",),
        "dense": ("second",),
    },
    "masked_series": {"series": (), "mask": ("series",), "lstm": ("mask",)},
    "states": {
        "source": (),
        "target": (),
        "read": ("source",),
        "write": ("target", "read"),
        "dense": ("write",),
    },
    "attention": {
        "query": (),
        "value": (),
        "own": ("query",),
        "sum": ("own", "query"),
        "norm": ("sum",),
        "cross": ("norm", "value"),
    },
}


@pytest.mark.parametrize("name", GRAPHS)
def test_calls_edges_and_nesting(name: str) -> None:
    calls = record(getattr(keras_models, name)()).calls
    assert {call.name: call.parents for call in calls} == GRAPHS[name]
    for call in calls:
        assert call.cluster == tuple(call.name.split("/")[:-1])


@pytest.mark.parametrize("name", keras_models.FUNCTIONAL)
def test_edges_are_those_of_keras(name: str) -> None:
    model = keras_models.FUNCTIONAL[name]()
    edges = {call.name: call.parents for call in record(model).calls}
    # In which order two operands come is arithmetic's own business.
    assert {key: set(value) for key, value in edges.items()} == {
        key: set(value) for key, value in keras_edges(model).items()
    }


@pytest.mark.parametrize("name", sorted(GRAPHS.keys() & keras_models.FUNCTIONAL.keys()))
def test_the_oracle_knows_the_same_graphs(name: str) -> None:
    assert keras_edges(keras_models.FUNCTIONAL[name]()) == GRAPHS[name]


def test_operations_are_layers() -> None:
    calls = record(keras_models.operations()).calls
    kinds = {type(call.layer).__name__: call.parents for call in calls[1:]}
    add, relu, part, times, minus = (call.name for call in calls[2:7])
    assert kinds == {
        "Conv2D": ("picture",),
        "Add": ("picture", "conv"),
        "Relu": (add,),
        "GetItem": (relu,),
        "Multiply": (part,),
        "Subtract": (times,),
        "Flatten": (minus,),
    }


def test_inputs_come_first_and_run_order_follows() -> None:
    names = [call.name for call in record(keras_models.several()).calls]
    assert names[:2] == ["picture", "age"]
    place = {name: index for index, name in enumerate(names)}
    for name, parents in GRAPHS["several"].items():
        assert all(place[parent] < place[name] for parent in parents)


@pytest.mark.parametrize("name", ["functional", "nested_deep", "nested_twice", "several", "states"])
def test_a_recording_runs_as_keras_does(name: str) -> None:
    model = keras_models.FUNCTIONAL[name]()
    recording = record(model)
    samples = [random_array(seed, *tensor.shape[1:]) for seed, tensor in enumerate(model.inputs)]
    found = recording.run([sample[np.newaxis] for sample in samples])
    runs = run_layers(model, *samples)
    assert len(found) == len(runs)
    for call, array in zip(recording.calls, found, strict=True):
        np.testing.assert_allclose(array[0], runs[call.name].activation, rtol=1e-5, atol=1e-6)


def test_large_weights_stay_out_of_the_graph() -> None:
    import keras

    dense = keras.layers.Dense(64, name="dense")
    recording = record(keras.Sequential([keras.Input((64,)), dense], name="net"))
    (value,) = recording.weights.values()
    np.testing.assert_array_equal(value, np.asarray(dense.kernel))
    assert len(recording.function.graph.as_graph_def().SerializeToString()) < value.nbytes
    assert list(recording.titles.values()) == ["net/dense/kernel"]


def test_the_model_stays_as_it_was() -> None:
    import keras

    model = keras_models.functional()
    before = model.get_weights()
    original = keras.Operation.__call__
    record(model)
    assert keras.Operation.__call__ is original
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 8, 6, 3)), np.ones((2, 5)))
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))


def test_calls_of_other_threads_are_not_taken_for_the_model_s() -> None:
    import keras

    other = keras.layers.Dense(2, name="other")

    class Busy(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="busy")
            self.dense = keras.layers.Dense(2, name="dense")

        def call(self, x: Any) -> Any:
            thread = threading.Thread(target=other, args=(np.ones((1, 3), np.float32),))
            thread.start()
            thread.join()
            return self.dense(x)

    model = Busy()
    model(np.zeros((1, 3), np.float32))
    assert [call.name for call in record(model).calls] == ["input", "dense"]
    assert other.built


# --- Subclassed models -----------------------------------------------------------------------


def subclass(call: Callable[..., Any], *example: Any) -> Recording:
    """A recording of a subclassed model with a Dense in it, called once on an example."""
    import keras

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="net")
            self.layer = keras.layers.Dense(3, name="dense")

    Net.call = call
    model = Net()
    model(*example)
    return record(model)


ROW = np.zeros((1, 4), np.float32)


def test_a_call_need_not_know_of_training() -> None:
    calls = subclass(lambda self, x: self.layer(x), ROW).calls
    assert [call.name for call in calls] == ["input", "dense"]


# --- What cannot be recorded -----------------------------------------------------------------


def test_subclassed_models_with_several_inputs() -> None:
    said = r"'net' is subclassed and takes several inputs: .*keras.Model\(inputs, model\(inputs\)\)"
    with pytest.raises(ExportError, match=said):
        subclass(lambda self, a, b: self.layer(a) + self.layer(b), ROW, ROW)
    with pytest.raises(ExportError, match=said):
        subclass(lambda self, x: self.layer(x[0]) + self.layer(x[1]), [ROW, ROW])
    with pytest.raises(ExportError, match=said):
        subclass(lambda self, x: self.layer(x["a"]) + self.layer(x["b"]), {"a": ROW, "b": ROW})


def test_a_model_without_known_input() -> None:
    import keras

    model = keras.Sequential([keras.layers.Dense(2)], name="fresh")
    with pytest.raises(ExportError, match="'fresh' does not know the shape of its input: call it"):
        record(model)


def test_a_model_that_keras_cannot_run() -> None:
    def call(self: Any, x: Any) -> Any:
        if not hasattr(x, "numpy"):
            raise KeyError("nothing")
        return self.layer(x)

    with pytest.raises(ExportError, match="Keras cannot run model 'net': KeyError: 'nothing'"):
        subclass(call, ROW)


def test_resources_that_are_no_weights() -> None:
    import keras
    import tensorflow as tf

    class Scale(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="scale")
            self.factor = tf.Variable(2.0)

        def call(self, x: Any) -> Any:
            return x * self.factor

    x = keras.Input((4,))
    with pytest.raises(ExportError, match=r"'net' holds '.*scale.*a TensorFlow resource"):
        record(keras.Model(x, Scale()(x), name="net"))


@pytest.mark.parametrize("kind", ["string", "int64"])
def test_lookup_tables(kind: str) -> None:
    import keras

    x = keras.Input((1,), dtype=kind)
    table = {
        "string": lambda: keras.layers.StringLookup(vocabulary=["a", "b"]),
        "int64": lambda: keras.layers.IntegerLookup(vocabulary=[1, 5]),
    }[kind]()
    with pytest.raises(ExportError, match=r"a lookup table or a tf\.Variable"):
        record(keras.Model(x, table(x)))

"""Keras' TimeDistributed: the layers of its model, and their maps, frame by frame."""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.core.errors import ExportError
from micam_fast.diagrams.labels import label_lines
from micam_fast.models.keras import KerasExport, export_model
from tests.helpers import frame_models
from tests.helpers.comparing import assert_close
from tests.helpers.frame_models import CLIP, FRAMES, MODELS
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.keras_oracle import adjoint_by_tape, expected_map, run_layers
from tests.helpers.models import Array, random_array

pytestmark = needs_tensorflow

SAMPLE = random_array(1, *CLIP)
SEQUENTIAL = {
    "conv": ("",), "pool": ("conv",), "depthwise": ("pool",), "flat": ("depthwise",),
    "dense": ("flat",),
}  # fmt: skip
FUNCTIONAL = {
    "x": (),
    "each/inside": ("x",),
    "each/conv": ("each/inside",),
    "each/norm": ("each/conv",),
    "each/inner/act": ("each/norm",),
    "each/inner/tanh": ("each/inner/act",),
    "each/sum": ("each/conv", "each/inner/tanh"),
    "each/mean": ("each/sum",),
    "lstm": ("each/mean",),
    "out": ("lstm",),
}
BODIES = {
    "functional": "each",
    "sequential": "each",
    "open_number": "each",
    "in_a_model": "outer/each",
}


def inner(prefix: str, source: str) -> dict[str, tuple[str, ...]]:
    """The sequential model's layers."""
    return {
        f"{prefix}/{name}": tuple(f"{prefix}/{each}" if each else source for each in read)
        for name, read in SEQUENTIAL.items()
    }


GRAPHS = {
    "functional": FUNCTIONAL,
    "open_number": FUNCTIONAL,
    "sequential": {"x": (), **inner("each", "x"), "lstm": ("each/dense",), "out": ("lstm",)},
    "in_a_model": {
        "x": (), "outer/clip": ("x",), **inner("outer/each", "outer/clip"),
        "lstm": ("outer/each/dense",), "out": ("lstm",),
    },
    "behind_a_layer": {
        "x": (), **inner("each", "x"), "first": ("x",), **inner("each#2", "first"),
        "both": ("each/dense", "each#2/dense"), "lstm": ("both",), "out": ("lstm",),
    },
}  # fmt: skip
projected = pytest.mark.parametrize("projection", PROJECTIONS)


@functools.cache
def exported(name: str) -> tuple[Any, KerasExport]:
    model = MODELS[name]()
    return model, export_model(model)


@functools.cache
def opened(name: str) -> micam_fast.Model:
    return micam_fast.load_model(exported(name)[1].proto, threads=1)


def body_of(name: str) -> Any:
    model = exported(name)[0]
    outer = model.get_layer("outer") if name == "in_a_model" else model
    return outer.get_layer("each").layer


def frame_maps(body: Any, sample: Array, projection: Projection) -> list[dict[str, Array]]:
    """The map of each layer of a model, for each frame by itself."""
    found = []
    for frame in sample:
        maps = {}
        for name, run in run_layers(body, frame).items():
            if projection == "transposed" and hasattr(run.layer, "kernel_size"):
                maps[name] = adjoint_by_tape(run.layer, run.activation, run.input_shape)
            else:
                maps[name] = expected_map(run.layer, run.activation, CLIP[1:3])
        found.append(maps)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_calls_edges_and_clusters(name: str) -> None:
    notes = exported(name)[1].notes
    assert {note.layer.name: note.layer.inputs for note in notes} == GRAPHS[name]
    for note in notes:
        clusters = re.sub(r"#\d", "", note.layer.name).split("/")[:-1]
        assert [re.sub(r"#\d", "", each) for each in note.layer.cluster] == clusters


def test_layers_stand_as_keras_lists_them() -> None:
    for name in ("functional", "sequential", "in_a_model"):
        assert [note.layer.name for note in exported(name)[1].notes] == list(GRAPHS[name])


@pytest.mark.parametrize("name", MODELS)
def test_the_file_gives_what_keras_gives(name: str, tmp_path: Path) -> None:
    model = exported(name)[0]
    assert micam_fast.export(model, tmp_path / "net.onnx", sample=SAMPLE).worst.relative < 1e-3
    found = opened(name).explain(SAMPLE)
    expected = model(SAMPLE[np.newaxis], training=False).numpy()[0]
    assert found.output is not None
    assert_close(found.output, expected)
    if name != "open_number":
        assert found.prediction is not None
        assert found.prediction.index == int(expected.argmax())


def test_each_layer_is_there_once() -> None:
    """Not once for each frame, as Keras runs it."""
    nodes = [node.op_type for node in exported("sequential")[1].proto.graph.node]
    assert nodes.count("Conv") == 2
    assert nodes.count("MaxPool") == 1


@projected
@pytest.mark.parametrize("name", BODIES)
def test_maps_are_means_over_the_frames_or_one(name: str, projection: Projection) -> None:
    model, prefix = opened(name), BODIES[name]
    frames = frame_maps(body_of(name), SAMPLE, projection)
    names = {f"{prefix}/{each}": each for each in frames[0] if f"{prefix}/{each}" in GRAPHS[name]}
    assert len(names) >= 5
    mean = model.explain(SAMPLE, projection=projection)
    layers = {layer.name: layer for layer in model.layers}
    for full, own in names.items():
        assert_close(mean.cams[full], np.mean([maps[own] for maps in frames], axis=0))
        assert f"mean over {FRAMES} frames" in label_lines(layers[full], mean.maps[full])
    for frame, maps in enumerate(frames):
        found = model.explain(SAMPLE, projection=projection, frame=frame)
        for full, own in names.items():
            assert_close(found.cams[full], maps[own])
            assert f"frame {frame} of {FRAMES} (from 0)" in label_lines(
                layers[full], found.maps[full]
            )


def test_any_number_of_frames() -> None:
    longer = random_array(2, 7, *CLIP[1:])
    found = opened("open_number").explain(longer, frame=6)
    expected = frame_maps(body_of("open_number"), longer, "published")[6]
    assert found.maps["each/conv"].copies == 7
    assert_close(found.cams["each/conv"], expected["conv"])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files(suffix: str, tmp_path: Path) -> None:
    model = exported("functional")[0]
    path = tmp_path / f"clip{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    found = micam_fast.load_model(path, threads=1).explain(SAMPLE, frame=2)
    expected = opened("functional").explain(SAMPLE, frame=2)
    assert list(found.cams) == list(expected.cams)
    for name, cam in expected.cams.items():
        assert_close(found.cams[name], cam)


@projected
@pytest.mark.parametrize("kind", ["conv", "pool", "flatten"])
@pytest.mark.parametrize("frames", [FRAMES, None])
def test_a_single_layer_on_each_frame(
    kind: str, frames: int | None, projection: Projection
) -> None:
    """It stays one layer, mapped as it maps one frame."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(8)
    made = {
        "conv": lambda: layers.Conv2D(3, 3, padding="same", bias_initializer="random_normal"),
        "pool": layers.MaxPooling2D,
        "flatten": layers.Flatten,
    }[kind]()
    x = keras.Input((frames, *CLIP[1:]), name="x")
    model = keras.Model(x, layers.TimeDistributed(made, name="each")(x))
    loaded = micam_fast.load_model(export_model(model).proto, threads=1)
    outputs = [np.asarray(made(frame[np.newaxis]))[0] for frame in SAMPLE]
    if kind == "conv" and projection == "transposed":
        maps = [adjoint_by_tape(made, each, CLIP[1:]) for each in outputs]
    else:
        maps = [expected_map(made, each, CLIP[1:3]) for each in outputs]
    found = loaded.explain(SAMPLE, projection=projection)
    assert [layer.name for layer in loaded.layers] == ["x", "each"]
    assert found.maps["each"].copies == FRAMES
    assert_close(found.cams["each"], np.mean(maps, axis=0))
    for frame, expected in enumerate(maps):
        found = loaded.explain(SAMPLE, projection=projection, frame=frame)
        assert_close(found.cams["each"], expected)


def test_steps_of_a_sequence_are_no_frames() -> None:
    """A Dense by itself makes the same of it: the map goes along the steps."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(8)
    x = keras.Input((FRAMES, 7), name="x")
    dense = layers.Dense(5, bias_initializer="random_normal", name="dense")
    model = keras.Model(x, [layers.TimeDistributed(dense, name="each")(x), dense(x)])
    found = micam_fast.load_model(export_model(model).proto, threads=1).explain(
        random_array(4, FRAMES, 7)
    )
    assert found.cams["each"].shape == (1, FRAMES)
    np.testing.assert_array_equal(found.cams["each"], found.cams["dense"])


def test_masks_of_frames() -> None:
    """A mask of frames goes through the wrapper, as it does in Keras."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(9)
    body = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="dense")], name="body")
    x = keras.Input((FRAMES, 6), name="x")
    y = layers.TimeDistributed(body, name="each")(layers.Masking(name="mask")(x))
    model = keras.Model(x, layers.LSTM(3, name="lstm")(y))
    sample = random_array(5, FRAMES, 6)
    sample[2] = 0
    found = micam_fast.load_model(export_model(model).proto, threads=1).explain(sample)
    assert found.output is not None
    assert_close(found.output, model(sample[np.newaxis]).numpy()[0])


def test_a_layer_that_mixes_the_samples_of_a_batch(tmp_path: Path) -> None:
    import keras

    class Mixing(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x - keras.ops.mean(x, axis=0, keepdims=True)

    body = keras.Sequential([keras.Input((6,)), Mixing(name="mixing")], name="body")
    x = keras.Input((FRAMES, 6), name="x")
    model = keras.Model(x, keras.layers.TimeDistributed(body, name="each")(x))
    with pytest.raises(ExportError, match="the layer in 'each' gives other numbers for all frames"):
        micam_fast.export(model, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_the_command_line_tells_that_a_frame_is_not_there() -> None:
    with pytest.raises(micam_fast.SampleError, match="layer 'each/inside' has 4 frames, from 0"):
        opened("functional").explain(SAMPLE, frame=FRAMES)
    assert frame_models.MODELS

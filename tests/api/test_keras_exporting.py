"""`micam_fast.export`: what it proves, what it reports, and what it refuses."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import micam_fast
from micam_fast.api import export as exporting
from micam_fast.core.errors import ExportError, OutputError, SampleError
from micam_fast.engine.onnx_runtime import Extractor
from micam_fast.models.keras import KerasExport, export_model
from tests.helpers import keras_models
from tests.helpers.comparing import assert_close
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.models import Array, random_array

pytestmark = [
    needs_tensorflow,
    # Keras 3.15 on NumPy 2, where it saves a model.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
]


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Random weights of Keras are the same in every run."""
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture(scope="module")
def model() -> Any:
    """A residual block with a classifier; it is made before `same_weights` is there."""
    import keras

    keras.utils.set_random_seed(1)
    return keras_models.functional()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where an export that fails would be written; it must leave nothing."""
    path = tmp_path / "new" / "net.onnx"
    yield path
    assert not path.parent.exists()


# --- What it does ----------------------------------------------------------------------------


def test_a_report(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "net.onnx"
    report = micam_fast.export(model, path, sample=random_array(1, 8, 6, 3))
    assert report.path == path
    assert report.layers == len(model.layers) == 8
    assert report.size == path.stat().st_size
    assert [each.sample for each in report.differences] == ["random", "given"]
    for each in report.differences:
        assert each.layer in [layer.name for layer in model.layers[1:]]
        assert 0 < each.relative < 1e-5
    assert 0 < report.seconds < 60
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]


def test_the_package_gives_it() -> None:
    assert micam_fast.export is exporting.export


def test_an_export_replaces_a_file(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("old")
    micam_fast.export(model, str(path))
    onnx.checker.check_model(path)


@pytest.mark.parametrize(
    "sample",
    [
        np.ones((8, 6, 3)),
        np.ones((1, 8, 6, 3), np.uint8),
        np.ones((8, 6, 3)).tolist(),
        {"picture": np.ones((8, 6, 3), np.float16)},
    ],
    ids=["float64", "batch of one", "list", "by name"],
)
def test_samples_that_fit(model: Any, sample: Any, tmp_path: Path) -> None:
    report = micam_fast.export(model, tmp_path / "net.onnx", sample=sample)
    assert len(report.differences) == 2


def test_a_sample_for_several_inputs(tmp_path: Path) -> None:
    sample = {"age": np.ones(3), "picture": np.ones((8, 6, 1))}
    report = micam_fast.export(keras_models.several(), tmp_path / "net.onnx", sample=sample)
    assert report.differences[1].relative < 1e-5


def test_open_sizes(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    x = keras.Input((None, None, 1), name="x")
    y = layers.GlobalMaxPooling2D(name="max")(layers.Conv2D(2, 3, name="conv")(x))
    net = keras.Model(x, y)
    path = tmp_path / "net.onnx"
    micam_fast.export(net, path, sample=random_array(1, 9, 5, 1))
    loaded = micam_fast.load_model(path)
    assert loaded.layers[1].output_shape == (None, None, None, 2)
    cams = loaded.explain(random_array(1, 7, 12, 1)).cams
    assert cams["conv"].shape == (5, 10)


def test_open_sizes_are_those_of_the_given_sample(tmp_path: Path) -> None:
    """Like InceptionV3 without its top, which takes 75 x 75 and more."""
    import keras

    x = keras.Input((None, None, 1), name="x")
    net = keras.Model(x, keras.layers.Conv2D(2, (70, 1), name="conv")(x))
    micam_fast.export(net, tmp_path / "net.onnx", sample=random_array(1, 75, 3, 1))


def test_open_sizes_are_tried(tmp_path: Path) -> None:
    import keras

    x = keras.Input((None, None, 1), name="x")
    net = keras.Model(x, keras.layers.Conv2D(2, (70, 1), name="conv")(x))
    assert micam_fast.export(net, tmp_path / "net.onnx").layers == 2
    huge = keras.Model(x, keras.layers.Conv2D(2, (300, 1), name="conv")(x))
    with pytest.raises(ExportError, match=r"any of 64, 128, 256 .*; give a sample to check"):
        micam_fast.export(huge, tmp_path / "huge.onnx")


def test_resizing_by_the_nearest_neighbour_is_refused(tmp_path: Path) -> None:
    """Tf2onnx takes other neighbours than TensorFlow."""
    import keras

    resizing = keras.layers.Resizing(9, 5, interpolation="nearest", name="resizing")
    net = keras.Sequential([keras.Input((7, 6, 2)), resizing])
    with pytest.raises(ExportError, match="layer 'resizing' differs between Keras and ONNX"):
        micam_fast.export(net, tmp_path / "net.onnx")


def test_a_layer_s_name_may_begin_with_an_underscore(tmp_path: Path) -> None:
    import keras

    net = keras.Sequential([keras.Input((6, 5, 1)), keras.layers.Conv2D(2, 3, name="_conv")])
    assert micam_fast.export(net, tmp_path / "net.onnx").layers == 2


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch(batch: int, tmp_path: Path) -> None:
    import keras

    x = keras.Input(batch_shape=(batch, 6, 5, 1), name="x")
    net = keras.Model(x, keras.layers.Conv2D(2, 3, name="conv")(x))
    path = tmp_path / "net.onnx"
    micam_fast.export(net, path)
    assert micam_fast.load_model(path).explain(np.ones((6, 5, 1))).cams["conv"].shape == (4, 3)


def test_layers_of_the_caller_s_own(tmp_path: Path) -> None:
    """Live, and from a file with `custom_objects`."""
    import keras

    class Double(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 2 * x

    net = keras.Sequential([keras.Input((4, 3), name="x"), Double(name="twice")])
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"net{suffix}"
        save(net, path)
        found = micam_fast.export(path, tmp_path / "net.onnx", custom_objects={"Double": Double})
        live = micam_fast.export(net, tmp_path / "live.onnx")
        assert found.layers == live.layers == 2
        loaded = micam_fast.load_model(tmp_path / "net.onnx")
        assert loaded.layers[1].class_label == "Double"
        sample = random_array(1, 4, 3)
        expected = 2 * sample.mean(axis=1, keepdims=True).T
        assert_close(loaded.explain(sample).cams["twice"], expected)


def save(model: Any, path: Path) -> None:
    """Save a Keras model; of its older format Keras warns."""
    import logging

    logging.getLogger("absl").disabled = True
    try:
        model.save(path)
    finally:
        logging.getLogger("absl").disabled = False


# --- The proof -------------------------------------------------------------------------------


def spoil(monkeypatch: pytest.MonkeyPatch, weight: str, change: Callable[[Array], Array]) -> None:
    """Let the conversion go wrong in one weight."""

    def export_wrongly(model: Any) -> KerasExport:
        found = export_model(model)
        for tensor in found.proto.graph.initializer:
            if tensor.name == weight:
                tensor.CopyFrom(
                    numpy_helper.from_array(change(numpy_helper.to_array(tensor)), weight)
                )
                return found
        raise AssertionError([tensor.name for tensor in found.proto.graph.initializer])

    monkeypatch.setattr("micam_fast.api.export.export_model", export_wrongly)


@pytest.mark.parametrize(
    ("weight", "layer"), [("first/bias", "first"), ("second/kernel", "second")]
)
def test_a_wrong_export_names_the_first_wrong_layer(
    model: Any, weight: str, layer: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, weight, lambda array: array + 0.1)
    said = rf"^layer '{layer}' differs between Keras and ONNX Runtime by 0\.\d+ of its largest"
    with pytest.raises(ExportError, match=said) as raised:
        micam_fast.export(model, target)
    assert "on the random sample" in str(raised.value)
    assert "nothing was written" in str(raised.value)


@pytest.mark.parametrize(("step", "passes"), [(5e-4, True), (5e-3, False)])
def test_the_bound_is_a_thousandth_of_the_largest_value(
    model: Any, step: float, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "first/kernel", lambda array: array * np.float32(1 + step))
    if passes:
        (found,) = micam_fast.export(model, tmp_path / "net.onnx").differences
        assert 1e-4 < found.relative < 1e-3
    else:
        with pytest.raises(ExportError, match=r"layer 'first' differs .*\(at most 0\.001\)"):
            micam_fast.export(model, tmp_path / "net.onnx")


def test_the_given_sample_is_compared_too(
    model: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference that only large values show."""

    def clip(array: Array) -> Array:
        return np.minimum(array, 6).astype(np.float32)

    original = Extractor.run

    def run_clipped(self: Any, feeds: Any) -> Any:
        found = original(self, feeds)
        arrays = {name: clip(array) for name, array in found.arrays.items()}
        return dataclasses.replace(found, arrays=arrays)

    monkeypatch.setattr(Extractor, "run", run_clipped)
    with pytest.raises(ExportError, match="on the given sample"):
        micam_fast.export(model, target, sample=np.full((8, 6, 3), 100.0))


def test_values_that_are_not_finite_must_agree(
    model: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "first/bias", lambda array: array * np.float32("nan"))
    with pytest.raises(ExportError, match=r"layer 'first' differs .* by inf"):
        micam_fast.export(model, target)


@pytest.mark.parametrize("start", [-12.0, -14.0, -16.0])
def test_the_tail_of_a_sigmoid_is_no_difference(start: float, tmp_path: Path) -> None:
    """ONNX Runtime computes it with an error of about 1e-8, however small it is."""
    import keras

    dense = keras.layers.Dense(1, "sigmoid", name="dense")
    net = keras.Sequential([keras.Input((2,), name="x"), dense])
    dense.bias.assign([start])
    (_, found) = micam_fast.export(net, tmp_path / "net.onnx", sample=np.zeros(2)).differences
    assert found.relative < 1e-3


# --- What it refuses -------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [3, "layer", None])
def test_no_model(thing: Any, target: Path) -> None:
    import keras

    if thing == "layer":
        thing = keras.layers.Dense(2)
    kind = type(thing).__name__
    with pytest.raises(ExportError, match=rf"a keras\.Model is expected, not a {kind}"):
        micam_fast.export(thing, target)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (np.ones((5, 5)), r"shape \(5, 5\) does not fit input 'picture' of shape \(8, 6, 3\)"),
        (np.ones((6, 8, 3)), r"shape \(6, 8, 3\) does not fit"),
        (np.ones((2, 8, 6, 3)), "a batch of 2 samples was given as one sample"),
        ({"other": np.ones((8, 6, 3))}, "inputs other was given; the model's inputs are picture"),
        *((np.full((8, 6, 3), value), "numbers are expected") for value in ("a", None, 1j)),
    ],
    ids=["rank", "sizes", "batch", "name", "text", "objects", "complex"],
)
def test_a_sample_that_does_not_fit(model: Any, sample: Any, said: str, target: Path) -> None:
    with pytest.raises(SampleError, match=said):
        micam_fast.export(model, target, sample=sample)


def test_a_sample_for_some_of_the_inputs(target: Path) -> None:
    with pytest.raises(SampleError, match="picture was given; the model's inputs are picture, age"):
        micam_fast.export(keras_models.several(), target, sample=np.ones((8, 6, 1)))


def test_strings(target: Path) -> None:
    import keras

    x = keras.Input((1,), dtype="string", name="word")
    with pytest.raises(ExportError, match=r"'word' takes .*; micam-fast feeds numbers only"):
        micam_fast.export(keras.Model(x, keras.layers.Identity(name="same")(x)), target)


@pytest.mark.parametrize("kind", ["hashing", "python"])
def test_what_onnx_has_no_operator_for(kind: str, target: Path) -> None:
    import keras
    import tensorflow as tf

    class Python(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return tf.ensure_shape(tf.numpy_function(np.sin, [x], tf.float32), x.shape)

    if kind == "python":
        x = keras.Input((4,), name="x")
        y = Python(name="python")(keras.layers.Dense(4, name="dense")(x))
    else:
        x = keras.Input((4,), dtype="int64", name="x")
        y = keras.layers.Hashing(3, name="hashing")(x)
    with pytest.raises(ExportError, match=rf"no ONNX operator for TensorFlow's .*'{kind}'"):
        micam_fast.export(keras.Model(x, y), target)


@pytest.mark.parametrize("policy", ["float64", "bfloat16"])
def test_numbers_that_onnx_runtime_has_no_convolution_for(policy: str, target: Path) -> None:
    import keras

    conv = keras.layers.Conv2D(2, 3, dtype=policy, name="conv")
    net = keras.Sequential([keras.Input((6, 5, 1), dtype=policy), conv])
    with pytest.raises(ExportError, match=r"Conv|feeds numbers only"):
        micam_fast.export(net, target)


def test_what_keras_says_is_brought_to_one_line(target: Path) -> None:
    import keras

    x = keras.Input(batch_shape=(1, 4, 3), name="x")
    net = keras.Model(x, keras.layers.LSTM(2, stateful=True, name="lstm")(x))
    with pytest.raises(ExportError, match="Keras cannot run") as raised:
        micam_fast.export(net, target)
    said = str(raised.value)
    assert said.isprintable()
    assert len(said) < 500


def test_half_precision_differs_by_its_own_rounding(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    x = y = keras.Input((16, 16, 3))
    for _ in range(8):
        y = layers.Conv2D(8, 3, padding="same", dtype="mixed_float16")(y)
        y = layers.BatchNormalization(dtype="mixed_float16")(y)
        y = layers.ReLU(dtype="mixed_float16")(y)
    report = micam_fast.export(keras.Model(x, y), tmp_path / "net.onnx")
    assert report.differences[0].relative > 1e-4


def test_more_than_a_file_may_hold(
    model: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_LARGEST", 1000)
    with pytest.raises(ExportError, match="GiB; a file ends at 2 GiB"):
        micam_fast.export(model, target)


def test_another_backend(model: Any, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ExportError, match="runs on 'jax'; the export needs KERAS_BACKEND=tensor"):
        micam_fast.export(model, target)


def test_places_that_cannot_be_written(model: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write to folder .*file is a file"):
        micam_fast.export(model, tmp_path / "file" / "net.onnx")
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*net\.onnx: it is a folder"):
        micam_fast.export(model, tmp_path / "net.onnx")


@pytest.mark.heavy
@pytest.mark.parametrize("missing", ["tensorflow", "keras", "tf2onnx"])
def test_without_the_extra(missing: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import micam_fast\n"
        "try:\n"
        "    micam_fast.export('net.keras', 'net.onnx')\n"
        "except micam_fast.MicamError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    save(keras_models.sequential(), tmp_path / "net.keras")
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert shown.startswith("MissingExtraError ")
    assert f"needs {missing}, which is not installed" in shown
    assert "pip install 'micam-fast[tensorflow]'" in shown
    assert shown.count("\n") == 1

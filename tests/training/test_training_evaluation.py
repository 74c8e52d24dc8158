"""Saved models on records: Keras and ONNX, channels last and first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from micam_fast.api.export import export
from micam_fast.core.errors import (
    DataError,
    ExportError,
    MissingExtraError,
    ModelError,
    TrainingError,
)
from micam_fast.core.prediction import to_probabilities
from micam_fast.training.classifiers import keras_classifier, open_classifier
from micam_fast.training.evaluation import evaluate_model
from micam_fast.training.metrics import Evaluation, evaluate_scores
from micam_fast.training.records import find_record_files, open_splits, write_records
from tests.helpers.models import make_model, random_array
from tests.helpers.training_cases import (
    BATCH,
    CLASSES,
    SIZE,
    keras,
    make_samples,
    pytestmark as pytestmark,
    small_network,
)

PIXELS = SIZE * SIZE
WEIGHTS = random_array(3, PIXELS, CLASSES, spread=0.05)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of 85 records: 10 batches of 8, of which 2 test, and a rest."""
    folder = tmp_path_factory.mktemp("data")
    write_records(make_samples(85, 4), folder, "stripes")
    return folder


@pytest.fixture(scope="module")
def records() -> tuple[NDArray[Any], NDArray[Any]]:
    samples, labels = zip(*make_samples(85, 4), strict=True)
    return np.stack(samples), np.array(labels)


def linear_model(
    shape: tuple[Any, ...],
    *,
    softmax: bool = True,
    output: tuple[int, ...] = (-1, CLASSES),
    weights: NDArray[Any] = WEIGHTS,
) -> onnx.ModelProto:
    """Scores that are linear in the pixels, which lie row by row for each channel."""
    nodes = [
        helper.make_node("Reshape", ["image", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Reshape", ["logits", "output_shape"], ["shaped"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["shaped"], ["scores"], axis=1))
    constants = {
        "flat_shape": np.array([-1, len(weights)]),
        "weights": weights,
        "output_shape": np.array(output),
    }
    outputs = ["scores" if softmax else "shaped"]
    return make_model(nodes, {"image": shape}, outputs, constants)


def wanted(records: tuple[NDArray[Any], NDArray[Any]], part: slice) -> Evaluation:
    """What `linear_model` says of one-channel samples, by NumPy."""
    samples, labels = records
    logits = samples[part].reshape(-1, PIXELS).astype(np.float64) @ WEIGHTS
    powers = np.exp(logits)
    return evaluate_scores(powers / powers.sum(axis=1, keepdims=True), labels[part])


def about(evaluation: Evaluation) -> Any:
    """An evaluation up to rounding."""
    return pytest.approx(evaluation.mean_average_precision, rel=1e-6), evaluation.confusion_matrix


def found(evaluation: Evaluation) -> Any:
    return evaluation.mean_average_precision, evaluation.confusion_matrix


TEST_PART = slice(64, 80)


class TestOnnx:
    """ONNX Runtime gives the scores."""

    @pytest.mark.parametrize(
        "shape",
        [
            ("n", SIZE, SIZE, 1),
            ("n", 1, SIZE, SIZE),
            (1, 1, SIZE, SIZE),
            (3, 1, SIZE, SIZE),
        ],
        ids=["nhwc", "nchw", "batch of 1", "batch of 3"],
    )
    @pytest.mark.parametrize("softmax", [True, False])
    def test_layouts_and_batches(
        self, shape: tuple[Any, ...], softmax: bool, data: Path, records: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(linear_model(shape, softmax=softmax), path)
        evaluation = evaluate_model(path, data, batch_size=BATCH)
        assert evaluation.samples == 16
        assert found(evaluation) == about(wanted(records, TEST_PART))

    def test_the_output_of_a_softmax_before_the_first(
        self, data: Path, records: Any, tmp_path: Path
    ) -> None:
        """A box stands before the scores."""
        model = linear_model(("n", SIZE, SIZE, 1))
        first = helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, None)
        model.graph.output.insert(0, first)
        onnx.save(model, tmp_path / "net.onnx")
        evaluation = evaluate_model(tmp_path / "net.onnx", data, batch_size=BATCH)
        assert found(evaluation) == about(wanted(records, TEST_PART))

    def test_channels_first_with_several_channels(self, tmp_path: Path) -> None:
        weights = random_array(1, 3 * 5 * 4, CLASSES)
        path = tmp_path / "net.onnx"
        onnx.save(linear_model(("n", 3, 5, 4), weights=weights), path)
        classifier = open_classifier(path)
        assert classifier.shape == (5, 4, 3)
        samples = random_array(2, 6, 5, 4, 3)
        logits = samples.transpose(0, 3, 1, 2).reshape(6, -1) @ weights
        scores = classifier.scores(samples)
        np.testing.assert_allclose(
            np.log(scores / scores[:, :1]), logits - logits[:, :1], rtol=1e-3
        )

    def test_all_records(self, data: Path, records: Any, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(linear_model(("n", SIZE, SIZE, 1)), path)
        evaluation = evaluate_model(path, data / "stripes.tfrecord", batch_size=BATCH, split="all")
        assert found(evaluation) == about(wanted(records, slice(85)))

    def test_all_records_of_two_files(self, data: Path, records: Any, tmp_path: Path) -> None:
        onnx.save(linear_model((3, SIZE, SIZE, 1)), tmp_path / "net.onnx")
        write_records(make_samples(85, 4), tmp_path, "two", shards=2)
        evaluation = evaluate_model(tmp_path / "net.onnx", tmp_path, split="all")
        assert evaluation.samples == 85
        assert found(evaluation) == about(wanted(records, slice(85)))

    def test_output_with_axes_of_length_1(self, data: Path, records: Any, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(linear_model(("n", 1, SIZE, SIZE), output=(-1, CLASSES, 1, 1)), path)
        evaluation = evaluate_model(path, data, batch_size=BATCH)
        assert found(evaluation) == about(wanted(records, TEST_PART))


class TestOpenSizes:
    """A model that takes any height and width."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "open.onnx"
        onnx.save(linear_model(("n", 1, "h", SIZE)), path)
        return path

    def test_given(self, path: Path, data: Path, records: Any) -> None:
        evaluation = evaluate_model(path, data, height=SIZE, width=SIZE, batch_size=BATCH)
        assert found(evaluation) == about(wanted(records, TEST_PART))

    def test_not_given(self, path: Path, data: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"open\.onnx takes samples of any height: give .* --height"
        ):
            evaluate_model(path, data)

    def test_against_the_model(self, path: Path, data: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"open\.onnx takes samples of width 12, --width says 13"
        ):
            evaluate_model(path, data, height=SIZE, width=13)

    def test_too_small(self, data: Path, tmp_path: Path) -> None:
        image = keras.Input((None, None, 1))
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 5)(image))
        network = keras.Model(image, keras.layers.Dense(CLASSES)(x))
        network.save(tmp_path / "open.keras")
        export(network, tmp_path / "open.onnx", sample=np.zeros((SIZE, SIZE, 1), np.float32))
        for name in ("open.keras", "open.onnx"):
            with pytest.raises(
                TrainingError,
                match=rf"{name} takes no samples of 4 x 3 x 1 \(--height x --width x chan.*: ",
            ) as caught:
                evaluate_model(tmp_path / name, data, height=4, width=3)
            assert "\n" not in str(caught.value)


class TestLibraries:
    """What the extra brings is asked for at once."""

    @pytest.mark.parametrize("library", ["tensorflow", "sklearn"])
    def test_missing(
        self, library: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(
            MissingExtraError, match=rf"evaluation needs {library}, .*micam-fast\[training\]"
        ):
            evaluate_model(tmp_path / "gone.keras", data)


class TestKeras:
    """Keras gives the scores."""

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_files(self, suffix: str, data: Path, records: Any, tmp_path: Path) -> None:
        network = small_network()
        path = tmp_path / f"net{suffix}"
        network.save(path)
        samples, labels = records
        probabilities = network.predict_on_batch(samples[TEST_PART])
        evaluation = evaluate_model(str(path), str(data), batch_size=BATCH)
        assert found(evaluation) == about(evaluate_scores(probabilities, labels[TEST_PART]))

    def test_first_of_several_outputs(self, data: Path, records: Any, tmp_path: Path) -> None:
        network = small_network()
        more = keras.Model(network.inputs, [network.outputs[0], network.get_layer("flat").output])
        more.save(tmp_path / "more.keras")
        network.save(tmp_path / "net.keras")
        evaluations = [
            evaluate_model(tmp_path / name, data, batch_size=BATCH)
            for name in ("more.keras", "net.keras")
        ]
        assert evaluations[0] == evaluations[1]

    def test_that_were_not_built(self, tmp_path: Path) -> None:
        network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
        with pytest.warns(UserWarning, match="saving a model that has not yet been built"):
            network.save(tmp_path / "a.keras")
        with pytest.raises(
            TrainingError,
            match=r"cannot evaluate a\.keras on records: it has no input: .*not built",
        ):
            open_classifier(tmp_path / "a.keras")

    def test_several_inputs(self, tmp_path: Path) -> None:
        inputs = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
        keras.Model(inputs, keras.layers.Add()(inputs)).save(tmp_path / "two.keras")
        with pytest.raises(
            TrainingError, match=r"cannot evaluate two\.keras on records: it has 2 inputs"
        ):
            open_classifier(tmp_path / "two.keras")


class TestProbabilities:
    """The rule by which a prediction is read from a model's output."""

    rows = np.array([[0.25, 0.75], [0.5, 0.5]])

    @pytest.mark.parametrize("last_op", ["Softmax", "Gemm"])
    def test_that_are_ones_already(self, last_op: str) -> None:
        assert to_probabilities(self.rows, last_op) is self.rows

    def test_independent_ones_stay(self) -> None:
        rows = np.array([[0.9, 0.8], [0.1, 0.3]])
        assert to_probabilities(rows, "Sigmoid") is rows

    def test_logits_by_softmax(self) -> None:
        logits = np.array([[0.2, 0.8], [1000.0, 0.0]])
        e = np.exp(0.6)
        np.testing.assert_allclose(
            to_probabilities(logits, "Gemm"), [[1 / (1 + e), e / (1 + e)], [1, 0]], atol=1e-12
        )

    def test_of_a_keras_sigmoid(self, tmp_path: Path) -> None:
        image = keras.Input((4, 4, 1))
        scores = keras.layers.Dense(3, activation="sigmoid")(keras.layers.Flatten()(image))
        keras.Model(image, scores).save(tmp_path / "sigmoid.keras")
        assert open_classifier(tmp_path / "sigmoid.keras").last_op == "Sigmoid"

    def test_of_the_first_output_and_not_of_the_last_layer(self) -> None:
        image = keras.Input((4, 4, 1))
        flat = keras.layers.Flatten()(image)
        first = keras.layers.Dense(3, activation="sigmoid")(flat)
        second = keras.layers.Dense(3, name="second")(keras.layers.Dense(3)(flat))
        assert keras_classifier(keras.Model(image, [first, second]), "m").last_op == "Sigmoid"
        assert keras_classifier(keras.Model(image, [second, first]), "m").last_op == "Linear"

    @pytest.mark.parametrize(
        "last",
        [
            [keras.layers.Softmax()],
            [keras.layers.Activation("softmax"), keras.layers.Activation("linear")],
            [keras.layers.Dense(2, activation=keras.layers.Softmax()), keras.layers.Dropout(0.5)],
        ],
    )
    @pytest.mark.parametrize("depth", [0, 2])
    def test_of_nested_models(self, last: list[Any], depth: int) -> None:
        layers = [keras.layers.Flatten(), keras.layers.Dense(3), *last]
        network = keras.Sequential([keras.Input((4, 4, 1)), *layers])
        for _ in range(depth):
            image = keras.Input((4, 4, 1))
            network = keras.Model(image, network(image))
        assert keras_classifier(network, "m").last_op == "Softmax"


class TestBadInput:
    """One line each."""

    @pytest.mark.parametrize(
        ("shape", "more", "said"),
        [
            (("n", PIXELS), {}, r"it takes samples of shape \(144,\), expected are height, width"),
            (("n", 1, 4, 6, 6), {}, r"it takes samples of shape \(1, 4, 6, 6\), expected are"),
            (
                ("n", 1, SIZE, SIZE),
                {"weights": WEIGHTS[:, :1], "output": (-1, 1)},
                "it gives one value for a sample, expected is one for each class",
            ),
            (
                ("n", 1, SIZE, SIZE),
                {"weights": random_array(1, PIXELS, 6), "output": (-1, 3, 2)},
                r"its output for 1 samples has the shape \(1, 3, 2\)",
            ),
        ],
    )
    def test_no_classifier(
        self, shape: tuple[Any, ...], more: Mapping[str, Any], said: str, data: Path, tmp_path: Path
    ) -> None:
        onnx.save(linear_model(shape, **more), tmp_path / "net.onnx")
        with pytest.raises(TrainingError, match=rf"cannot evaluate net\.onnx on records: {said}"):
            evaluate_model(tmp_path / "net.onnx", data)

    def test_several_inputs(self, data: Path, tmp_path: Path) -> None:
        node = helper.make_node("Add", ["a", "b"], ["c"])
        shape = ("n", 1, SIZE, SIZE)
        onnx.save(make_model([node], {"a": shape, "b": shape}, ["c"]), tmp_path / "net.onnx")
        with pytest.raises(TrainingError, match=r"net\.onnx on records: it has 2 inputs"):
            evaluate_model(tmp_path / "net.onnx", data)

    def test_data_of_another_size(self, data: Path, tmp_path: Path) -> None:
        onnx.save(
            linear_model(("n", 1, 5, 5), weights=random_array(1, 25, CLASSES)), tmp_path / "a.onnx"
        )
        with pytest.raises(
            DataError, match=r"the sample has 144 values, expected are 5 x 5 x 1 = 25"
        ):
            evaluate_model(tmp_path / "a.onnx", data)

    def test_labels_outside_the_classes(self, data: Path, tmp_path: Path) -> None:
        weights = random_array(1, PIXELS, 2)
        onnx.save(
            linear_model(("n", 1, SIZE, SIZE), weights=weights, output=(-1, 2)),
            tmp_path / "two.onnx",
        )
        with pytest.raises(DataError, match="label 2 is outside the 2 classes 0 to 1"):
            evaluate_model(tmp_path / "two.onnx", data)

    def test_no_data(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no record files .* in folder"):
            evaluate_model(tmp_path / "net.onnx", tmp_path)

    @pytest.mark.parametrize(
        ("name", "error"), [("gone.onnx", ModelError), ("gone.keras", ExportError)]
    )
    def test_no_model(self, name: str, error: type[Exception], data: Path, tmp_path: Path) -> None:
        with pytest.raises(error, match=rf"cannot read .*{name}"):
            evaluate_model(tmp_path / name, data)


def test_test_part_is_the_one_that_training_leaves(data: Path) -> None:
    splits = open_splits(
        find_record_files(data),
        height=SIZE, width=SIZE, channels=1, classes=CLASSES, batch_size=BATCH, seed=0,
    )  # fmt: skip
    labels = [label for _, label in make_samples(85, 4)]
    assert splits.test.labels.tolist() == labels[TEST_PART]

"""Models that give scores for samples, whichever library runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import KERAS_SUFFIXES
from micam_fast.core.errors import TrainingError
from micam_fast.core.layers import ModelInput, show_shape
from micam_fast.core.prediction import to_probabilities
from micam_fast.engine.onnx_runtime import DEFAULT_PROVIDERS, available_threads
from micam_fast.engine.sessions import Sessions
from micam_fast.engine.workspaces import Workspace
from micam_fast.models.keras import open_keras
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.samples import cast_sample, fit_array, own_layout
from micam_fast.training.networks import import_keras


@dataclass(frozen=True, eq=False)
class Classifier:
    """An opened model that gives scores for batches of samples.

    Attributes
    ----------
    name
        For messages.
    shape
        ``(height, width, channels)`` of a sample, ``None`` for a size that the model leaves open.
    last_op
        ONNX's name of the operator that makes the scores, where it is known.
    scores
        Gives ``(n, classes)`` for samples ``(n, height, width, channels)``.
    """

    name: str
    shape: tuple[int | None, int | None, int]
    last_op: str
    scores: Callable[[NDArray[np.float32]], NDArray[Any]]

    def classify(
        self, batches: Iterable[tuple[NDArray[np.float32], NDArray[Any]]]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Classify labelled batches.

        Parameters
        ----------
        batches
            Samples ``(b, height, width, channels)`` and one-hot labels ``(b, classes)``.

        Returns
        -------
        probabilities
            ``(n, classes)``.
        labels
            ``(n,)``.
        """
        pairs = [(self.scores(samples), one_hot.argmax(axis=1)) for samples, one_hot in batches]
        scores = np.concatenate([scores for scores, _ in pairs])
        labels = np.concatenate([labels for _, labels in pairs])
        return to_probabilities(scores, self.last_op), labels


def open_classifier(path: Path) -> Classifier:
    """Open a model file: Keras' by its suffix (``.keras``, ``.h5``, ``.hdf5``), else ONNX.

    Raises
    ------
    ModelError, ExportError
        If it cannot be opened.
    TrainingError
        If the model has several inputs, takes no samples of height, width and channels, or gives
        no tensor.
    MissingExtraError
        If it is a Keras file, and Keras is not installed.
    """
    if path.suffix.lower() in KERAS_SUFFIXES:
        return keras_classifier(open_keras(path), path.name)
    return _open_onnx(path)


def keras_classifier(network: Any, name: str) -> Classifier:
    """A ``keras.Model`` as a classifier.

    Raises
    ------
    TrainingError
        If it has several inputs or none, or takes no samples of height, width and channels.
    """
    # Keras gives a model that was saved before its first sample no such attribute.
    if not getattr(network, "inputs", None):
        raise _no_classifier(
            name, "it has no input: it was saved when it was not built (call it on a sample first)"
        )
    if len(network.inputs) != 1:
        raise _no_classifier(name, f"it has {len(network.inputs)} inputs, expected is 1")
    shape = _checked_shape(name, tuple(network.inputs[0].shape[1:]))
    tree = import_keras().tree
    last_op = _last_op(network.outputs[0])

    def scores(samples: NDArray[np.float32]) -> NDArray[Any]:
        found = tree.flatten(network.predict_on_batch(samples))
        return _flat(name, found[0], len(samples))

    return Classifier(name, shape, last_op, scores)


def _last_op(tensor: Any) -> str:
    """ONNX's name of what makes a symbolic tensor of Keras, within nested models, too."""
    while True:
        operation, node, place = tensor._keras_history
        kind = type(operation).__name__
        activation = getattr(operation, "activation", None)
        # The function's name is Keras' own: "softmax", "sigmoid", "linear".
        name = getattr(activation, "__name__", type(activation).__name__).capitalize()
        if getattr(operation, "outputs", None):
            tensor = operation.outputs[place]
        elif kind in ("Dropout", "Identity") or (kind == "Activation" and name == "Linear"):
            # They leave values as they are, and ONNX leaves them out.
            tensor = operation._inbound_nodes[node].input_tensors[0]
        else:
            return kind if activation is None else name


def _open_onnx(path: Path) -> Classifier:
    file = open_model(path)
    graph = read_layers(file)
    name = path.name
    if len(graph.inputs) != 1:
        raise _no_classifier(name, f"it has {len(graph.inputs)} inputs, expected is 1")
    (spec,) = graph.inputs
    shape = spec.shape[1:]
    if len(shape) == 3 and own_layout(spec) == "nchw":
        shape = (*shape[1:], shape[0])
    checked = _checked_shape(name, shape)
    if not graph.outputs:
        raise _no_classifier(name, "it gives no tensor made from its input")
    # Of what no Softmax makes nobody knows whether it holds a score of each class.
    own = [each for each in graph.outputs if not each.inner]
    soft = [each for each in own if each.form in ("probabilities", "log probabilities")]
    chosen = (soft or own)[0]
    output = chosen.value
    sessions = Sessions(file, graph, [output], providers=DEFAULT_PROVIDERS)
    workspace = Workspace(available_threads())
    sessions.check(workspace.threads)

    def scores(samples: NDArray[np.float32]) -> NDArray[Any]:
        found = []
        for feed, count in _feeds(samples, spec):
            for activations in sessions.run({spec.name: feed}, len(feed), workspace):
                # Copied, as the memory of activations is used again.
                found.append(_flat(name, activations.arrays[output], len(feed))[:count].copy())
        return np.concatenate(found)

    return Classifier(name, checked, chosen.maker, scores)


def _feeds(samples: NDArray[np.float32], spec: ModelInput) -> Iterator[tuple[NDArray[Any], int]]:
    """Batches as the model takes them, with the number of samples in them that count.

    A model that fixes its batch gets that many; the last sample fills it up.
    """
    fixed = spec.shape[0]
    size = fixed or len(samples)
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        filler = np.repeat(part[-1:], size - len(part) if fixed else 0, axis=0)
        fitted, _ = fit_array(np.concatenate([part, filler]), spec, "nhwc")
        yield cast_sample(fitted, spec), len(part)


def _flat(name: str, output: NDArray[Any], count: int) -> NDArray[Any]:
    """An output as ``(n, classes)``; a model may give ``(n, classes, 1, 1)``."""
    if output.shape[:1] != (count,) or output.size != count * max(output.shape[1:], default=0):
        raise _no_classifier(name, f"its output for {count} samples has the shape {output.shape}")
    if output.size < 2 * count:
        raise _no_classifier(
            name, "it gives one value for a sample, expected is one for each class"
        )
    return output.reshape(count, -1)


def _checked_shape(name: str, shape: tuple[int | None, ...]) -> tuple[int | None, int | None, int]:
    if len(shape) != 3 or shape[2] is None:
        shown = show_shape(shape, unknown="any")
        raise _no_classifier(
            name, f"it takes samples of shape {shown}, expected are height, width and channels"
        )
    return shape[0], shape[1], shape[2]


def _no_classifier(name: str, reason: str) -> TrainingError:
    return TrainingError(f"cannot evaluate {name} on records: {reason}")

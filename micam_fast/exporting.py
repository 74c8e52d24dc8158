"""A Keras model to an ONNX file that was proved to give the same numbers in every layer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.errors import ExportError, ModelError, SampleError
from micam_fast.files import atomic_file, check_folder, make_folder
from micam_fast.keras_export import KerasExport, export_model, open_keras
from micam_fast.runtime import Extractor, available_threads, open_session
from micam_fast.samples import cast_sample, fit_array, own_layout

_TOLERANCE = 1e-3
# Layers that compute in float16 differ by its own rounding, a thousandth in each.
_HALF = onnx.TensorProto.FLOAT16
_HALF_TOLERANCE = 2e-2
# The tail of a sigmoid is computed with an error of about float32's 1e-7, however small it is.
_SMALLEST_SCALE = 1e-4
_OPEN_SIZE = 64
_LARGEST = 2**31 - 2**20


@dataclass(frozen=True)
class Difference:
    """How far ONNX Runtime is from Keras on one sample.

    Attributes
    ----------
    sample
        ``"random"`` or ``"given"``.
    layer
        The layer that differs most.
    relative
        Largest absolute difference of its activation by the largest absolute value, or by 1e-4
        where that is larger.
    """

    sample: str
    layer: str
    relative: float


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes
    ----------
    path
        The ONNX file.
    layers
        Number of layers in the diagram.
    size
        Of the file, bytes.
    differences
        One for each sample that it was checked with.
    seconds
        For conversion and checks; loading TensorFlow and the model is not in it.
    """

    path: Path
    layers: int
    size: int
    differences: tuple[Difference, ...]
    seconds: float


def export(
    model: Any,
    path: str | Path,
    *,
    sample: NDArray[Any] | Mapping[str, NDArray[Any]] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write a Keras model as ONNX, with each layer's activation as an output.

    The file runs in ONNX Runtime alone. Its metadata hold the layers' names, classes, shapes,
    activation functions, edges, nesting and weights, for the diagram. Before it is written, a
    random sample and the given one run through Keras and through ONNX Runtime, and every layer is
    compared.

    Parameters
    ----------
    model
        A live ``keras.Model``, or the path of a ``.keras``, ``.h5`` or ``.hdf5`` file.
    path
        The ONNX file.
    sample
        An array in the layout of the model's input, without the batch axis (or with one of 1); a
        mapping by input name for several inputs.
    custom_objects
        Classes and functions that a file names and Keras does not know.

    Returns
    -------
    ExportReport

    Raises
    ------
    ExportError
        If the model cannot be opened or converted, or a layer differs by more than 1e-3 of its
        largest value (2e-2 in a model that computes in float16).
    MissingExtraError
        If TensorFlow or tf2onnx is not installed.
    SampleError
        If the sample does not fit the model.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import keras, micam_fast  # doctest: +SKIP
    >>> model = keras.models.load_model("model.keras")  # doctest: +SKIP
    >>> micam_fast.export(model, "model.onnx").layers  # doctest: +SKIP
    42
    """
    path = Path(path)
    check_folder(path.parent)
    if isinstance(model, (str, Path)):
        model = open_keras(Path(model), custom_objects)
    start = time.perf_counter()
    exported = export_model(model)
    size = exported.proto.ByteSize()
    if size > _LARGEST:
        raise ExportError(f"the ONNX model would have {size / 2**30:.1f} GiB; a file ends at 2 GiB")
    differences = tuple(_check(exported, sample))
    make_folder(path.parent)
    with atomic_file(path) as file:
        file.write(exported.proto.SerializeToString())
    seconds = time.perf_counter() - start
    return ExportReport(path, len(exported.notes), size, differences, seconds)


def _check(
    exported: KerasExport, sample: NDArray[Any] | Mapping[str, NDArray[Any]] | None
) -> list[Difference]:
    """Compare every layer of both; the session is the one that plots would open."""
    try:
        session = open_session(
            exported.proto, name="export", folder=None, threads=available_threads()
        )
    except ModelError as error:
        raise ExportError(f"the converted model does not run: {error}") from error
    tolerance = _TOLERANCE
    if any(value.type.tensor_type.elem_type == _HALF for value in exported.proto.graph.output):
        tolerance = _HALF_TOLERANCE
    names = [note.tap.value for note in exported.notes if note.layer.inputs]
    fed = [spec.name for spec in exported.inputs]
    extractor = Extractor(session, fed, names)
    samples = [("random", _random_feeds(exported))]
    if sample is not None:
        samples.append(("given", _given_feeds(exported, sample)))
    found = []
    for kind, feeds in samples:
        by_keras = exported.run_keras(feeds)
        by_onnx = extractor.run(dict(zip(fed, feeds, strict=True))).arrays
        differences = [
            Difference(kind, note.layer.name, _relative(by_keras[note.layer.name], by_onnx[value]))
            for note in exported.notes
            if (value := note.tap.value) in by_onnx
        ]
        worst = max(differences, key=lambda each: each.relative)
        if not worst.relative <= tolerance:
            first = next(each for each in differences if not each.relative <= tolerance)
            raise ExportError(
                f"layer {first.layer!r} differs between Keras and ONNX Runtime by "
                f"{first.relative:.2g} of its largest value on the {kind} sample (at most "
                f"{tolerance:g}); nothing was written"
            )
        found.append(worst)
    return found


def _relative(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference by the largest value; infinite where shapes or finite values differ."""
    if expected.shape != found.shape:
        return np.inf
    wanted, given = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(given)):
        return np.inf
    scale = np.abs(wanted[finite]).max(initial=_SMALLEST_SCALE)
    return float(np.abs(wanted[finite] - given[finite]).max(initial=0.0) / scale)


def _random_feeds(exported: KerasExport) -> list[NDArray[Any]]:
    """Noise of mean 0 and deviation 1; zeros and ones for whole numbers, which may be indices."""
    rng = np.random.default_rng(0)
    feeds = []
    for spec in exported.inputs:
        dtype = np.dtype(spec.dtype)
        sizes = [1, *(_OPEN_SIZE if size is None else size for size in spec.shape[1:])]
        if dtype.kind == "f":
            feeds.append(rng.standard_normal(sizes).astype(dtype))
        else:
            feeds.append(rng.integers(0, 2, sizes).astype(dtype))
    return feeds


def _given_feeds(
    exported: KerasExport, sample: NDArray[Any] | Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    names = [spec.name for spec in exported.inputs]
    given = sample if isinstance(sample, Mapping) else {names[0]: sample}
    if set(given) != set(names):
        raise SampleError(
            f"a sample for the inputs {', '.join(given)} was given; the model's inputs are "
            f"{', '.join(names)}"
        )
    feeds = []
    for spec in exported.inputs:
        rows, _ = fit_array(np.asarray(given[spec.name]), spec, own_layout(spec))
        if len(rows) != 1:
            raise SampleError(f"a batch of {len(rows)} samples was given as one sample")
        feeds.append(cast_sample(rows[0], spec)[np.newaxis])
    return feeds

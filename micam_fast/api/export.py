"""A Keras or PyTorch model to an ONNX file that was proved to give the same in every layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.api.export_report import ExportReport, LayerError, part_of
from micam_fast.api.program_process import export_apart
from micam_fast.core.choices import KERAS_SUFFIXES, PROGRAM_SUFFIX
from micam_fast.core.errors import ExportError, ModelError, SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.core.output_files import atomic_file, check_file, make_folder
from micam_fast.engine.onnx_runtime import Extractor, available_threads, open_session
from micam_fast.models.keras import export_model, open_keras
from micam_fast.models.other_files import describe_other
from micam_fast.models.pytorch import (
    check_program_file,
    export_module,
    export_program,
    is_module,
    is_program,
    refuse_weights,
    unwrapped,
)
from micam_fast.samples import fit_sample

_TOLERANCE = 1e-3
# Layers that compute in float16 differ by its own rounding, a thousandth in each.
_HALF_TOLERANCE = 2e-2
# The tail of a sigmoid is computed with an error of about float32's 1e-7, however small it is.
_SMALLEST_SCALE = 1e-4
# Tried one after the other for sizes that the model leaves open.
_OPEN_SIZES = (64, 128, 256)
_LARGEST = 2**31 - 2**20
CheckSample = NDArray[Any] | tuple[NDArray[Any], ...] | Mapping[str, NDArray[Any]]
CheckSampleOf = Callable[[Sequence[ModelInput]], CheckSample | None]
"""Gives a sample for a model's inputs, or none."""
_Ran = tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]


class _Exported(Protocol):
    """A converted model, and the model that it must agree with."""

    @property
    def framework(self) -> str:
        """What the model runs in."""

    @property
    def proto(self) -> onnx.ModelProto:
        """The ONNX model."""

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """What a caller feeds."""

    @property
    def layers(self) -> int:
        """How many the diagram has."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of it."""

    @property
    def one_way(self) -> bool:
        """Whether it was recorded on a sample, and may go other ways on other numbers."""

    @property
    def compared(self) -> Mapping[str, Sequence[str]]:
        """By layer or module: values, of which the last one of the right shape is its own."""

    @property
    def sample(self) -> Sequence[NDArray[Any]] | None:
        """The batch that it was converted with, or brings along; if there is one."""

    def run(self, feeds: Sequence[NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Activations by the framework, in the layout of the ONNX values."""


def export(
    model: Any,
    path: str | Path,
    *,
    sample: CheckSample | CheckSampleOf | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> ExportReport:
    """Write a Keras or PyTorch model as ONNX.

    The file runs in ONNX Runtime alone. Its metadata hold what the diagram needs to know: of Keras
    the layers' names, classes, shapes, activation functions, edges, nesting and weights, with each
    layer's activation as an output; of PyTorch the modules' paths and classes. Before it is
    written, random values and the sample run through the framework and through ONNX Runtime, and
    every layer, or every module in which no other one is called, is compared.

    Parameters
    ----------
    model
        A live ``keras.Model``, or the path of a ``.keras``, ``.h5`` or ``.hdf5`` file; a live
        ``torch.nn.Module`` or ``ExportedProgram`` of ``torch.export``, or the path of a ``.pt2``
        file, which a process of its own loads.
    path
        The ONNX file.
    sample
        An array in the layout of the model's input, without the batch axis (or with one of 1); a
        mapping by input name, or a tuple, for several inputs; or a function that takes the model's
        inputs and gives that, or ``None``. A PyTorch module needs one, as a tensor or array,
        several in a tuple or by the names of its arguments. A program has its own example inputs,
        which count where no sample is given; that of a ``.pt2`` file asks no function.
    custom_objects
        Classes and functions that a Keras file names and Keras does not know.
    trust
        Whether code in a file may run: Python code of a Keras file's Lambda layers, or anything in
        a ``.pt2`` file, which is not opened without. Only for a file from whom you trust.

    Returns
    -------
    ExportReport

    Raises
    ------
    ExportError
        If the model cannot be opened or converted, or a layer or module differs by more than 1e-3
        of its largest value (2e-2 in a model that computes in float16).
    MissingExtraError
        If TensorFlow and tf2onnx, or PyTorch and onnxscript, are needed and not installed.
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
    path, model = Path(path), unwrapped(model)
    check_file(path)
    if isinstance(model, (str, Path)) and Path(model).suffix.lower() == PROGRAM_SUFFIX:
        check_program_file(Path(model), trust=trust)
        return export_apart(Path(model), path, None if callable(sample) else sample)
    start, exported = _convert(model, sample, custom_objects, trust)
    size = exported.proto.ByteSize()
    if size > _LARGEST:
        raise ExportError(f"the ONNX model would have {size / 2**30:.1f} GiB; a file ends at 2 GiB")
    content = exported.proto.SerializeToString()
    differences, remarks = _check(exported, None if is_module(model) else sample)
    make_folder(path.parent)
    with atomic_file(path) as file:
        file.write(content)
    return ExportReport(
        path,
        exported.layers,
        size,
        tuple(differences),
        time.perf_counter() - start,
        exported.framework,
        len(exported.compared),
        (*exported.remarks, *remarks),
    )


def _convert(
    model: Any,
    sample: CheckSample | CheckSampleOf | None,
    custom_objects: Mapping[str, Any] | None,
    trust: bool,
) -> tuple[float, _Exported]:
    """The converted model, and when its conversion began."""
    refuse_weights(model, ExportError)
    if isinstance(model, (str, Path)):
        _refuse_others(Path(model))
        model = open_keras(Path(model), custom_objects, trust=trust)
    start = time.perf_counter()
    if is_module(model):
        return start, export_module(model, sample)
    if is_program(model):
        return start, export_program(model)
    return start, export_model(model)


def _refuse_others(path: Path) -> None:
    """Say of a file that neither Keras nor PyTorch opens what it is, if that is known."""
    if path.is_file() and path.suffix.lower() not in KERAS_SUFFIXES:
        if said := describe_other(path):
            raise ExportError(said)
        raise ExportError(
            f"{path} is no model to export by its name (must end in one of "
            f"{', '.join((*KERAS_SUFFIXES, PROGRAM_SUFFIX))})"
        )


def _check(
    exported: _Exported, sample: CheckSample | CheckSampleOf | None
) -> tuple[list[LayerError], list[str]]:
    """Compare every layer of both, and tell what to know of it.

    The session is the one that plots would open.
    """
    names = list(dict.fromkeys(name for each in exported.compared.values() for name in each))
    given_out = {value.name for value in exported.proto.graph.output}
    exported.proto.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in given_out
    )
    try:
        session = open_session(
            exported.proto, name="export", folder=None, threads=available_threads()
        )
    except ModelError as error:
        raise ExportError(f"the converted model does not run: {error}") from error
    extractor = Extractor(session, [spec.name for spec in exported.inputs], names)
    given = _fit(exported, sample) or exported.sample
    # The extractor's memory is used again by each run, so one is compared before the next.
    noise = _run_noise(exported, extractor, given)
    found, remarks = [], []
    try:
        found.append(_compare(exported, "random", *noise))
    except ExportError as error:
        if given is None or not exported.one_way:
            raise
        remarks.append(
            "the file holds the way of the sample alone: on random values it gives other numbers "
            f"({str(error).partition(';')[0]})"
        )
    if given is not None:
        found.append(_compare(exported, "given", *_run(exported, extractor, given)))
    return found, remarks


def _fit(
    exported: _Exported, sample: CheckSample | CheckSampleOf | None
) -> list[NDArray[Any]] | None:
    """The given sample as a batch, by input."""
    if callable(sample):
        sample = sample(exported.inputs)
    if sample is None:
        return None
    if isinstance(sample, tuple) and len(sample) == len(exported.inputs):
        sample = {spec.name: each for spec, each in zip(exported.inputs, sample, strict=True)}
    fitted = fit_sample(sample, exported.inputs, remedy="give one of them")
    return [np.stack([fitted[spec.name]] * _batch(spec)) for spec in exported.inputs]


def _run(exported: _Exported, extractor: Extractor, feeds: Sequence[NDArray[Any]]) -> _Ran:
    """Activations by the framework, by layer, and by ONNX Runtime, by value."""
    wanted = exported.run(feeds)
    try:
        found = extractor.run(dict(zip(extractor.inputs, feeds, strict=True)))
    except SampleError as error:
        raise ExportError(f"the converted model does not run: {error}") from error
    return wanted, found.arrays


def _run_noise(
    exported: _Exported, extractor: Extractor, given: Sequence[NDArray[Any]] | None
) -> _Ran:
    """Run random values, of the given sample's sizes or of those that are tried."""
    if given is not None:
        return _run(exported, extractor, [_noise(feed.shape, feed.dtype) for feed in given])
    is_open = any(None in spec.shape[1:] for spec in exported.inputs)
    for size in _OPEN_SIZES:
        feeds = [
            _noise([_batch(spec), *(each or size for each in spec.shape[1:])], np.dtype(spec.dtype))
            for spec in exported.inputs
        ]
        try:
            return _run(exported, extractor, feeds)
        except ExportError:
            if not is_open:
                raise
    raise ExportError(
        f"the model cannot be run with any of {', '.join(map(str, _OPEN_SIZES))} for the sizes "
        "that it leaves open; give a sample to check the export with"
    )


def _compare(
    exported: _Exported,
    kind: str,
    wanted: Mapping[str, NDArray[Any]],
    by_onnx: Mapping[str, NDArray[Any]],
) -> LayerError:
    """The layer that differs most; the first that differs too much is named."""
    half = any(each.dtype == np.float16 for each in by_onnx.values())
    tolerance = _HALF_TOLERANCE if half else _TOLERANCE
    found = []
    for name, values in exported.compared.items():
        arrays = [by_onnx[value] for value in values if value in by_onnx]
        if name in wanted and arrays:
            alike = [each for each in arrays if each.shape == wanted[name].shape]
            found.append(LayerError(kind, name, _relative(wanted[name], (alike or arrays)[-1])))
    if not found:
        raise ExportError(
            f"no {part_of(exported.framework)} of the model can be compared with its ONNX; nothing "
            "was written"
        )
    for each in found:
        if not each.relative <= tolerance:
            raise ExportError(
                f"{part_of(exported.framework)} {each.layer!r} differs between "
                f"{exported.framework} and ONNX Runtime by {each.relative:.2g} of its largest "
                f"value on the {kind} sample (at most {tolerance:g}); nothing was written"
            )
    return max(found, key=lambda each: each.relative)


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


def _batch(spec: ModelInput) -> int:
    """How many samples to run: the model's own number, where it has one."""
    return spec.shape[0] or 1


def _noise(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of mean 0 and deviation 1; zeros and ones for whole numbers, which may be indices."""
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)

"""ONNX Runtime: all wanted activations of a batch, into memory that is allocated once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.errors import ModelError, SampleError
from micam_fast.core.layers import NUMERIC_TYPES
from micam_fast.models.onnx.runtime import quiet_options, words_of

if TYPE_CHECKING:
    import onnxruntime

# Bytes, and float32 values in them.
_ALIGNMENT, _ALIGNED_VALUES = 64, 16
DEFAULT_PROVIDERS = ("CPUExecutionProvider",)


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of one batch. Their memory is used again for the next one.

    Attributes
    ----------
    arena
        One-dimensional; holds every float32 activation.
    offsets
        Where in `arena` a float32 activation begins.
    arrays
        All activations by ONNX value name, the float32 ones as views of `arena`.
    """

    arena: NDArray[np.float32]
    offsets: Mapping[str, int]
    arrays: Mapping[str, NDArray[Any]]


def available_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(
    proto: onnx.ModelProto,
    *,
    name: str,
    folder: Path | None,
    weights: Sequence[onnx.TensorProto] = (),
    threads: int,
    providers: Sequence[Any] = DEFAULT_PROVIDERS,
    keep_memory: bool = True,
    literal: bool = False,
) -> onnxruntime.InferenceSession:
    """Open a model with ONNX Runtime.

    Parameters
    ----------
    proto, folder
        The model, and where its weights in external files are.
    weights
        Initializers whose data is handed over in memory; `proto` holds stubs of them.
    threads
        Size of ONNX Runtime's own pool.
    keep_memory
        Whether ONNX Runtime may hold on to memory between runs, which is faster.
    literal
        Whether it runs each operator as it stands, and concludes nothing beforehand.

    Raises
    ------
    ModelError
        If ONNX Runtime refuses the model; its words name the operator.
    """
    import onnxruntime

    known = onnxruntime.get_available_providers()
    for provider in providers:
        wanted = provider if isinstance(provider, str) else provider[0]
        if wanted not in known:
            raise ModelError(
                f"unknown execution provider: {wanted!r} (must be one of {', '.join(known)})"
            )
    options = quiet_options(threads)
    options.enable_cpu_mem_arena = keep_memory
    if literal:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    # Its threads must not spin on while the loops use the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if folder is not None:
        key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(key, str(folder))
    if weights:
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(numpy_helper.to_array(tensor))
            for tensor in weights
        ]
        options.add_external_initializers([tensor.name for tensor in weights], values)
    try:
        return onnxruntime.InferenceSession(
            proto.SerializeToString(),
            options,
            providers=list(providers),
            # Else a message that is no UTF-8 text makes it print, and try the same once more.
            enable_fallback=tuple(providers) != DEFAULT_PROVIDERS,
        )
    except Exception as error:
        raise ModelError(f"onnxruntime refuses model {name!r}: {words_of(error)}") from error


Signature = tuple[tuple[tuple[int, ...], str], ...]
"""Shapes and element types of what a model is fed."""

Outputs = Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
"""Shapes and element types of what it gives out."""


class Extractor:
    """Runs one session and keeps the memory of its outputs.

    Several extractors may run the same session at a time, each with memory of its own. They share
    `known`: what the session gives out for what it is fed.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Sequence[str],
        outputs: Sequence[str],
        known: dict[Signature, Outputs] | None = None,
    ) -> None:
        self._session = session
        self.inputs = tuple(inputs)
        drawable = {f"tensor({name})" for name in NUMERIC_TYPES}
        numeric = {output.name for output in session.get_outputs() if output.type in drawable}
        self._outputs = tuple(name for name in outputs if name in numeric)
        self._known = {} if known is None else known
        self._signature: Signature | None = None
        self._binding: Any = None
        self._activations: Activations | None = None
        self._fresh = False

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Activations:
        """Run a batch of contiguous arrays by input name.

        Raises
        ------
        SampleError
            If ONNX Runtime cannot run the batch.
        """
        if not self._outputs:
            # A slice that ends in sequences alone has nothing to hand over.
            return Activations(np.empty(0, np.float32), {}, {})
        feeds = {name: feeds[name] for name in self.inputs}
        signature = tuple((array.shape, array.dtype.str) for array in feeds.values())
        if signature != self._signature or self._activations is None:
            self.release()
            if signature not in self._known:
                return self._run_and_learn(feeds, signature)
            self._keep(_arrange(self._outputs, self._known[signature]), signature)
        if self._binding is None:
            return self._run_and_learn(feeds, signature)
        for name, array in feeds.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        try:
            self._session.run_with_iobinding(self._binding, self._options())
        except Exception:
            # A size that depends on the data has changed: measure it anew.
            return self._run_and_learn(feeds, signature)
        assert self._activations is not None
        return self._activations

    def release(self) -> None:
        """Let go of the memory of the outputs."""
        self._binding = self._activations = None

    def _run_and_learn(
        self, feeds: Mapping[str, NDArray[Any]], signature: Signature
    ) -> Activations:
        """Run without bound outputs, and bind memory of the sizes that came."""
        self.release()
        try:
            arrays = self._session.run(list(self._outputs), dict(feeds))
        except Exception as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items())
            raise SampleError(f"onnxruntime cannot run {shapes}: {words_of(error)}") from error
        outputs = [(array.shape, array.dtype) for array in arrays]
        activations = _arrange(self._outputs, outputs)
        for name, array in zip(self._outputs, arrays, strict=True):
            activations.arrays[name][...] = array
        self._known[signature] = outputs
        self._keep(activations, signature)
        self._fresh = True
        return activations

    def _keep(self, activations: Activations, signature: Signature) -> None:
        """Bind the outputs to memory that stays."""
        self._activations, self._signature = activations, signature
        if all(array.size for array in activations.arrays.values()):
            self._binding = self._session.io_binding()
            for name, array in activations.arrays.items():
                self._binding.bind_output(
                    name, "cpu", 0, array.dtype, array.shape, array.ctypes.data
                )

    def _options(self) -> Any:
        """After a run without bound outputs, ONNX Runtime gives back the memory that held them."""
        if not self._fresh:
            return None
        import onnxruntime

        self._fresh = False
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


def extract(
    extractors: Sequence[Extractor], feeds: Mapping[str, NDArray[Any]]
) -> Iterator[Activations]:
    """Run the slices of a model one after the other, and give out the activations of each.

    Several slices hold the memory of one at a time; only what later ones read is kept.
    """
    handed = dict(feeds)
    for position, extractor in enumerate(extractors):
        activations = extractor.run(handed)
        if len(extractors) == 1:
            yield activations
            return
        try:
            yield activations
        except GeneratorExit:
            extractor.release()
            raise
        later = {name for each in extractors[position + 1 :] for name in each.inputs}
        handed = {name: array for name, array in handed.items() if name in later}
        handed.update((n, _copy(a)) for n, a in activations.arrays.items() if n in later)
        extractor.release()
        del activations


def _copy(array: NDArray[Any]) -> NDArray[Any]:
    copied = aligned_array(array.shape, array.dtype)
    copied[...] = array
    return copied


def aligned_array(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Memory that begins where ONNX Runtime's own does.

    Some of its functions give other last bits before the first whole vector than in vectors, so
    where an array begins must not be left to chance.
    """
    wanted = np.dtype(dtype)
    size = math.prod(shape) * wanted.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    begin = -memory.__array_interface__["data"][0] % _ALIGNMENT
    array: NDArray[Any] = memory[begin : begin + size].view(wanted)
    return array.reshape(shape)


def _arrange(names: Sequence[str], outputs: Outputs) -> Activations:
    """Memory for outputs, the float32 ones in one arena."""
    offsets: dict[str, int] = {}
    size = 0
    for name, (shape, dtype) in zip(names, outputs, strict=True):
        if dtype == np.float32:
            offsets[name] = size
            size += math.ceil(math.prod(shape) / _ALIGNED_VALUES) * _ALIGNED_VALUES
    arena = aligned_array((size,), np.float32)
    arrays: dict[str, NDArray[Any]] = {
        name: arena[offsets[name] :][: math.prod(shape)].reshape(shape)
        if name in offsets
        else aligned_array(shape, dtype)
        for name, (shape, dtype) in zip(names, outputs, strict=True)
    }
    return Activations(arena, offsets, arrays)

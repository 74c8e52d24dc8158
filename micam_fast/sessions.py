"""Open sessions of a model whose activations keep within a memory bound."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.onnx_model.merging import merge_scalings
from micam_fast.onnx_model.slices import Slice, cut_model, move_weights, whole_model
from micam_fast.recent import Recent
from micam_fast.runtime import (
    Activations,
    Extractor,
    Outputs,
    Signature,
    extract,
    open_session,
)

# Protocol buffers end at 2 GiB; a model above is handed over with its weights apart.
LARGEST_MESSAGE = 2**31 - 2**20
LARGE_WEIGHT = 2**20
_KEPT_SIZES = 64
_KEPT_SETS = 3


class Lane:
    """Where one worker runs a model: memory for activations that is used again by the next batch.

    Parameters
    ----------
    threads
        Threads of ONNX Runtime's own pool in each run.
    memory
        Bytes that activations may take at a time.
    """

    def __init__(self, threads: int, memory: int) -> None:
        self.threads, self.memory = threads, memory
        self.extractors: Recent[int, list[Extractor]] = Recent(_KEPT_SETS)
        self._staging = np.empty(0, np.float32)
        # One batch at a time, whoever asks.
        self.lock = threading.RLock()

    def staging(self, size: int) -> NDArray[np.float32]:
        """Room for so many values, or more."""
        if len(self._staging) < size:
            self._staging = np.empty(size, np.float32)
        return self._staging


class Sessions:
    """Runs a model whole, or in slices where its activations would take more than a lane may hold.

    Parameters
    ----------
    file, graph
        The model.
    wanted
        ONNX values to be given out.
    providers
        Of ONNX Runtime.

    Attributes
    ----------
    weights_size
        Bytes of the model's file, which are those of its weights but for a few.
    """

    def __init__(
        self, file: OnnxFile, graph: ModelGraph, wanted: Sequence[str], *, providers: Sequence[Any]
    ) -> None:
        self._file, self._graph = file, graph
        fed = {spec.name for spec in graph.inputs}
        self._wanted = [name for name in dict.fromkeys(wanted) if name not in fed]
        self._providers = providers
        self.weights_size: int = file.proto.ByteSize()
        self._opened: Recent[tuple[int, int], list[_Opened]] = Recent(_KEPT_SETS)
        self._inferred: Recent[tuple[Any, ...], dict[str, int]] = Recent(_KEPT_SIZES)
        # What shape inference cannot tell is learned from runs of one sample.
        self._learned: dict[str, int] = {}
        self._proved: Recent[tuple[Any, ...], bool] = Recent(_KEPT_SIZES)
        # Lanes share the sessions, and what is known of sizes.
        self._lock = threading.Lock()

    def check(self, threads: int) -> None:
        """Open the whole model, which tells about one that ONNX Runtime refuses.

        Raises
        ------
        ModelError
            With ONNX Runtime's words.
        """
        with self._lock:
            self._open(1, threads, {})

    def sample_size(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Bytes of the wanted activations for inputs of these shapes, as far as they are known."""
        with self._lock:
            return sum(self._sizes(shapes, 1).values())

    def run(
        self, feeds: Mapping[str, NDArray[Any]], count: int, lane: Lane
    ) -> Iterator[Activations]:
        """Run a batch of `count` samples; the activations of each slice, one after the other."""
        for activations in extract(self._extractors(feeds, count, lane), feeds):
            if count == 1:
                with self._lock:
                    self._learned.update((n, a.nbytes) for n, a in activations.arrays.items())
            yield activations

    def prove(self, feeds: Mapping[str, NDArray[Any]], count: int, lane: Lane) -> None:
        """Make sure that inputs of these shapes run to the end, if they run in slices.

        The first of some shapes runs one more time for that.

        Raises
        ------
        SampleError
            If they do not.
        """
        if len(self._extractors(feeds, count, lane)) == 1:
            return
        key = tuple((name, array.shape) for name, array in feeds.items())
        with self._lock:
            proved = key in self._proved
        if not proved:
            for _ in self.run(feeds, count, lane):
                pass
            with self._lock:
                self._proved.get_or_make(key, lambda: True)

    def _extractors(
        self, feeds: Mapping[str, NDArray[Any]], count: int, lane: Lane
    ) -> list[Extractor]:
        with self._lock:
            sizes = self._sizes({name: array.shape for name, array in feeds.items()}, count)
            needed = max(1, math.ceil(sum(sizes.values()) / lane.memory))
            # Powers of two, so that samples of many sizes share a few sets of sessions.
            slices = 1 << (needed - 1).bit_length()
            opened = self._open(slices, lane.threads, sizes)
        return lane.extractors.get_or_make(
            slices, lambda: [Extractor(e.session, e.inputs, e.outputs, e.known) for e in opened]
        )

    def _sizes(self, shapes: Mapping[str, tuple[int, ...]], count: int) -> dict[str, int]:
        key = tuple(sorted(shapes.items()))
        known = self._inferred.get_or_make(key, lambda: self._graph.value_sizes(shapes))
        learned = {n: self._learned[n] * count for n in self._wanted if n in self._learned}
        return {n: known.get(n, learned.get(n, 0)) for n in self._wanted}

    def _open(self, slices: int, threads: int, sizes: Mapping[str, int]) -> list[_Opened]:
        def make() -> list[_Opened]:
            parts: tuple[Slice, ...]
            if slices == 1:
                parts = (whole_model(self._file, self._wanted),)
            else:
                budget = max(1, sum(sizes.values()) // slices)
                parts = cut_model(self._file, self._graph.graph, self._wanted, sizes, budget)
            for part in parts:
                merge_scalings(part.proto, self._graph.reading.scalings, self._graph.constants)
            return [
                _Opened(self._session(part.proto, threads, slices == 1), part.inputs, part.outputs)
                for part in parts
            ]

        return self._opened.get_or_make((slices, threads), make)

    def _session(self, proto: onnx.ModelProto, threads: int, whole: bool) -> Any:
        weights: list[onnx.TensorProto] = []
        if proto.ByteSize() > LARGEST_MESSAGE:
            weights = list(move_weights(proto, LARGE_WEIGHT))
        return open_session(
            proto,
            name=self._file.name,
            folder=self._file.folder,
            weights=weights,
            threads=threads,
            providers=self._providers,
            keep_memory=whole,
        )


@dataclass(frozen=True, eq=False)
class _Opened:
    """An open session of a slice, and what it gives out for what it is fed."""

    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    known: dict[Signature, Outputs] = field(default_factory=dict)

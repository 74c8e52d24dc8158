"""Open sessions of a model whose activations keep within a memory bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.onnx_model.slices import cut_model, move_weights
from micam_fast.recent import Recent
from micam_fast.runtime import Activations, Extractor, extract, open_session

# Protocol buffers end at 2 GiB; a model above is handed over with its weights apart.
LARGEST_MESSAGE = 2**31 - 2**20
LARGE_WEIGHT = 2**20
_KEPT_SIZES = 64
_KEPT_SETS = 3


class Sessions:
    """Runs a model whole, or in slices where its activations would take more than the bound.

    Parameters
    ----------
    file, graph
        The model.
    wanted
        ONNX values to be given out.
    memory
        Bytes that they may take at a time.
    threads, providers
        Of ONNX Runtime.
    """

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        wanted: Sequence[str],
        *,
        memory: int,
        threads: int,
        providers: Sequence[Any],
    ) -> None:
        self._file, self._graph = file, graph.graph
        self._wanted = [name for name in dict.fromkeys(wanted) if name in graph.graph.producer]
        self._memory = memory
        self._threads, self._providers = threads, providers
        self._opened: Recent[int, list[Extractor]] = Recent(_KEPT_SETS)
        self._inferred: Recent[tuple[Any, ...], dict[str, int]] = Recent(_KEPT_SIZES)
        # What shape inference cannot tell is learned from runs of one sample.
        self._learned: dict[str, int] = {}
        self._open(1, {})

    def sample_size(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Bytes of the wanted activations for inputs of these shapes, as far as they are known."""
        return sum(self._sizes(shapes, 1).values())

    def run(self, feeds: Mapping[str, NDArray[Any]], count: int) -> Iterator[Activations]:
        """Run a batch of `count` samples; the activations of each slice, one after the other."""
        sizes = self._sizes({name: array.shape for name, array in feeds.items()}, count)
        needed = max(1, math.ceil(sum(sizes.values()) / self._memory))
        # Powers of two, so that samples of many sizes share a few sets of sessions.
        slices = 1 << (needed - 1).bit_length()
        for activations in extract(self._open(slices, sizes), feeds):
            if count == 1:
                self._learned.update((n, array.nbytes) for n, array in activations.arrays.items())
            yield activations

    def _sizes(self, shapes: Mapping[str, tuple[int, ...]], count: int) -> dict[str, int]:
        key = tuple(sorted(shapes.items()))
        known = self._inferred.get_or_make(key, lambda: self._graph.value_sizes(shapes))
        learned = {n: self._learned[n] * count for n in self._wanted if n in self._learned}
        return {n: known.get(n, learned.get(n, 0)) for n in self._wanted}

    def _open(self, slices: int, sizes: Mapping[str, int]) -> list[Extractor]:
        def make() -> list[Extractor]:
            budget = 2**62 if slices == 1 else max(1, sum(sizes.values()) // slices)
            parts = cut_model(self._file, self._graph, self._wanted, sizes, budget)
            return [
                Extractor(self._session(part.proto, whole=slices == 1), part.inputs, part.outputs)
                for part in parts
            ]

        return self._opened.get_or_make(slices, make)

    def _session(self, proto: onnx.ModelProto, *, whole: bool) -> Any:
        weights: list[onnx.TensorProto] = []
        if proto.ByteSize() > LARGEST_MESSAGE:
            weights = list(move_weights(proto, LARGE_WEIGHT))
        return open_session(
            proto,
            name=self._file.name,
            folder=self._file.folder,
            weights=weights,
            threads=self._threads,
            providers=self._providers,
            keep_memory=whole,
        )

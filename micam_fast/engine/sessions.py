"""Open sessions of a model whose activations keep within a memory bound."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.core.lru import LruCache
from micam_fast.engine.onnx_runtime import (
    Activations,
    Extractor,
    Outputs,
    Signature,
    extract,
    open_session,
)
from micam_fast.engine.workspaces import KEPT_SETS, Workspace
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.merging import IS_BLOCKED, merge_scalings
from micam_fast.models.onnx.quantization import find_signed, is_quantized, write_unsigned
from micam_fast.models.onnx.slices import (
    Slice,
    cut_model,
    find_bounds,
    lists_weights,
    move_weights,
    whole_model,
)

# Protocol buffers end at 2 GiB; a model above is handed over with its weights apart.
LARGEST_MESSAGE = 2**31 - 2**20
LARGE_WEIGHT = 2**20
_KEPT_SIZES, _KEPT_SHARED = 64, 2
_WHOLE: tuple[int, ...] = ()


class Sessions:
    """Runs a model whole, or in slices where its activations would take more than they may.

    Where it is cut follows from the bound and from the shapes that it is fed alone, neither from
    threads nor from what ran before: a slice may give other last bits than the whole model.

    Parameters
    ----------
    wanted
        ONNX values to be given out.
    memory
        Bytes that the wanted activations of a run may take, where shape inference can tell them
        before; by default any number.

    Attributes
    ----------
    weights_size
        Bytes of the model's file, which are those of its weights but for a few.
    """

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        wanted: Sequence[str],
        *,
        providers: Sequence[Any],
        memory: int | None = None,
    ) -> None:
        self._file, self._graph = file, graph
        fed = {spec.name for spec in graph.inputs}
        self._wanted = [name for name in dict.fromkeys(wanted) if name not in fed]
        self._providers, self._memory = providers, memory
        self.weights_size: int = file.proto.ByteSize()
        self._opened: LruCache[tuple[tuple[int, ...], int], list[_Opened]] = LruCache(KEPT_SETS)
        self._bounds: LruCache[tuple[Any, ...], tuple[int, ...]] = LruCache(_KEPT_SIZES)
        self._inferred: LruCache[tuple[Any, ...], dict[str, int]] = LruCache(_KEPT_SIZES)
        # What shape inference cannot tell is learned from runs of one sample. It says how many may
        # run side by side, not where to cut: that must not depend on what ran before.
        self._learned: dict[str, int] = {}
        self._proved: LruCache[tuple[Any, ...], bool] = LruCache(_KEPT_SIZES)
        # Workspaces share the sessions, and what is known of sizes.
        self._lock = threading.Lock()

    def check(self, threads: int) -> None:
        """Open the whole model, which tells about one that ONNX Runtime refuses.

        Raises
        ------
        ModelError
            With ONNX Runtime's words.
        """
        with self._lock:
            self._open(_WHOLE, threads)

    def bounds(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Where the model is cut for inputs of these shapes; empty where it runs whole."""
        with self._lock:
            return self._find_bounds(shapes)

    def size(self, shapes: Mapping[str, tuple[int, ...]], count: int) -> int:
        """Bytes of the wanted activations for a batch of these shapes, as far as they are known."""
        with self._lock:
            known = self._infer(shapes)
            return sum(known.get(n, count * self._learned.get(n, 0)) for n in self._wanted)

    def run(
        self, feeds: Mapping[str, NDArray[Any]], count: int, workspace: Workspace
    ) -> Iterator[Activations]:
        """Run a batch of `count` samples; the activations of each slice, one after the other."""
        for activations in extract(self._extractors(feeds, count, workspace), feeds):
            if count == 1:
                with self._lock:
                    self._learned.update((n, a.nbytes) for n, a in activations.arrays.items())
            yield activations

    def prove(self, feeds: Mapping[str, NDArray[Any]], count: int, workspace: Workspace) -> None:
        """Make sure that inputs of these shapes run to the end, if they run in slices.

        The first of some shapes runs one more time for that.

        Raises
        ------
        SampleError
            If they do not.
        """
        if len(self._extractors(feeds, count, workspace)) == 1:
            return
        key = tuple((name, array.shape) for name, array in feeds.items())
        with self._lock:
            proved = key in self._proved
        if not proved:
            for _ in self.run(feeds, count, workspace):
                pass
            with self._lock:
                self._proved.get_or_make(key, lambda: True)

    def _extractors(
        self, feeds: Mapping[str, NDArray[Any]], count: int, workspace: Workspace
    ) -> list[Extractor]:
        with self._lock:
            bounds = self._find_bounds({name: array.shape for name, array in feeds.items()})
            opened = self._open(bounds, workspace.threads)
        return workspace.extractors.get_or_make(
            (self, bounds),
            lambda: [Extractor(e.session, e.inputs, e.outputs, e.known) for e in opened],
        )

    def _infer(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        key = tuple(sorted(shapes.items()))
        return self._inferred.get_or_make(key, lambda: self._graph.value_sizes(shapes))

    def _find_bounds(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Where to cut the model for inputs of these shapes; `_WHOLE` for nowhere."""
        if self._memory is None:
            return _WHOLE
        memory = self._memory

        def find() -> tuple[int, ...]:
            known = self._infer(shapes)
            sizes = {name: known.get(name, 0) for name in self._wanted}
            needed = max(1, math.ceil(sum(sizes.values()) / memory))
            if needed == 1:
                return _WHOLE
            # Powers of two, so that samples of many sizes share a few sets of sessions.
            slices = 1 << (needed - 1).bit_length()
            budget = max(1, sum(sizes.values()) // slices)
            bounds = find_bounds(self._graph.graph, self._wanted, sizes, budget)
            return bounds if len(bounds) > 2 else _WHOLE

        return self._bounds.get_or_make(tuple(sorted(shapes.items())), find)

    def _open(self, bounds: tuple[int, ...], threads: int) -> list[_Opened]:
        def make() -> list[_Opened]:
            if bounds != _WHOLE:
                parts = cut_model(self._file, self._graph.graph, self._wanted, bounds)
                return self._open_parts(parts, threads, keep_memory=False)
            try:
                whole = whole_model(self._file, self._wanted)
                return self._open_parts((whole,), threads, keep_memory=True)
            except ModelError:
                if not lists_weights(self._file.proto):
                    raise
                # What it concludes from fixed weights may be wrong: the size of a pool, say.
                whole = whole_model(self._file, self._wanted, fixed_weights=False)
                return self._open_parts((whole,), threads, keep_memory=True)

        return self._opened.get_or_make((bounds, threads), make)

    def _open_parts(
        self, parts: Sequence[Slice], threads: int, *, keep_memory: bool
    ) -> list[_Opened]:
        for part in parts:
            merge_scalings(part.proto, self._graph.reading.scalings, self._graph.constants)
            write_unsigned(part.proto, self._signed, self._graph.constants)
        sessions = [
            open_part(
                self._file,
                part.proto,
                threads=threads,
                providers=self._providers,
                keep_memory=keep_memory,
            )
            for part in parts
        ]
        return [
            _Opened(session, part.inputs, part.outputs)
            for session, part in zip(sessions, parts, strict=True)
        ]

    @functools.cached_property
    def _signed(self) -> frozenset[str]:
        """Codes to be written as unsigned ones."""
        if not (IS_BLOCKED and is_quantized(self._file.proto)):
            return frozenset()
        return find_signed(self._graph.graph)


class SharedSessions(LruCache[Hashable, Sessions]):
    """Sessions of a model, which all graphs of it share that ask them for the same.

    Each set holds the weights once more, so that only the newest are kept. Threads share them.
    """

    def __init__(self, file: OnnxFile, *, providers: Sequence[Any], memory: int) -> None:
        super().__init__(_KEPT_SHARED)
        self._file, self._providers, self._memory = file, providers, memory
        self._lock = threading.Lock()

    @staticmethod
    def key(graph: ModelGraph, wanted: Sequence[str]) -> Hashable:
        """What graphs have in common that share sessions."""
        return tuple(wanted), graph.reading.scalings, graph.reading.sliced

    def find(self, graph: ModelGraph, wanted: Sequence[str]) -> Sessions:
        """The sessions for a graph of which these values are wanted."""
        memory = self._memory if graph.reading.sliced else None

        def make() -> Sessions:
            return Sessions(self._file, graph, wanted, providers=self._providers, memory=memory)

        with self._lock:
            return self.get_or_make(self.key(graph, wanted), make)


def open_part(
    file: OnnxFile,
    proto: onnx.ModelProto,
    *,
    threads: int,
    providers: Sequence[Any],
    keep_memory: bool = True,
    literal: bool = False,
) -> Any:
    """A session of a model made of a file's nodes and weights; the model's are changed for it."""
    weights: list[onnx.TensorProto] = []
    if proto.ByteSize() > LARGEST_MESSAGE:
        weights = list(move_weights(proto, LARGE_WEIGHT))
    return open_session(
        proto,
        name=file.name,
        folder=file.folder,
        weights=weights,
        threads=threads,
        providers=providers,
        keep_memory=keep_memory,
        literal=literal,
    )


@dataclass(frozen=True, eq=False)
class _Opened:
    """An open session of a slice, and what it gives out for what it is fed."""

    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    known: dict[Signature, Outputs] = field(default_factory=dict)

"""A model's graph as it is for the samples at hand: read for their shapes, and checked once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from micam_fast.core.lru import LruCache
from micam_fast.core.plan_cache import PlanFiles
from micam_fast.core.prediction import PredictionChoice
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.observation import observe_shapes
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.cached_layers import Observe, find_layers
from micam_fast.models.onnx.facts import Facts
from micam_fast.samples import Arrays

_KEPT_GRAPHS = 64

Checked = Callable[[ModelGraph, Arrays], ModelGraph]
"""Gives a graph that was checked with a sample: itself, or one without rewritings."""

FindGraph = Callable[[Arrays], ModelGraph]
"""Gives the graph for samples of these shapes."""


class ShapedGraphs:
    """Graphs of one model, by the shapes of what it is fed; those used last are kept.

    Their layers have the names of the graph that was read when the model was opened. Threads share
    it.
    """

    def __init__(
        self,
        file: OnnxFile,
        opened: ModelGraph,
        files: PlanFiles,
        *,
        prediction: PredictionChoice,
        providers: Sequence[Any],
        checked: Checked,
    ) -> None:
        self._file, self._opened, self._files = file, opened, files
        self._prediction, self._providers, self._checked = prediction, providers, checked
        self._batching = Batching(opened)
        self._graphs: LruCache[tuple[Any, ...], ModelGraph] = LruCache(_KEPT_GRAPHS)
        self._lock = threading.RLock()
        self._newest: tuple[tuple[Any, ...], ModelGraph | None] = (), None

    def find(self, sample: Arrays) -> ModelGraph:
        """The graph for samples of a sample's shapes.

        Raises
        ------
        SampleError
            If ONNX Runtime cannot run the sample.
        """
        key = _key({name: array.shape for name, array in sample.items()})
        newest, graph = self._newest
        if newest == key and graph is not None:
            return graph
        with self._lock:
            graph = self._graphs.get_or_make(key, lambda: self._make(sample))
        # Both at once, for other threads.
        self._newest = key, graph
        return graph

    def known(self, shapes: Mapping[str, tuple[int, ...]]) -> ModelGraph:
        """The graph for samples of these shapes; what only a run can tell stays unknown."""
        with self._lock:
            known = self._graphs.get(_key(shapes))
        if known is not None:
            return known
        return self._read(self._batching.fed_shapes(shapes), None)

    def _make(self, sample: Arrays) -> ModelGraph:
        feeds = self._batching.stack([sample])
        graph = self._read(
            {name: array.shape for name, array in feeds.items()},
            lambda names: observe_shapes(self._file, names, feeds, self._providers),
        )
        return self._checked(graph, sample)

    def _read(
        self,
        fed: Mapping[str, tuple[int, ...]],
        observe: Observe | None,
    ) -> ModelGraph:
        reading = self._opened.reading
        if reading.facts is not None and reading.facts.fed == fed and not reading.open_values:
            return self._opened
        found = find_layers(
            self._file, self._files, facts=Facts(dict(fed)), like=reading, observe=observe
        )
        return found.with_choice(self._prediction)


def _key(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, ...]:
    return tuple(sorted(shapes.items()))

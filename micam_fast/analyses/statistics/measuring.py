"""A data set through a model: its statistics, in one forward pass for each sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from micam_fast._loops.moments import add_squares
from micam_fast.analyses.statistics.groups import ClassMoments, FedShapes
from micam_fast.analyses.statistics.moments import ChannelMoments, Covariance, Scratch
from micam_fast.analyses.statistics.results import NO_ROOM, Statistics
from micam_fast.analyses.statistics.top_samples import RankedSample, TopSamples, make_thumbnail
from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import ActivationStream, LayerActivation
from micam_fast.engine.loaded_model import LoadedModel, SampleLike
from micam_fast.engine.sample_result import SampleResult
from micam_fast.engine.streaming import Found
from micam_fast.models.onnx import ModelGraph
from micam_fast.models.onnx.costs import count_multiply_adds, count_parameters
from micam_fast.models.onnx.linear import find_linear
from micam_fast.models.onnx.rank_limits import find_classifier, find_rank_limits
from micam_fast.samples import Arrays

OnSample = Callable[[int, SampleError | None], None]
RunMaps = Callable[[Iterator[Arrays | SampleError]], Iterator[Found]]
Energies = dict[str, float]
"""By layer name: the mean square of its finite values for a sample."""


class Tag(NamedTuple):
    """What is known of a sample beside its arrays; ``None`` where it is not."""

    label: str | None
    name: str | None


@dataclass(frozen=True)
class Measuring:
    """What is measured; see `stats`. It can be sent to another process.

    Attributes
    ----------
    names
        The layers.
    dead_threshold, positions, diagrams, top_samples
        As `stats` takes them.
    """

    names: frozenset[str]
    dead_threshold: float
    positions: int | None
    diagrams: bool
    top_samples: int

    def begin(self, model: LoadedModel) -> Statistics:
        """Statistics of no sample yet."""
        parameters = count_parameters(model.graph)
        found = Statistics(model.name, model.layers, parameters, self.dead_threshold)
        if self.positions != 0:
            found.linear = find_linear(model.graph, self.names)
            found.rank_limits = find_rank_limits(model.graph)
        found.top_samples = self.top_samples
        return found

    def measure(
        self,
        model: LoadedModel,
        samples: Iterable[SampleLike | SampleError],
        tags: Iterator[Tag],
        *,
        activations: ActivationStream,
        explain: RunMaps,
        memory: int,
        first: int = 0,
        done: OnSample = lambda index, error: None,
    ) -> Statistics:
        """Measure samples, all or a part of them, the first of which has the index `first`.

        Tags do not end; covariances may take `memory` bytes. `activations` and `explain` run the
        model: for the layers' activations, and for maps.
        """
        run = _Measurement(model, tags, self.begin(model), first, self.top_samples)
        slots = [
            _ThreadMoments(
                self.positions,
                memory // activations.threads,
                run.statistics.linear,
                weighs=self.top_samples > 0,
            )
            for _ in range(activations.threads)
        ]

        def take(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> Energies:
            if isinstance(found, SampleError):
                raise found
            return slots[slot].add(run.tags[first + index].label, found)

        # Two threads that multiply matrices at a time need no further ones of BLAS.
        with threadpoolctl.threadpool_limits(1, "blas"):
            fitted = run.fit(samples)
            explained: Iterator[Found | None] = itertools.repeat(None)
            if self.diagrams:
                fitted, again = itertools.tee(fitted)
                explained = explain(again)
            for index, result in enumerate(activations.stream(fitted, take), first):
                run.finish(index, result, next(explained))
                done(index, result if isinstance(result, SampleError) else None)
            with ThreadPoolExecutor(len(slots)) as pool:
                list(pool.map(_ThreadMoments.settle, slots))
        return run.collect(slots)


class _Measurement:
    """The order of the samples: their tags, shapes and arrays, until each is done."""

    def __init__(
        self,
        model: LoadedModel,
        tags: Iterator[Tag],
        statistics: Statistics,
        first: int,
        top_samples: int,
    ) -> None:
        self._model, self._given, self._first = model, tags, first
        self._top_samples = top_samples
        self.tags: dict[int, Tag] = {}
        self._shapes: dict[int, FedShapes] = {}
        self._arrays: dict[int, Arrays] = {}
        self.statistics = statistics

    def fit(self, samples: Iterable[SampleLike | SampleError]) -> Iterator[Arrays | SampleError]:
        """Samples in the model's layout; their tags and shapes are noted."""
        for index, sample in enumerate(samples, self._first):
            self.tags[index] = next(self._given)
            fitted = self._model.fit(sample)
            if not isinstance(fitted, SampleError):
                self._shapes[index] = tuple((name, array.shape) for name, array in fitted.items())
                if self._top_samples:
                    self._arrays[index] = fitted
            yield fitted

    def finish(self, index: int, result: Energies | SampleError, explained: Found | None) -> None:
        """Take note of a sample that is done."""
        tag, shapes = self.tags.pop(index), self._shapes.pop(index, ())
        arrays = self._arrays.pop(index, {})
        if isinstance(result, SampleError):
            # The way that an error has come would hold the arrays of its sample.
            result.__traceback__ = result.__cause__ = result.__context__ = None
            self.statistics.failed.append((index, result))
            return
        self._rank(index, tag, arrays, result)
        group = self.statistics.groups.setdefault(tag.label or None, ClassMoments())
        group.fed[shapes] += 1
        if isinstance(explained, SampleResult):
            group.average.add(explained)

    def _rank(self, index: int, tag: Tag, arrays: Arrays, energies: Energies) -> None:
        """Keep the sample where it excites a layer more, or less, than those before."""
        thumbnail = None
        for layer, energy in energies.items():
            top = self.statistics.top.setdefault(layer, TopSamples(self._top_samples))
            if top.takes(index, energy):
                if thumbnail is None:
                    thumbnail = make_thumbnail(arrays, self._model.inputs)
                name = f"sample {index}" if tag.name is None else tag.name
                top.add([RankedSample(index, name, energy, thumbnail)])

    def collect(self, slots: list[_ThreadMoments]) -> Statistics:
        """What all slots have found."""
        found = self.statistics
        for slot in slots:
            for label, group in found.groups.items():
                for name, moments in slot.groups.get(label, {}).items():
                    if name in group.layers:
                        group.layers[name].merge(moments)
                    else:
                        group.layers[name] = moments
            found.unranked |= slot.unranked
        found.drop_unranked()
        for shapes in {each for group in found.groups.values() for each in group.fed}:
            graph = self._model.known_graph(dict(shapes))
            found.multiply_adds[shapes] = multiply_adds(graph)
            # Without the sizes of a run it may be unknown.
            found.classifier = found.classifier or find_classifier(graph)
        return found


def multiply_adds(graph: ModelGraph) -> dict[str, int | None]:
    """Multiply-adds of each layer for one sample of the shapes that a graph was read for."""
    facts = graph.reading.facts
    batches = [
        facts.fed[spec.name][spec.axes.batch]
        for spec in graph.inputs
        if facts is not None and spec.axes.batch is not None
    ]
    batch = max(batches, default=1)
    return {
        name: None if count is None else count // batch
        for name, count in count_multiply_adds(graph).items()
    }


class _ThreadMoments:
    """What one thread has found; it shares nothing with the others."""

    def __init__(
        self,
        positions: int | None,
        memory: int,
        linear: Mapping[str, tuple[str, NDArray[np.float64]]],
        *,
        weighs: bool,
    ) -> None:
        self._positions, self._memory, self._linear = positions, memory, linear
        self._weighs = weighs
        self._scratch = Scratch()
        self.groups: dict[str | None, dict[str, ChannelMoments]] = {}
        self.unranked: dict[str, str] = {}
        # Bytes of the covariances of each layer, over all classes.
        self._held: dict[str, int] = {}

    def add(self, label: str | None, found: Iterator[LayerActivation]) -> Energies:
        """Count in a sample; its energies, where they are wanted and known."""
        energies: Energies = {}
        layers = self.groups.setdefault(label or None, {})
        for each in found:
            values = each.values
            if each.layer not in layers:
                wanted = self._positions != 0 and not self._follows(each.layer, values, layers)
                kept = wanted and self._reserve(each.layer, len(values))
                layers[each.layer] = ChannelMoments(len(values), covariance=kept)
            layers[each.layer].add(values, self._scratch, self._positions)
            if self._weighs:
                squares = np.zeros(2)
                add_squares(values, squares)
                if squares[1]:
                    energies[each.layer] = float(squares[0] / squares[1])
        return energies

    def settle(self) -> None:
        """Merge what waits in the covariances."""
        for layers in self.groups.values():
            for moments in layers.values():
                if moments.covariance is not None:
                    moments.covariance.settle(self._scratch)

    def _follows(
        self, layer: str, values: NDArray[np.float32], layers: Mapping[str, ChannelMoments]
    ) -> bool:
        """Tell whether a layer's covariance is that of another one, worked upon."""
        if layer not in self._linear:
            return False
        source, factor = self._linear[layer]
        if source not in layers:
            return False
        read = len(layers[source].counts)
        made = len(factor) if factor.ndim == 2 else read
        return len(values) == made and factor.shape[-1] in (1, read)

    def _reserve(self, layer: str, channels: int) -> bool:
        """Tell whether a further covariance fits; larger ones make room for it."""
        if layer in self.unranked:
            return False
        size = Covariance.size(channels)
        while sum(self._held.values()) + size > self._memory:
            largest = max(self._held, key=lambda name: self._held[name], default=layer)
            if self._held.get(largest, 0) <= self._held.get(layer, 0) + size:
                largest = layer
            self.unranked[largest] = NO_ROOM
            self._held.pop(largest, None)
            for layers in self.groups.values():
                if largest in layers:
                    layers[largest].covariance = None
            if largest == layer:
                return False
        self._held[layer] = self._held.get(layer, 0) + size
        return True

"""A model again, with other weights or for the prediction alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from micam_fast.choices import Projection
from micam_fast.errors import SampleError
from micam_fast.feeding import Sample
from micam_fast.model import Model, SampleLike
from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.onnx_model.files import tensors
from micam_fast.onnx_model.randomizing import LayerWeights, find_weights, randomize_weights
from micam_fast.pipeline import Pipeline
from micam_fast.stages import Stages
from micam_fast.streaming import Found, stream

Result = TypeVar("Result")
Done = Callable[[str, int, int], None]
"""Is told what is going on, how many parts of it are done, and of how many."""


class Variants:
    """Opens a model anew, and runs it.

    The layers are those that are known of the model: random numbers in the weights leave the graph
    as it is. Nothing of a variant is kept on disk.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    workers
        How many variants may be open at a time.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._file, self._graph = model._file, model._graph
        # The changed file, its copy with other outputs, that one as bytes, and what ONNX Runtime
        # makes of these, half as much again while it does.
        held = 5 * 4 * sum(math.prod(each.dims) for each in tensors(self._file.proto.graph))
        self.workers = max(1, min(model.threads, model._memory // max(1, held)))

    def fit(self, sample: SampleLike | SampleError) -> Sample | SampleError:
        """A sample in the model's layout and element types."""
        return self._model._fit(sample)

    def find_weights(self) -> dict[str, LayerWeights]:
        """Weights of each layer, in the diagram's order."""
        return find_weights(self._file, self._graph)

    def explain_randomized(
        self,
        keys: Collection[str],
        seeds: Sequence[int],
        samples: Sequence[Sample],
        mapped: frozenset[str],
        projection: Projection,
    ) -> Iterator[Found]:
        """Explain samples by the model with random weights, in the calling thread.

        Parameters
        ----------
        keys, seeds
            See `randomize_weights`.
        samples
            As `fit` gives them.
        mapped, projection
            The maps.
        """
        file = randomize_weights(self._file, keys, seeds)
        graph = ModelGraph(file, self._graph.reading)
        pipeline = self._open(file, graph, mapped, projection, 1)
        return self._stream(pipeline, samples, lambda _, found: found)

    def predict(
        self, samples: Iterable[Sample], then: Callable[[int, Found], Result]
    ) -> Iterator[Result]:
        """Run many samples, in batches and on all threads, for the prediction alone.

        Parameters
        ----------
        samples
            As `fit` gives them.
        then
            Takes the index of a sample and an explanation with its prediction.
        """
        # The map of an input needs no activation.
        mapped = frozenset({self._graph.inputs[0].name})
        pipeline = self._open(self._file, self._graph, mapped, "published", self._model.threads)
        return self._stream(pipeline, samples, then)

    def _open(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        mapped: frozenset[str],
        projection: Projection,
        threads: int,
    ) -> Pipeline:
        model = self._model
        return Pipeline(
            file,
            graph,
            mapped,
            projection,
            threads=threads,
            providers=model._providers,
            memory=model._memory * threads // model.threads,
            pool=model._loops_pool,
            scene=model.scene,
        )

    def _stream(
        self,
        pipeline: Pipeline,
        samples: Iterable[Sample],
        then: Callable[[int, Found], Result],
    ) -> Iterator[Result]:
        return stream(pipeline, map(dict, samples), None, then, self._model._pool, Stages())

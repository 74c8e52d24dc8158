"""A model again, with other weights or for the prediction alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from micam_fast.core.choices import Projection
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.streaming import Found, StreamedSample, number_samples, take_found
from micam_fast.models.onnx.files import tensors
from micam_fast.models.onnx.randomizing import LayerWeights, find_weights, randomize_weights
from micam_fast.samples import Arrays

Result = TypeVar("Result")
OnProgress = Callable[[str, int, int], None]
"""Takes what is going on, how many parts of it are done, and of how many."""


class Variants:
    """Opens a model anew, and runs it.

    The layers are those that are known of the model: random numbers in the weights leave the graph
    as it is. Nothing of a variant is kept on disk.

    Attributes
    ----------
    workers
        How many variants may be open at a time.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        # The changed file, its copy with other outputs, that one as bytes, and what ONNX Runtime
        # makes of these, half as much again while it does.
        held = 5 * 4 * sum(math.prod(each.dims) for each in tensors(model.file.proto.graph))
        self.workers = max(1, min(model.threads, model.memory // max(1, held)))

    def find_weights(self) -> dict[str, LayerWeights]:
        """Weights of each layer, in the diagram's order."""
        return find_weights(self._model.file, self._model.graph)

    def explain_randomized(
        self,
        keys: Collection[str],
        seeds: Sequence[int],
        samples: Sequence[Arrays],
        mapped: frozenset[str],
        projection: Projection,
    ) -> Iterator[Found]:
        """Explain samples that `Model.fit` gave by the model with random weights, in this thread.

        For `keys` and `seeds` see `randomize_weights`.
        """
        file = randomize_weights(self._model.file, keys, seeds)
        pipeline = self._model.open_pipeline(projection, file=file, mapped=mapped, threads=1)
        return self._model.run(pipeline, number_samples(samples), take_found)

    def predict(
        self, samples: Iterable[Arrays], read: Callable[[Found], Result]
    ) -> Iterator[Result]:
        """Run many samples, in batches and on all threads, for the prediction alone.

        `read` takes a result with its prediction; several run at a time.
        """
        # The map of an input needs no activation.
        mapped = frozenset({self._model.inputs[0].name})
        pipeline = self._model.open_pipeline("published", mapped=mapped)

        def finish(sample: StreamedSample) -> Result:
            return read(take_found(sample))

        return self._model.run(pipeline, number_samples(samples), finish)

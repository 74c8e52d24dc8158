"""Samples through a model by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.engine.cluster.chunks import Pace, cut, weigh
from micam_fast.engine.cluster.connecting import use_client
from micam_fast.engine.cluster.dispatch import open_run
from micam_fast.engine.cluster.shipment import compare_first
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.streaming import Found, run_in_thread
from micam_fast.engine.untouched import Outcome
from micam_fast.samples import Arrays


@dataclass(frozen=True)
class _RunChunk:
    """What a worker does with a chunk of samples."""

    projection: Projection
    frame: int | None
    activation_range: bool
    batch_size: int | None

    def __call__(
        self, model: LoadedModel, chunk: list[Arrays | SampleError]
    ) -> tuple[list[Found], dict[str, Outcome]]:
        pipeline = model.pipeline(self.projection, self.frame, self.activation_range)
        found = [*run_in_thread(pipeline, chunk, self.batch_size)]
        return found, dict(model.outcomes)


def run_each(
    model: LoadedModel,
    fitted: Iterable[Arrays | SampleError],
    client: Any,
    batch_size: int | None,
    projection: Projection,
    frame: int | None,
    activation_range: bool,
) -> Generator[Found]:
    """Run samples that `LoadedModel.fit` has given on the workers of a ``dask.distributed`` client.

    The model is sent to them with each call, and what is in hand are a few chunks for each of
    their threads.

    Raises
    ------
    ClusterError
        If the client is closed, or its workers are lost or of other versions.
    """
    cluster = use_client(client)
    fitted = compare_first(model, fitted, lambda arrays: arrays)
    with open_run(
        cluster, model, _RunChunk(projection, frame, activation_range, batch_size)
    ) as run:
        pace = Pace()
        for done in run.each(cut(fitted, lambda: pace.count, weigh, patience=1.0)):
            if isinstance(done.result, SampleError):
                yield done.result
                continue
            pace.learn(len(done.chunk), done.seconds)
            found, outcomes = done.result
            model.learn(outcomes)
            yield from found

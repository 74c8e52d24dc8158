"""Explanations by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from micam_fast.api.explanation import Explanation
from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.timing import Stages
from micam_fast.diagrams.scene import Scene
from micam_fast.engine.cluster.chunks import Pace, cut, weigh
from micam_fast.engine.cluster.connecting import use_client
from micam_fast.engine.cluster.dispatch import open_run
from micam_fast.engine.loaded_model import Model, SampleLike
from micam_fast.engine.streaming import Feed, stream


@dataclass(frozen=True)
class _Explain:
    """What a worker does with a chunk of samples."""

    projection: Projection
    batch_size: int | None

    def __call__(self, model: Model, chunk: list[Feed | SampleError]) -> list[Any]:
        pipeline = model.pipeline(self.projection)
        found = stream(pipeline, chunk, self.batch_size, lambda _, each: each, None, Stages())
        return list(map(strip, found))


def strip(found: Explanation | SampleError) -> Explanation | SampleError:
    """Leave the scene where it is: who sent the model has one."""
    if isinstance(found, SampleError):
        return found
    return replace(found, scene=Scene(found.scene.model, ()))


def explain_each(
    model: Model,
    samples: Iterable[SampleLike],
    client: Any,
    batch_size: int | None,
    projection: Projection,
) -> Iterator[Explanation | SampleError]:
    """Do what `Model.explain_each` does, on the workers of a client.

    The model is sent to them with each call, and what is in hand are a few chunks for each of
    their threads.

    Raises
    ------
    ClusterError
        If the client is closed, or its workers are lost or of other versions.
    """
    cluster = use_client(client)
    with open_run(cluster, model, _Explain(projection, batch_size)) as run:
        pace = Pace()
        fitted = map(model.fit, samples)
        for done in run.each(cut(fitted, lambda: pace.count, weigh, patience=1.0)):
            if isinstance(done.result, SampleError):
                yield done.result
                continue
            pace.learn(len(done.chunk), done.seconds)
            for found in done.result:
                if isinstance(found, SampleError):
                    yield found
                else:
                    yield replace(found, scene=model.scene)

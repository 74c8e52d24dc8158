"""Files of many samples by the workers of a cluster: ``micam-fast plot --scheduler``."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from micam_fast.api.model import Model
from micam_fast.core.errors import OutputError, SampleError
from micam_fast.core.output_files import partial_path
from micam_fast.core.timing import StageTimes
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.cluster import Cluster, compare_first, open_run
from micam_fast.engine.cluster.chunks import Pace, cut, weigh
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.streaming import stream
from micam_fast.engine.untouched import Outcome
from micam_fast.runs.manifest import NAME
from micam_fast.runs.observing import RunSample
from micam_fast.runs.output_folder import remove_leftovers
from micam_fast.runs.plotting import Execute, fit_each, write_found
from micam_fast.runs.sample_files import PlotOptions, SampleFiles
from micam_fast.runs.stores import FolderStore, Store

Written = tuple[SampleFiles | SampleError, float]
"""What a worker sends back of a sample: its files or why there are none, and its seconds."""


class _Plot:
    """What a worker does with a chunk of samples, if it sees the file `mark` in the store.

    The scene brings the layouts that are known.
    """

    def __init__(self, options: PlotOptions, mark: str, scene: ModelDiagram) -> None:
        self._options, self._mark, self._scene = options, mark, scene
        self._checked = False

    def __call__(
        self, model: LoadedModel, chunk: list[RunSample]
    ) -> tuple[list[Written], dict[str, float], dict[str, Outcome]]:
        options, stages = self._options, StageTimes()
        if not self._checked and not options.store.sees(self._mark):
            raise OutputError(
                f"a worker does not see {options.folder} as this machine does: give a folder that "
                "all share, or a URL"
            )
        self._checked = True
        written = stream(
            model.pipeline(options.projection, options.frame, options.activation_range),
            fit_each(model, chunk),
            functools.partial(
                write_found,
                scene=self._scene,
                notes=model.graph.notes,
                options=options,
                stages=stages,
            ),
            batch_size=options.batch_size,
            pool=None,
            stages=stages,
        )
        done = [
            (sample.written, sample.seconds) for sample in written if sample.written is not None
        ]
        return done, stages.seconds, dict(model.outcomes)


def execute_on(cluster: Cluster, model: Model, options: PlotOptions, stages: StageTimes) -> Execute:
    """Do the work on a cluster, whose workers write the files.

    The folder must be one that all machines see, or a URL; `stages` is told how long things took,
    over all workers.
    """

    def execute(samples: Iterable[RunSample]) -> Iterator[RunSample]:
        sent = options
        if isinstance(options.store, FolderStore):
            sent = replace(options, folder=options.store.folder.absolute())
        else:
            samples = _forget_earlier(samples, options.store)
        samples = compare_first(model, samples, lambda sample: sample.arrays)
        with (
            _marked(options.store) as mark,
            open_run(cluster, model, _Plot(sent, mark, model.scene)) as run,
        ):
            pace = Pace()
            chunks = cut(samples, lambda: pace.count, lambda each: weigh(each.arrays), patience=1.0)
            for done in run.each(chunks):
                results: list[Written]
                if isinstance(done.result, SampleError):
                    results = [(done.result, done.seconds)]
                else:
                    results, seconds, outcomes = done.result
                    pace.learn(len(results), done.seconds)
                    stages.include(seconds)
                    model.learn(outcomes)
                for sample, (written, seconds) in zip(done.chunk, results, strict=True):
                    sample.arrays, sample.written, sample.seconds = {}, written, seconds
                    yield sample
        if isinstance(options.store, FolderStore):
            remove_leftovers(options.store.folder)

    return execute


def _forget_earlier(samples: Iterable[RunSample], store: Store) -> Iterator[RunSample]:
    """Drop the manifest of an earlier run with the first sample that can be read.

    Workers on other machines write to the URL and do not see the journal.
    """
    for sample in samples:
        if not isinstance(sample.arrays, SampleError):
            store.forget_earlier()
        yield sample


@contextmanager
def _marked(store: Store) -> Iterator[str]:
    """A hidden file in a store."""
    # A killed run's is tidied up by the next one.
    name = partial_path(Path(f"mark_{NAME}")).name
    store.mark(name)
    try:
        yield name
    finally:
        with suppress(OutputError):
            store.remove(name)

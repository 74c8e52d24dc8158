"""Files of many samples by the workers of a cluster: ``micam-fast plot --scheduler``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from micam_fast.core.errors import OutputError, SampleError
from micam_fast.core.output_files import partial_path
from micam_fast.core.timing import Stages
from micam_fast.engine.cluster import Cluster, open_run
from micam_fast.engine.cluster.chunks import Pace, cut, weigh
from micam_fast.engine.loaded_model import Model
from micam_fast.engine.streaming import Then, stream
from micam_fast.runs.manifest import NAME
from micam_fast.runs.output_folder import remove_leftovers
from micam_fast.runs.plotting import Execute, Given, Job, Outcome, do_jobs
from micam_fast.runs.sample_files import PlotOptions
from micam_fast.runs.stores import FolderStore, Store


class _Plot:
    """What a worker does with a chunk of jobs.

    Parameters
    ----------
    options
        What to write, and where.
    mark
        A file that is there if this worker sees the same place.
    """

    def __init__(self, options: PlotOptions, mark: str) -> None:
        self._options, self._mark = options, mark
        self._checked = False

    def __call__(self, model: Model, chunk: list[Job]) -> tuple[list[Outcome], dict[str, float]]:
        options, stages = self._options, Stages()
        if not self._checked and not options.store.sees(self._mark):
            raise OutputError(
                f"a worker does not see {options.folder} as this machine does: give a folder that "
                "all share, or a URL"
            )
        self._checked = True

        def run(feed: Iterator[Given], write: Then[Outcome]) -> Iterator[Outcome]:
            pipeline, fitted = model.pipeline(options.projection), map(model.fit, feed)
            return stream(pipeline, fitted, options.batch_size, write, None, stages)

        return list(do_jobs(chunk, run, options, stages)), stages.seconds


def execute_on(cluster: Cluster, model: Model, options: PlotOptions, stages: Stages) -> Execute:
    """Do the work on a cluster, whose workers write the files.

    Parameters
    ----------
    cluster
        Where.
    model
        The model.
    options
        What to write; the folder must be one that all machines see, or a URL.
    stages
        Is told how long things took, over all workers.
    """

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome]:
        sent = options
        if isinstance(options.store, FolderStore):
            sent = replace(options, folder=options.store.folder.absolute())
        with _marked(options.store) as mark, open_run(cluster, model, _Plot(sent, mark)) as run:
            pace = Pace()
            chunks = cut(iter(jobs), lambda: pace.count, lambda job: weigh(job.given), patience=1.0)
            for done in run.each(chunks):
                if isinstance(done.result, SampleError):
                    yield Outcome(done.result, done.seconds)
                    continue
                outcomes, seconds = done.result
                pace.learn(len(outcomes), done.seconds)
                stages.include(seconds)
                yield from outcomes
        if isinstance(options.store, FolderStore):
            remove_leftovers(options.store.folder)

    return execute


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

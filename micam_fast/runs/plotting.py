"""Many samples to files: what ``micam-fast plot`` and ``micam-fast demo`` do."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from micam_fast.api.explanation import Explanation
from micam_fast.api.model import Model
from micam_fast.core.errors import SampleError
from micam_fast.core.machine import release_memory
from micam_fast.core.timing import StageTimes
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.streaming import take_found
from micam_fast.runs.interrupts import Stop
from micam_fast.runs.journal import Journal
from micam_fast.runs.observing import RunObserver, RunSample
from micam_fast.runs.sample_files import PlotOptions, check_output, write_sample
from micam_fast.runs.summary import RunSummary
from micam_fast.samples import Sample

_RELEASED = 500
"""Samples after which free memory is given back."""

Execute = Callable[[Iterable[RunSample]], Iterator[RunSample]]
"""Explains and writes samples, and gives them back in their order; few are in hand at a time."""


def plot_samples(
    model: Model,
    samples: Iterable[Sample],
    options: PlotOptions,
    *,
    labels: Sequence[str] = (),
    summary: RunSummary | None = None,
    journal: Journal | None = None,
    stop: Stop | None = None,
    execute: Execute | None = None,
    observers: Sequence[RunObserver] = (),
) -> RunSummary:
    """Explain samples and write a set of files for each; a sample is one thread's from end to end.

    Parameters
    ----------
    model
        The model.
    samples
        In the order of their index; one with an error is reported and skipped.
    options
        Formats and look.
    labels
        Known label of sample i, as far as there are any; without labels each sample's own.
    summary
        To go on with; a new one by default.
    journal
        Keeps the manifest; samples that it proves done are left alone.
    stop
        Asked before each sample whether it shall be begun.
    execute
        Does the work; by default this process does, see `execute_here`.
    observers
        Hear of each sample that is done, after the journal and the summary.

    Raises
    ------
    OutputError
        If a file cannot be written, or a PNG would be too large for viewers and is the only
        format.
    """
    summary = RunSummary() if summary is None else summary
    stop = Stop() if stop is None else stop
    with summary.stages.stage("lay out"):
        check_output(model, options)
    execute = execute_here(model, options, summary.stages) if execute is None else execute
    hearing: list[RunObserver] = [*([] if journal is None else [journal]), summary, *observers]
    read = read_run(samples, labels, summary.stages)
    with options.store.opened():
        for sample in execute(_to_do(read, journal, summary, stop)):
            for observer in hearing:
                observer.finished(sample)
            if summary.samples % _RELEASED == 0:
                release_memory()
    if journal is not None:
        journal.finish(None if stop.reason is not None else summary.samples)
    return summary


def read_run(
    samples: Iterable[Sample], labels: Sequence[str], stages: StageTimes
) -> Iterator[RunSample]:
    """The samples of a run as they are read, each with its index, its label and that time."""
    reader = enumerate(samples)
    while True:
        start = time.perf_counter()
        with stages.stage("read samples"):
            index, sample = next(reader, (0, None))
        if sample is None:
            return
        label = sample.label
        if labels:
            label = (labels[index] if index < len(labels) else "") or None
        yield RunSample(
            index,
            sample.given,
            seconds=time.perf_counter() - start,
            name=sample.name,
            label=label,
            path=sample.path,
            row=sample.number,
            pixel_rules=sample.pixel_rules,
        )


def _to_do(
    samples: Iterator[RunSample], journal: Journal | None, summary: RunSummary, stop: Stop
) -> Iterator[RunSample]:
    """Those samples that have no files yet, until the run is to stop."""
    for sample in samples:
        if journal is not None and journal.is_done(sample):
            summary.skip(sample)
        else:
            yield sample
        if stop.reason is not None:
            return


def execute_here(model: Model, options: PlotOptions, stages: StageTimes) -> Execute:
    """Do the work in this process, on the model's threads."""

    def execute(samples: Iterable[RunSample]) -> Iterator[RunSample]:
        return model.run(
            model.pipeline(options.projection, options.frame, options.activation_range),
            fit_each(model, samples),
            functools.partial(
                write_found,
                scene=model.scene,
                notes=model.graph.notes,
                options=options,
                stages=stages,
            ),
            batch_size=options.batch_size,
            stages=stages,
        )

    return execute


def fit_each(model: LoadedModel, samples: Iterable[RunSample]) -> Iterator[RunSample]:
    """Samples with their arrays in the model's layout."""
    for sample in samples:
        sample.arrays = model.fit(sample.arrays)
        yield sample


def write_found(
    sample: RunSample,
    *,
    scene: ModelDiagram,
    notes: tuple[str, ...],
    options: PlotOptions,
    stages: StageTimes,
) -> RunSample:
    """Write the files of a sample that was run."""
    start = time.perf_counter()
    found = take_found(sample)
    # A sample that waits for those before it holds no maps.
    sample.found = None
    if isinstance(found, SampleError):
        sample.written = found
    else:
        explanation = Explanation.of(
            found, scene, sample.name, sample.label, notes, sample.pixel_rules
        )
        with options.store.writing(stages) as folder:
            sample.written = write_sample(explanation, sample.index, options, folder, stages)
    sample.seconds += time.perf_counter() - start
    return sample

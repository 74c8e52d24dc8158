"""Many samples to files: what ``micam-fast plot`` and ``micam-fast demo`` do."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from micam_fast.core.errors import MicamError, ResumeError, SampleError
from micam_fast.core.machine import release_memory
from micam_fast.core.output_files import is_there
from micam_fast.core.texts import count_of
from micam_fast.core.timing import Stages
from micam_fast.engine.streaming import Then, explained_in
from micam_fast.runs.interrupts import Stop
from micam_fast.runs.manifest import Line, Manifest, named_files
from micam_fast.runs.sample_files import PlotOptions, Written, check_output, write_sample
from micam_fast.runs.stores import Store
from micam_fast.samples import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from micam_fast.api.explanation import Explanation
    from micam_fast.engine.loaded_model import Model

Given = Mapping[str, "NDArray[Any]"] | SampleError
_RELEASED = 500
"""Samples after which free memory is given back."""
MOST_LISTED = 20
"""Failed samples that a summary holds; the manifest names all of them."""


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    written, resumed
        How many samples have their files: from this run, and from the one that it goes on with.
    files
        How many files, or folders of tiles, this run wrote.
    failed
        How many samples were skipped.
    failures
        Index, name and reason of the first of these.
    stages
        How long things took.
    """

    written: int = 0
    resumed: int = 0
    files: int = 0
    failed: int = 0
    failures: list[tuple[int, str, SampleError]] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)

    @property
    def samples(self) -> int:
        """How many there were."""
        return self.written + self.resumed + self.failed

    def take(self, index: int, name: str, found: Sequence[str] | SampleError) -> None:
        """Count a sample: names of its files, or why there are none."""
        if isinstance(found, SampleError):
            self.failed += 1
            if len(self.failures) < MOST_LISTED:
                self.failures.append((index, name, found))
        else:
            self.written += 1
            self.files += len(found)


@dataclass(frozen=True, eq=False)
class Job:
    """A sample to be written.

    Attributes
    ----------
    index
        Of the sample in its run.
    name, label
        As the header has them.
    given
        Arrays by input name, or why there are none.
    seconds
        That reading it took.
    """

    index: int
    name: str
    label: str | None
    given: Given
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a sample: its files, or why there are none, and the seconds that it took."""

    written: Written | SampleError
    seconds: float


Execute = Callable[[Iterable[Job]], Iterator[Outcome]]
"""Does jobs and tells what became of them, in their order; few are in hand at a time."""


def plot_samples(
    model: Model,
    samples: Iterable[Sample],
    options: PlotOptions,
    *,
    labels: Sequence[str] = (),
    summary: Summary | None = None,
    manifest: Manifest | None = None,
    stop: Stop | None = None,
    max_errors: int | None = None,
    execute: Execute | None = None,
    done: Callable[[int, str, Sequence[str] | SampleError], None] = lambda *_: None,
    record: Callable[[Line], None] = lambda line: None,
    say: Callable[[str], None] = lambda note: None,
) -> Summary:
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
    manifest
        Takes a line for each sample; those that it proves done are left alone.
    stop
        Asked before each sample whether it shall be begun.
    max_errors
        Begin no further sample when so many have failed.
    execute
        Does the work; by default this process does, see `execute_here`.
    done
        Is told index, name and names of the files (or the error) of each sample, in order.
    record
        Is told what the manifest would say of each sample.
    say
        Is told what a user should know of a sample that was written all the same.

    Raises
    ------
    OutputError
        If a file cannot be written, or a PNG would be too large for viewers.
    """
    summary = Summary() if summary is None else summary
    stop = Stop() if stop is None else stop
    stages, store = summary.stages, options.store
    with stages.stage("lay out"):
        check_output(model, options)
    execute = execute_here(model, options, stages) if execute is None else execute
    # What the manifest will say of those that are not done yet, and what it says now.
    begun: deque[tuple[Line, Line | None]] = deque()
    errors = 0

    def jobs() -> Iterator[Job]:
        for index, (sample, seconds) in enumerate(_timed(samples, stages)):
            label = sample.label
            if labels:
                label = (labels[index] if index < len(labels) else "") or None
            line = _describe(index, sample, label)
            old = None if manifest is None else manifest.find(index)
            if old is not None and _same(old, line) and store.has(old):
                summary.resumed += 1
            else:
                if old is not None and sample.error is None and old.get("name") != sample.name:
                    raise ResumeError(
                        f"cannot go on with the run in {store}: its sample {index} is "
                        f"{old.get('name')!r}, now it is {sample.name!r}; give the same samples in "
                        "the same order, choose another --output-dir, or leave out --resume to "
                        "start anew"
                    )
                begun.append((line, old))
                yield Job(index, sample.name, label, sample.given, seconds)
            if stop.reason is not None:
                return

    with store.opened():
        for outcome in execute(jobs()):
            (line, old), found = begun.popleft(), outcome.written
            index, name = line["sample"], line["name"]
            # Of a disk that is away for a while the files of an earlier run are not to blame.
            gone = old is not None and isinstance(found, SampleError) and _is_gone(line["input"])
            told = line | _tell(outcome)
            record(told)
            if manifest is not None and not gone:
                # In this order: what a killed run has not removed, the next one would not know.
                _remove_stale(index, old, found, store)
                manifest.add(told)
                store.publish(manifest.path)
            shown = found if isinstance(found, SampleError) else found.shown
            summary.take(index, name, shown)
            done(index, name, shown)
            if summary.samples % _RELEASED == 0:
                release_memory()
            if isinstance(found, SampleError):
                # Those that had failed before are known.
                errors += old is None or "error" not in old
                if errors == max_errors and stop.reason is None:
                    stop.reason = f"stopped, as {count_of(errors, 'sample')} failed"
            elif found.bad_layers:
                say(
                    f"sample {index} ({name}): {found.bad_layers} of {len(found.ranges)} layers "
                    "are not finite and drawn hatched"
                )
    if manifest is not None:
        manifest.finish()
        if stop.reason is None and (more := len(manifest) - summary.samples) > 0:
            say(f"{manifest.path} has {count_of(more, 'sample')} more, of an earlier run; all stay")
    return summary


def execute_here(model: Model, options: PlotOptions, stages: Stages) -> Execute:
    """Do the work in this process, on the model's threads."""

    def run(feed: Iterator[Given], write: Then[Outcome]) -> Iterator[Outcome]:
        return model.stream(
            feed,
            write,
            batch_size=options.batch_size,
            projection=options.projection,
            stages=stages,
        )

    return lambda jobs: do_jobs(jobs, run, options, stages)


def do_jobs(
    jobs: Iterable[Job],
    run: Callable[[Iterator[Given], Then[Outcome]], Iterator[Outcome]],
    options: PlotOptions,
    stages: Stages,
) -> Iterator[Outcome]:
    """Do jobs in this process.

    Parameters
    ----------
    jobs
        In their order.
    run
        Explains what it is given, and lets each be written.
    options
        What to write.
    stages
        Is told how long things take.
    """
    begun: dict[int, Job] = {}

    def feed() -> Iterator[Given]:
        for place, job in enumerate(jobs):
            # The arrays are let go of when they have been run.
            begun[place] = replace(job, given={})
            yield job.given

    def write(place: int, found: Explanation | SampleError) -> Outcome:
        job, start = begun.pop(place), time.perf_counter()
        written: Written | SampleError
        if isinstance(found, SampleError):
            written = found
        else:
            named = replace(found, sample=job.name, label=job.label)
            with options.store.writing(stages) as folder:
                written = write_sample(named, job.index, options, folder, stages)
        return Outcome(written, job.seconds + explained_in() + time.perf_counter() - start)

    return run(feed(), write)


def exit_code(summary: Summary, error: MicamError | None = None) -> int:
    """0 if all samples were written, 1 if some failed, 2 if none was written."""
    if not summary.written + summary.resumed:
        return 2
    return 1 if summary.failed or error is not None else 0


def content_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a sample: names, element types, shapes and values of its arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _timed(samples: Iterable[Sample], stages: Stages) -> Iterator[tuple[Sample, float]]:
    """The samples, each with the seconds that reading it took."""
    reader = iter(samples)
    while True:
        start = time.perf_counter()
        with stages.stage("read samples"):
            sample = next(reader, None)
        if sample is None:
            return
        yield sample, time.perf_counter() - start


def _describe(index: int, sample: Sample, label: str | None) -> Line:
    """What a manifest says of a sample before it is done."""
    return {
        "sample": index,
        "name": sample.name,
        "input": sample.path,
        "row": sample.number,
        "sha256": None if sample.error is not None else content_digest(sample.arrays),
        "label": label,
    }


def _is_gone(path: str) -> bool:
    return bool(path) and not is_there(Path(path).exists)


def _same(old: Line, line: Line) -> bool:
    """Whether a line is of the sample that would give these files."""
    return line["sha256"] is not None and all(
        old.get(name) == line[name] for name in ("sha256", "name", "label")
    )


def _tell(outcome: Outcome) -> Line:
    """What a manifest says of a sample when it is done."""
    found, seconds = outcome.written, round(outcome.seconds, 6)
    if isinstance(found, SampleError):
        return {"error": str(found), "seconds": seconds}
    said = found.prediction
    return {
        "prediction": said and {"class": said.index, "probability": said.probability},
        "files": dict(found.files),
        "global_range": _finite(found.global_range),
        "ranges": {name: _finite(each) for name, each in found.ranges.items()},
        "seconds": seconds,
    }


def _finite(found: tuple[float, float]) -> list[float] | None:
    """A range as JSON has it; ``None`` for a layer that takes no part."""
    return list(found) if all(map(math.isfinite, found)) else None


def _remove_stale(index: int, old: Line | None, found: Written | SampleError, store: Store) -> None:
    """Remove what an earlier run wrote for a sample that has changed since.

    Whatever the manifest says, it is no file but one that is named as a sample's.
    """
    kept = {} if isinstance(found, SampleError) else found.files
    stale = [name for name in named_files(old or {}) if name not in kept]
    for name in stale:
        if re.fullmatch(rf"[^/]*_sample-{index}[_.][^/]*(?:/[^/]+)?", name):
            store.remove(name)

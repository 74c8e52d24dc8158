"""What a run did, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from micam_fast.core.errors import MicamError, SampleError
from micam_fast.core.timing import StageTimes
from micam_fast.runs.observing import RunSample
from micam_fast.runs.sample_files import SampleFiles

MOST_LISTED = 20
"""Failed samples that a summary holds; the manifest names all of them."""


@dataclass
class RunSummary:
    """What a run did.

    Attributes
    ----------
    written, resumed
        How many samples have their files: from this run, and from the one that it goes on with.
    incomplete
        How many of these lack a format that cannot hold them.
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
    incomplete: int = 0
    files: int = 0
    failed: int = 0
    failures: list[tuple[int, str, SampleError]] = field(default_factory=list)
    stages: StageTimes = field(default_factory=StageTimes)

    @property
    def samples(self) -> int:
        """How many there were."""
        return self.written + self.resumed + self.failed

    def finished(self, sample: RunSample) -> None:
        """Count a sample of a run."""
        self.count(sample.index, sample.name, sample.shown)
        self.incomplete += isinstance(sample.written, SampleFiles) and bool(sample.written.refused)

    def skip(self, sample: RunSample) -> None:
        """Count a sample that an earlier run wrote; a format that it lacked is still missing."""
        self.resumed += 1
        self.incomplete += bool((sample.earlier or {}).get("refused"))

    def count(self, index: int, name: str, shown: Sequence[str] | SampleError) -> None:
        """Count a sample: names of its files, or why there are none."""
        if isinstance(shown, SampleError):
            self.failed += 1
            if len(self.failures) < MOST_LISTED:
                self.failures.append((index, name, shown))
        else:
            self.written += 1
            self.files += len(shown)


def exit_code(summary: RunSummary, error: MicamError | None = None) -> int:
    """0 if all samples were written in every format, 1 if some were not, 2 if none was written."""
    if not summary.written + summary.resumed:
        return 2
    return 1 if summary.failed or summary.incomplete or error is not None else 0

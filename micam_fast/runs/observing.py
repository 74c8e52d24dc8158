"""A sample of a run, and those who hear what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from micam_fast.core.errors import SampleError
from micam_fast.core.texts import count_of
from micam_fast.engine.streaming import StreamedSample
from micam_fast.runs.interrupts import Stop
from micam_fast.runs.manifest import Line
from micam_fast.runs.sample_files import SampleFiles
from micam_fast.samples import PixelRules


@dataclass(eq=False)
class RunSample(StreamedSample):
    """A sample from its reading to its files.

    Attributes
    ----------
    name, label
        As the header has them.
    path, row
        The file that it was read from, and its number there; see `samples.Sample`.
    sha256
        Of its arrays; ``None`` where nobody asked for it, or there are none.
    earlier
        What the manifest says of it from an earlier run.
    pixel_rules
        As `samples.Sample` has them.
    written
        Its files, or why there are none; ``None`` until it is done.
    """

    name: str = ""
    label: str | None = None
    path: str = ""
    row: int | None = None
    sha256: str | None = None
    earlier: Line | None = None
    pixel_rules: Mapping[str, PixelRules] | None = None
    written: SampleFiles | SampleError | None = None

    @property
    def shown(self) -> tuple[str, ...] | SampleError:
        """Names of its files, or of the folder of tiles, one for each format; or the error."""
        assert self.written is not None
        return self.written if isinstance(self.written, SampleError) else self.written.shown

    @property
    def note(self) -> str:
        """What a user should know of a sample that was written all the same; mostly empty."""
        written = self.written
        if not isinstance(written, SampleFiles):
            return ""
        said = [f"its {name} was not written: {why}" for name, why in written.refused.items()]
        if written.bad_layers:
            count = len(written.ranges)
            said.append(f"{written.bad_layers} of {count} layers are not finite and drawn hatched")
        return f"sample {self.index} ({self.name}): {'; '.join(said)}" if said else ""


class RunObserver(Protocol):
    """Hears of each sample of a run when it is done, in their order."""

    def finished(self, sample: RunSample) -> None:
        """Take note of a sample."""


class ErrorLimit:
    """Stops a run when `most` samples failed that had not failed before; ``None`` for no limit."""

    def __init__(self, stop: Stop, most: int | None) -> None:
        self._stop, self._most, self._errors = stop, most, 0

    def finished(self, sample: RunSample) -> None:
        """Count a sample that failed."""
        if isinstance(sample.written, SampleError):
            self._errors += sample.earlier is None or "error" not in sample.earlier
            if self._errors == self._most and self._stop.reason is None:
                self._stop.reason = f"stopped, as {count_of(self._errors, 'sample')} failed"

"""What a run tells its user: a bar on a terminal, plain lines in a pipe, a closing report."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from micam_fast.core.errors import SampleError
from micam_fast.core.texts import aligned, count_of, error_line, printable, shortened, skipped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from micam_fast.runs.observing import RunSample
    from micam_fast.runs.sample_files import PlotOptions
    from micam_fast.runs.summary import RunSummary

Say = Callable[[str], None]
_MOST_NAMED = 8
_LONGEST_REASON = 160
ONCE = ("load the model", "lay out")
"""Stages that do not depend on the samples."""
_consoles: list[Console] = []
"""The console of the bar that is shown, if there is one."""


def tell(line: str) -> None:
    """Write a line to standard error, above the bar where there is one."""
    if _consoles:
        _consoles[-1].print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line, err=True)


class SampleLines:
    """A line for each sample."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def finished(self, sample: RunSample) -> None:
        """Print what became of a sample, and what a user should know of it."""
        self.show(sample.index, sample.name, sample.shown)
        if sample.note:
            self._say(sample.note)

    def show(self, index: int, name: str, shown: Sequence[str] | SampleError) -> None:
        """Print names of files, or the error."""
        if isinstance(shown, SampleError):
            tell(error_line(skipped(index, name, shown)))
            return
        names = ", ".join(shown) if len(shown) <= _MOST_NAMED else count_of(len(shown), "file")
        click.echo(f"sample {index} ({printable(name)}): {names}")


class _Bar(SampleLines):
    """A bar that counts samples, and a line for each that failed."""

    def __init__(self, say: Say, bar: Progress) -> None:
        super().__init__(say)
        self._bar, self._task, self._count = bar, bar.add_task("plotting", total=None), 0

    def show(self, index: int, name: str, shown: Sequence[str] | SampleError) -> None:
        """Count a sample."""
        self._count += 1
        text = count_of(self._count, "sample")
        self._bar.update(self._task, advance=1, description=text, refresh=True)
        if isinstance(shown, SampleError):
            super().show(index, name, shown)


@contextmanager
def terminal_bar() -> Iterator[Progress | None]:
    """A bar on a terminal, above which `tell` writes; ``None`` in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        _consoles.append(bar.console)
        try:
            yield bar
        finally:
            _consoles.pop()


@contextmanager
def progress(say: Say) -> Iterator[SampleLines]:
    """A bar on a terminal, a line for each sample in a pipe; failures are lines on both.

    `say` prints what a user should know of a sample that was written all the same.
    """
    with terminal_bar() as bar:
        if bar is None:
            yield SampleLines(say)
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        bar.columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        yield _Bar(say, bar)


def report(summary: RunSummary, options: PlotOptions, manifest: str = "") -> None:
    """What was written, how long it took, and a table of what failed beside other samples.

    `manifest` is the file that names all that failed, if there is one.
    """
    rest = []
    if summary.resumed:
        were = "was" if summary.resumed == 1 else "were"
        rest.append(f"{count_of(summary.resumed, 'sample')} {were} there already")
    if summary.incomplete:
        lack = "lacks" if summary.incomplete == 1 else "lack"
        rest.append(f"{count_of(summary.incomplete, 'sample')} {lack} a format")
    if summary.failed:
        rest.append(f"{count_of(summary.failed, 'sample')} failed")
    if summary.written or summary.resumed:
        click.echo(
            f"wrote {count_of(summary.files, 'file')} ({', '.join(options.formats)}) for "
            f"{count_of(summary.written, 'sample')} to {printable(str(options.folder))} "
            f"in {summary.stages.passed():.2f} s{''.join(f'; {each}' for each in rest)}"
        )
    if summary.failed and summary.samples > 1:
        _report_failures(summary, manifest)


def _report_failures(summary: RunSummary, manifest: str) -> None:
    rows = [("sample", "name", "reason")]
    rows += [(str(index), name, _reason(name, error)) for index, name, error in summary.failures]
    click.echo(f"{summary.failed} of {count_of(summary.samples, 'sample')} failed:", err=True)
    for line in aligned(rows, texts=3):
        click.echo(f"  {line}", err=True)
    if more := summary.failed - len(summary.failures):
        see = f", see {printable(manifest)}" if manifest else ""
        click.echo(f"  and {more} more{see}", err=True)


def _reason(name: str, error: SampleError) -> str:
    """What is wrong, without the folders of the file that is named beside it."""
    file = re.escape(name.partition("[")[0])
    said = re.sub(rf"\S*/{file}", lambda found: found[0].rpartition("/")[2], str(error))
    return shortened(said, _LONGEST_REASON)


def report_profile(summary: RunSummary, threads: int) -> None:
    """Where the time went: what was done once, then what each sample took."""
    seconds = summary.stages.seconds
    samples = summary.written + summary.failed
    forward = seconds.get("forward pass", 0.0)
    click.echo(
        f"time by stage, over {count_of(threads, 'thread')}; "
        f"{summary.stages.passed():.2f} s passed in all"
    )
    click.echo(f"{'stage':<16}{'seconds':>10}{'ms a sample':>14}{'forward passes':>17}")
    for name, spent in seconds.items():
        line = f"{name:<16}{spent:>10.3f}"
        if name not in ONCE and samples:
            line += f"{1000 * spent / samples:>14.2f}"
            if forward:
                line += f"{spent / forward:>17.2f}"
        click.echo(line)

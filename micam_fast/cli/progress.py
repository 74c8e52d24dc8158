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

    from micam_fast.runs.plotting import Summary
    from micam_fast.runs.sample_files import PlotOptions

Done = Callable[[int, str, Sequence[str] | SampleError], None]
_MOST_NAMED = 8
_LONGEST_REASON = 160
ONCE = ("load the model", "lay out")
"""Stages that do not depend on the samples."""
_consoles: list[Console] = []
"""Of the bar that is shown, if there is one."""


def tell(line: str) -> None:
    """Write a line to standard error, above the bar where there is one."""
    if _consoles:
        _consoles[-1].print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line, err=True)


@contextmanager
def progress() -> Iterator[Done]:
    """A bar on a terminal, a line for each sample in a pipe; failures are lines on both."""
    if not sys.stderr.isatty():
        yield _print_done
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("plotting", total=None)
        count = 0

        def done(index: int, name: str, found: Sequence[str] | SampleError) -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=1, description=count_of(count, "sample"), refresh=True)
            if isinstance(found, SampleError):
                tell(error_line(skipped(index, name, found)))

        _consoles.append(bar.console)
        try:
            yield done
        finally:
            _consoles.pop()


def _print_done(index: int, name: str, found: Sequence[str] | SampleError) -> None:
    if isinstance(found, SampleError):
        click.echo(error_line(skipped(index, name, found)), err=True)
        return
    shown = ", ".join(found)
    if len(found) > _MOST_NAMED:
        shown = count_of(len(found), "file")
    click.echo(f"sample {index} ({printable(name)}): {shown}")


def report(summary: Summary, options: PlotOptions, manifest: str = "") -> None:
    """What was written, how long it took, and a table of what failed beside other samples.

    Parameters
    ----------
    summary, options
        Of the run.
    manifest
        The file that names all that failed, if there is one.
    """
    rest = []
    if summary.resumed:
        were = "was" if summary.resumed == 1 else "were"
        rest.append(f"{count_of(summary.resumed, 'sample')} {were} there already")
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


def _report_failures(summary: Summary, manifest: str) -> None:
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


def report_profile(summary: Summary, threads: int) -> None:
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

"""What a run tells its user: a bar on a terminal, plain lines in a pipe, a closing report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from micam_fast.errors import MicamError
from micam_fast.texts import count_of, error_line, printable, skipped

if TYPE_CHECKING:
    from micam_fast.batch import PlotOptions, Summary

Done = Callable[[int, str, Any], None]
_MOST_NAMED = 8
ONCE = ("load the model", "lay out")
"""Stages that do not depend on the samples."""


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

        def done(index: int, name: str, result: Any) -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=1, description=count_of(count, "sample"), refresh=True)
            if not isinstance(result, list):
                line = _failure_line(index, name, result)
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield done


def _print_done(index: int, name: str, result: Any) -> None:
    if isinstance(result, list):
        shown = ", ".join(path.name for path in result)
        if len(result) > _MOST_NAMED:
            shown = count_of(len(result), "file")
        click.echo(f"sample {index} ({printable(name)}): {shown}")
    else:
        click.echo(_failure_line(index, name, result), err=True)


def _failure_line(index: int, name: str, error: MicamError) -> str:
    return error_line(skipped(index, name, error))


def report(summary: Summary, options: PlotOptions) -> None:
    """What was written, and how long it took."""
    if not summary.written:
        return
    files = sum(len(paths) for paths in summary.written.values())
    failed = f"; {count_of(len(summary.failed), 'sample')} skipped" if summary.failed else ""
    click.echo(
        f"wrote {count_of(files, 'file')} ({', '.join(options.formats)}) for "
        f"{count_of(len(summary.written), 'sample')} to {options.folder} "
        f"in {summary.stages.passed():.2f} s{failed}"
    )


def report_profile(summary: Summary, threads: int) -> None:
    """Where the time went: what was done once, then what each sample took."""
    seconds = summary.stages.seconds
    samples = len(summary.written) + len(summary.failed)
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

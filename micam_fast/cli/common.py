"""What several commands share: notes, failures of one line, a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.progress import tell
from micam_fast.core.texts import error_line, one_line

if TYPE_CHECKING:
    from micam_fast.engine.cluster import Cluster


def opened_cluster(
    scheduler: str | None, threads: int | None, say: Callable[[str], None]
) -> AbstractContextManager[Cluster | None]:
    """The cluster that ``--scheduler`` names; ``None`` without that option."""
    if scheduler is None:
        return nullcontext()
    from micam_fast.engine.cluster import open_cluster

    return open_cluster(scheduler, threads=threads, say=say)


class Failure(click.ClickException):
    """Ends a command with one line and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(error_line(self.message), err=True)


def note(text: str) -> None:
    """Tell the user something on standard error."""
    tell(f"micam-fast: note: {one_line(text)}")


def note_compiling() -> None:
    """Say why a first run takes seconds longer."""
    note("compiling the loops; this happens once, and takes a few seconds")

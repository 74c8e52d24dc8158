"""What several commands share: the model argument, notes, and failures of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

MODEL = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))


class Failure(click.ClickException):
    """Ends a command with one line and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(f"micam-fast: error: {' '.join(self.message.split())}", err=True)


def note(text: str) -> None:
    """Tell the user something on standard error."""
    click.echo(f"micam-fast: note: {text}", err=True)

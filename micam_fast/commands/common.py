"""What several commands share: the model argument, notes, and failures of one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from micam_fast.choices import RANKDIRS
from micam_fast.options import parse_scale
from micam_fast.texts import error_line, printable

_Decorator = Callable[[Any], Any]
MODEL = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))


def output_dir_option(default: str) -> _Decorator:
    """The option ``--output-dir``."""
    return click.option(
        "--output-dir",
        type=click.Path(path_type=Path),
        default=default,
        show_default=True,
        help="Folder for the files.",
    )


def diagram_options(command: Any) -> Any:
    """The options ``--rankdir`` and ``--scale-tiles``."""
    rankdir = click.option(
        "--rankdir",
        type=click.Choice(RANKDIRS),
        default="TB",
        show_default=True,
        help="Top to bottom or left to right.",
    )
    scale = click.option(
        "--scale-tiles",
        callback=parse_scale,
        metavar="FACTOR",
        default="1",
        show_default=True,
        help="Size of the picture relative to the published tile of 635 x 205 pixels.",
    )
    return rankdir(scale(command))


class Failure(click.ClickException):
    """Ends a command with one line and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(error_line(self.message), err=True)


def note(text: str) -> None:
    """Tell the user something on standard error."""
    click.echo(f"micam-fast: note: {printable(text)}", err=True)


def note_compiling() -> None:
    """Say why a first run takes seconds longer."""
    note("compiling the loops; this happens once, and takes a few seconds")

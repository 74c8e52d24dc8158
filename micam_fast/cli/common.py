"""What several commands share: the model argument, notes, and failures of one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.progress import tell
from micam_fast.cli.values import parse_scale
from micam_fast.core.choices import RANKDIRS
from micam_fast.core.texts import error_line, one_line
from micam_fast.runs.stores import is_url

if TYPE_CHECKING:
    from micam_fast.engine.cluster import Cluster

_Decorator = Callable[[Any], Any]
MODEL = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))


def output_dir_option(default: str, *, urls: bool = False) -> _Decorator:
    """The option ``--output-dir``; a URL stays a text."""
    return click.option(
        "--output-dir",
        type=_read_place if urls else click.Path(path_type=Path),
        metavar="FOLDER|URL" if urls else None,
        default=default,
        show_default=True,
        help="Folder for the files, or a URL like s3://BUCKET/PREFIX."
        if urls
        else "Folder for the files.",
    )


def _read_place(text: str) -> Path | str:
    return text if is_url(text) else Path(text)


def _check_scheduler(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from micam_fast.engine.cluster.connecting import check_address

        check_address(value)
    return value


scheduler_option = click.option(
    "--scheduler",
    callback=_check_scheduler,
    metavar="ADDRESS",
    help="Run on a Dask cluster, like tcp://HOST:8786, or on 'local:N', N processes of this "
    "machine.",
)


def diagram_options(command: Any) -> Any:
    """The options ``--rankdir`` and ``--scale-tiles``."""
    rankdir = click.option(
        "--rankdir",
        type=click.Choice(RANKDIRS),
        default="TB",
        show_default=True,
        help="Draw from top to bottom, or from left to right.",
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


@contextmanager
def opened_cluster(
    given: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Cluster | None]:
    """The cluster that ``--scheduler`` names; ``None`` without that option."""
    if given["scheduler"] is None:
        yield None
        return
    from micam_fast.engine.cluster import open_cluster

    with open_cluster(given["scheduler"], threads=given["threads"], say=say) as cluster:
        yield cluster


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

"""``micam-fast guide``: the pages that a user reads, on the terminal."""

from __future__ import annotations

import sys
from importlib.resources import files

import click


@click.command(short_help="Print a page of the guide, or the list of its pages.")
@click.argument("page", metavar="[PAGE]", required=False)
def guide(page: str | None) -> None:
    """Print a page of the guide; without PAGE, the list of pages."""
    folder = files("micam_fast") / "guide"
    pages = sorted(each.name[:-3] for each in folder.iterdir() if each.name.endswith(".md"))
    if page is None:
        width = max(map(len, pages))
        for name in pages:
            with (folder / f"{name}.md").open(encoding="utf-8") as file:
                click.echo(f"{name:<{width}}  {file.readline().lstrip('# ').rstrip()}")
    elif page in pages:
        _show((folder / f"{page}.md").read_text(encoding="utf-8"))
    else:
        from difflib import get_close_matches

        close = get_close_matches(page, pages)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise click.UsageError(f"no page {page!r} (must be one of {', '.join(pages)}){meant}")


def _show(text: str) -> None:
    """Print Markdown, laid out on a terminal, as it is in a pipe."""
    if not _on_terminal():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def _on_terminal() -> bool:
    return sys.stdout.isatty()

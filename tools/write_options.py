"""Write the tables of options into the guide, from the command line's own help.

    .cache/test/bin/python tools/write_options.py

In a page, everything between ``<!-- options:plot -->`` and ``<!-- /options -->`` is the table of
``micam-fast plot``. Options that a command shares with ``plot`` stand together in its last row.
``tests/whole/test_guide.py`` fails where a table is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
# Run as a script, it finds its own folder alone.
sys.path.insert(0, str(ROOT))

from micam_fast.cli import main  # noqa: E402

GUIDE = ROOT / "micam_fast" / "guide"
_MARKED = re.compile(r"(<!-- options:([a-z ]+) -->\n).*?(<!-- /options -->)", re.DOTALL)
_EXTRAS = re.compile(r"  \[(.+?)\](?=  \[|$)")
"""What click adds to a help text: default, range, required."""


def commands(group: click.Group = main, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that has options of its own, by its words: ``plot``, ``tfrecord mnist``."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def fill(text: str) -> str:
    """The page with every table of options as the command line has it today."""
    tables = {name: "\n".join(render(name, command)) for name, command in commands()}
    return _MARKED.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", text)


def render(name: str, command: click.Command) -> Iterator[str]:
    """Lines of a command's table."""
    ours, plots = _records(command), _records(main.commands["plot"])
    shared = [] if name == "plot" else [option for option in ours if option in plots]
    yield "| option | meaning | default |"
    yield "| --- | --- | --- |"
    for option, text in ours:
        if (option, text) not in shared:
            yield _row(option, text)
    if shared:
        names = ", ".join(f"`{option.split()[0]}`" for option, _ in shared)
        yield f"| {names} | as in [plot](plot.md#options) |  |"


def _records(command: click.Command) -> list[tuple[str, str]]:
    context = click.Context(command)
    options = [each for each in command.params if isinstance(each, click.Option)]
    return [record for each in options if (record := each.get_help_record(context))]


def _row(option: str, text: str) -> str:
    extras = [part for extra in _EXTRAS.findall(text) for part in extra.split("; ")]
    meaning, default = _EXTRAS.sub("", text), ""
    for extra in extras:
        if extra.startswith("default: "):
            default = extra.removeprefix("default: ")
        elif extra == "required":
            default = extra
        else:
            meaning += f" `{extra.replace('x', option.split()[-1])}`"
    cells = (cell.replace("|", r"\|") for cell in (f"`{option}`", meaning, default))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for page in sorted(GUIDE.glob("*.md")):
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")

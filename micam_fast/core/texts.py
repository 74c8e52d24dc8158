"""Text for people's eyes: aligned tables, counts, names that no terminal acts upon."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator, Sequence

LONGEST_CELL, LONGEST_LINE = 120, 10_000
"""Characters of a table's cell that others follow, and of a line; a name may have any number."""
_MOST_MARKS = 4
"""Accents on one letter: more would cover the lines above and below."""
_LONGEST_REASON = 300


def aligned(rows: Sequence[Sequence[str]], *, texts: int, least: int = 0) -> Iterator[str]:
    """Lines of a table, two blanks between its columns; one without any text is left out.

    Cells are printable, and cut in the middle where they are very long. So many columns from the
    left are `texts` that begin together; the others are numbers, whose ends stand below each other,
    with at `least` so many characters.
    """
    shown = [
        [*(one_line(cell, LONGEST_CELL) for cell in row[:-1]), *map(one_line, row[-1:])]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = [
            cell.ljust(width) if place < texts else cell.rjust(max(width, least))
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ]
        yield "  ".join(cells).rstrip()


def printable(text: str) -> str:
    r"""The text in one line: a line break as ``\n``, an escape character as ``\x1b``.

    Names of layers and samples are whatever a file says. What cannot be seen (controls, invisible
    characters, blanks that are none, halves of a surrogate pair), what turns the direction of a
    line round, and accents upon accents are shown by their codes.
    """
    if text.isascii() and text.isprintable():
        return text
    shown, marks = [], 0
    for each in text:
        marks = marks + 1 if unicodedata.category(each) in ("Mn", "Me") else 0
        plain = each.isprintable() and marks <= _MOST_MARKS
        shown.append(each if plain else each.encode("unicode_escape").decode())
    return "".join(shown)


def shortened(text: str, most: int, ellipsis: str = "...") -> str:
    """The text if it has at most so many characters, else with its middle left out."""
    if len(text) <= most:
        return text
    kept = max(0, most - len(ellipsis))
    tail = kept // 2
    return f"{text[: kept - tail]}{ellipsis}{text[len(text) - tail :]}"


def one_line(text: str, most: int = LONGEST_LINE) -> str:
    """Any text as something to show: `printable`, and at most so many characters long."""
    return shortened(printable(shortened(text, most)), most)


def first_line_of(error: Exception) -> str:
    """The first line of what an error says; its kind, where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def describe_error(error: BaseException) -> str:
    """Kind and first line of an error, at most so long: TensorFlow's and PyTorch's go on."""
    line = str(error).strip().partition("\n")[0]
    shown = "".join(each for each in line if each.isprintable())
    return f"{type(error).__name__}: {shown[:_LONGEST_REASON]}"


def error_line(message: str) -> str:
    """How a command says what went wrong: one line, whatever the message holds."""
    return f"micam-fast: error: {one_line(' '.join(message.split()))}"


def skipped(index: int, name: str, error: object) -> str:
    """What is said of a sample that is left out."""
    return f"sample {index} ({name}) skipped: {error}"


def count_of(number: int, thing: str) -> str:
    """A number of things, in words that agree with it."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def first_of(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are."""
    shown, more = ", ".join(names[:most]), len(names) - most
    return shown if more <= 0 else f"{shown} and {more} more"


def free_name(name: str, taken: Container[str]) -> str:
    """A name that is not taken: the one that is wanted, or with a number."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}#{count}"
    return free

"""Text for people's eyes: aligned tables, counts, names that no terminal acts upon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], *, texts: int, least: int = 0) -> Iterator[str]:
    """Lines of a table, two blanks between its columns; one without any text is left out.

    Parameters
    ----------
    rows
        Cells of each row, as many in each.
    texts
        How many columns, from the left, are texts that begin together; of the others, which are
        numbers, the ends stand below each other.
    least
        Characters that a column of numbers has at least.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
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

    Names of layers and samples are whatever a file says.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def error_line(message: str) -> str:
    """How a command says what went wrong: one line, whatever the message holds."""
    return f"micam-fast: error: {printable(' '.join(message.split()))}"


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

"""Output formats: one row for each, which every command, the run folder and the manifest read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from micam_fast.core.errors import OutputError

Content = Literal["diagram", "difference", "grid", "table"]
"""What is written: a sample's diagram, two samples' difference, feature maps, statistics."""


@dataclass(frozen=True)
class Format:
    """An output format. `api.formats` has a file of the same name for those of diagrams.

    Attributes
    ----------
    name
        As options have it.
    ending
        Of the name of a file, or of a folder.
    contents
        What can be written in it.
    needs_layout
        Whether its bytes depend on where Graphviz puts the nodes.
    shows_posters
        Whether it shows a poster as well as a diagram, which is then not laid out by Graphviz.
    libraries
        Those that decide over its bytes, beside those that decide over the numbers.
    optional
        Whether the libraries are those of an extra.
    """

    name: str
    ending: str
    contents: tuple[Content, ...]
    needs_layout: bool = False
    libraries: tuple[str, ...] = ()
    optional: bool = False
    shows_posters: bool = False


FORMATS = (
    Format(
        "png",
        ".png",
        ("diagram", "difference", "grid"),
        True,
        ("isal", "pillow"),
        shows_posters=True,
    ),
    Format(
        "svg",
        ".svg",
        ("diagram", "difference", "grid"),
        True,
        ("isal", "pillow"),
        shows_posters=True,
    ),
    Format("npz", ".npz", ("diagram",)),
    Format(
        "pdf",
        ".pdf",
        ("diagram", "difference"),
        True,
        ("reportlab", "pillow"),
        shows_posters=True,
    ),
    Format("dot", ".dot", ("diagram",), False, ("isal", "pillow")),
    Format("html", ".html", ("diagram", "difference", "table"), True, ("bokeh",), optional=True),
    Format("tiles", "_tiles", ("diagram",), False, ("isal", "pillow")),
    Format("csv", ".csv", ("difference", "table")),
    Format("json", ".json", ("table",)),
    Format("parquet", ".parquet", ("table",), False, ("pyarrow",), optional=True),
)


def format_names(content: Content) -> tuple[str, ...]:
    """Names of the formats that something can be written in."""
    return tuple(each.name for each in FORMATS if content in each.contents)


def suffixes(content: Content) -> tuple[str, ...]:
    """Suffixes of the files that something can be written to."""
    return tuple(
        each.ending for each in FORMATS if content in each.contents and each.ending[0] == "."
    )


def named_format(name: str) -> Format:
    """The row of a format."""
    return next(each for each in FORMATS if each.name == name)


def format_of(path: Path, content: Content) -> str:
    """The format that a path's suffix names.

    Raises
    ------
    OutputError
        If there is none for this content; the message says which there are.
    """
    known = suffixes(content)
    if path.suffix.lower() not in known:
        raise OutputError(
            f"unknown format: {path.name!r} (the suffix must be one of {', '.join(known)})"
        )
    return path.suffix.lower().removeprefix(".")


def need_layout(names: Collection[str], *, poster: bool = False) -> bool:
    """Tell whether one of these formats needs Graphviz to lay the diagram, or poster, out."""
    return any(
        each.needs_layout and not (poster and each.shows_posters)
        for each in FORMATS
        if each.name in names
    )

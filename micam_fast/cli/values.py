"""Values of command-line options: lists, numbers, sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import click

from micam_fast.core.choices import parse_page
from micam_fast.core.formats import Content, format_names

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def formats_option(content: Content, text: str, default: str = "png") -> Callable[[Any], Any]:
    """The option ``--format`` of a command that writes files."""
    known = format_names(content)

    def parse(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        """Comma-separated formats, each once."""
        words = tuple(dict.fromkeys(word.strip().lower() for word in value.split(",")))
        for word in words:
            if word not in known:
                raise click.BadParameter(
                    f"unknown format: {word!r} (must be one or more of {', '.join(known)})"
                )
        return words

    return click.option(
        "--format",
        "formats",
        callback=parse,
        metavar=",".join(known),
        default=default,
        show_default=True,
        help=text,
    )


def parse_numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """Comma-separated numbers, one for all channels or one for each."""
    try:
        numbers = tuple(float(word) for word in value.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise click.BadParameter(f"{value!r} is no list of numbers like 0.485,0.456")
    return numbers


def parse_number(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A single number."""
    numbers = parse_numbers(ctx, param, value)
    if len(numbers) != 1:
        raise click.BadParameter(f"{value!r} is no single number")
    return numbers[0]


def parse_scale(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A size relative to the published one, or to the page's."""
    if value is None:
        return None
    scale = parse_number(ctx, param, value)
    if not 0.05 <= scale <= 4:
        raise click.BadParameter(f"{value} is not in the range from 0.05 to 4")
    return scale


def read_page(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """A page's size by its name, or as WxH."""
    try:
        return parse_page(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_memory(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of bytes with an optional unit."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
    size = 0 if found is None else int(float(found[1]) * _UNITS[found[2].upper()])
    if size < 1:
        raise click.BadParameter(f"{value!r} is no amount of memory like 500M or 4G")
    return size

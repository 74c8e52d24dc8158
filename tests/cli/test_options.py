"""Values of options become records of their command."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click
import pytest

from micam_fast.cli import main
from micam_fast.cli.options import (
    AxisOptions,
    DrawingOptions,
    ModelOptions,
    PosterOptions,
    check_drawing,
    read_options,
)
from micam_fast.core.choices import DrawingChoice

WITH_RECORDS = ["plot", "view", "diff", "features", "grids", "stats", "check"]


@dataclass(frozen=True)
class Few:
    """A command's options."""

    output: str
    model: ModelOptions
    axes: AxisOptions


def test_groups_take_their_own() -> None:
    found = read_options(Few, {"threads": 2, "output": "a", "permute_rows": "seed:1"})
    assert found == Few("a", ModelOptions(threads=2), AxisOptions(permute_rows="seed:1"))


def test_an_option_without_a_field() -> None:
    with pytest.raises(TypeError, match="Few has no field for colour"):
        read_options(Few, {"output": "a", "colour": "red"})


def test_a_field_without_an_option() -> None:
    with pytest.raises(TypeError, match="output"):
        read_options(Few, {"threads": 2})


@pytest.mark.parametrize("name", WITH_RECORDS)
def test_each_option_of_a_command_has_a_field(name: str) -> None:
    module = importlib.import_module(f"micam_fast.cli.commands.{name}")
    command = main.commands[name]
    given = {param.name: None for param in command.params if isinstance(param, click.Option)}
    read_options(module._Options, {str(name): value for name, value in given.items()})


@pytest.mark.parametrize(
    ("rankdir", "scale_tiles", "named"),
    [
        ("LR", None, "--rankdir can"),
        (None, 1.0, "--scale-tiles can"),
        ("TB", 2.0, "--rankdir and --scale-tiles can"),
    ],
)
def test_a_poster_has_no_options_of_a_diagram(
    rankdir: str | None, scale_tiles: float | None, named: str
) -> None:
    given = DrawingOptions(rankdir, scale_tiles)
    choices: tuple[DrawingChoice, ...] = ("auto", "diagram")
    for drawing in choices:
        check_drawing(given, PosterOptions(drawing, (1440, 900), 1.5))
    check_drawing(DrawingOptions(None, None), PosterOptions("poster", (1440, 900), 1.5))
    with pytest.raises(click.UsageError, match=named):
        check_drawing(given, PosterOptions("poster", (1440, 900), 1.5))

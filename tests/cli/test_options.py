"""Values of options become records of their command."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click
import pytest

from micam_fast.cli import main
from micam_fast.cli.options import AxisOptions, ModelOptions, read_options

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

"""What is installed: metadata and licence."""

from __future__ import annotations

import re
from importlib.metadata import distribution, entry_points

import click

from micam_fast.cli import main
from tests.helpers.places import ROOT


def test_licence_text_is_in_the_metadata() -> None:
    package = distribution("micam-fast")
    assert package.metadata["License-Expression"] == "Apache-2.0"
    licences = [path for path in package.files or () if path.name == "LICENSE"]
    assert any("Apache License" in path.read_text() for path in licences)


def test_the_command_is_installed() -> None:
    (command,) = [
        each for each in entry_points(group="console_scripts") if each.name == "micam-fast"
    ]
    assert command.value == "micam_fast.cli:main"


def test_the_readme_names_every_option() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = list(main.commands.values())
    commands += [
        inner for c in commands if isinstance(c, click.Group) for inner in c.commands.values()
    ]
    options = {name for command in commands for p in command.params for name in p.opts}
    assert {name for name in options if name.startswith("--")} - set(
        re.findall(r"--[a-z-]+", readme)
    ) == set()
    assert "@@" not in readme


def test_the_readme_s_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", readme)
    assert len(targets) >= 3
    for first, second in targets:
        assert (ROOT / (first or second)).is_file()

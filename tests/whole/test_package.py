"""What is installed: metadata and licence."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points


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

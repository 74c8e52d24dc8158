"""README and guide: links, snippets and tables of options are true; ``micam-fast guide``."""

from __future__ import annotations

import importlib
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from micam_fast.cli import main
from tests.helpers.commands import succeeded, usage_error
from tests.helpers.places import ROOT

GUIDE = ROOT / "micam_fast" / "guide"
README = ROOT / "README.md"
PAGES = sorted(GUIDE.glob("*.md"))
TEXTS = [README, *PAGES, ROOT / "benchmarks" / "RESULTS.md"]
OPTIONS = runpy.run_path(str(ROOT / "tools" / "write_options.py"))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_by_path = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", read(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


class TestPages:
    """What stands in the README and in the guide."""

    def test_the_readme_is_one_page(self) -> None:
        assert len(read(README).splitlines()) <= 250

    @_by_path
    def test_links_lead_somewhere(self, path: Path) -> None:
        text = _FENCE.sub("", read(path))
        links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
        for link in links:
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link
        assert len(links) >= 3 or path != README

    def test_the_readme_s_table_has_every_command(self) -> None:
        rows = re.findall(r"^\| (.*?`.*?`.*?) \| (?:\w)", read(README), re.MULTILINE)
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert named >= {*main.commands}

    def test_every_file_of_a_command_is_registered(self) -> None:
        files = {path.stem for path in (ROOT / "micam_fast" / "cli" / "commands").glob("[a-z]*.py")}
        assert files == {*main.commands}

    def test_the_readme_leads_to_every_page(self) -> None:
        assert {f"micam_fast/guide/{path.name}" for path in PAGES} == set(
            re.findall(r"micam_fast/guide/[\w-]+\.md", read(README))
        )

    @_by_path
    def test_python_compiles(self, path: Path) -> None:
        for language, code in _FENCE.findall(read(path)):
            if language == "python":
                compile(code, path.name, "exec")

    @_by_path
    def test_names_of_the_package_exist(self, path: Path) -> None:
        text = read(path)
        names = [each.split(".")[1:] for each in re.findall(r"\bmicam_fast(?:\.\w+)+", text)]
        for module, imported in re.findall(r"from micam_fast([\w.]*) import ([\w, ]+)", text):
            names += [[*module.split(".")[1:], name] for name in imported.split(", ")]
        for parts in names:
            resolve(parts)

    def test_every_option_is_named(self) -> None:
        """In the README or the guide."""
        text = "".join(map(read, [README, *PAGES]))
        options = {
            name
            for _, command in OPTIONS["commands"]()
            for param in command.params
            for name in param.opts
        }
        assert "--batch-size" in options
        assert {name for name in options if name.startswith("--")} <= set(
            re.findall(r"--[a-z-]+", text)
        )
        assert "@@" not in text


def resolve(parts: list[str]) -> Any:
    """What a dotted name of the package stands for."""
    found: Any = importlib.import_module("micam_fast")
    for index, part in enumerate(parts):
        if not hasattr(found, part):
            importlib.import_module(".".join(["micam_fast", *parts[: index + 1]]))
        found = getattr(found, part)
    return found


class TestOptions:
    """``tools/write_options.py`` wrote the tables from the command line's own help."""

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_tables_are_fresh(self, path: Path) -> None:
        assert OPTIONS["fill"](read(path)) == read(path), "run tools/write_options.py"

    def test_every_command_with_options_has_one_table(self) -> None:
        tables = re.findall(r"<!-- options:([a-z ]+) -->", "".join(map(read, PAGES)))
        named = {
            name
            for name, command in OPTIONS["commands"]()
            if any(isinstance(each, click.Option) for each in command.params)
        }
        missing = named - {*tables}
        assert not missing, f"no page of the guide has <!-- options:{min(missing)} -->"
        assert sorted(tables) == sorted(named)

    def test_a_table_is_written_between_its_marks(self) -> None:
        marks = ("<!-- options:grids -->", "<!-- /options -->")
        text = OPTIONS["fill"](f"before\n{marks[0]}\nstale\n{marks[1]}\nafter\n")
        lines = text.splitlines()
        assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", *marks, "after")
        assert "stale" not in text
        of = "| `--of [activations\\|contributions]` | Show the feature maps, or what"
        assert any(line.startswith(of) and line.endswith("| activations |") for line in lines)
        assert lines[-3].endswith("`--memory`, `--trust` | as in [plot](plot.md#options) |  |")
        assert "`--threads N`" not in text

    def test_ranges_and_what_must_be_given(self) -> None:
        table = "\n".join(OPTIONS["render"]("train", main.commands["train"]))
        assert "| `--dropout NUMBER` | Rate of the Dropout layers. `0<=NUMBER<1` | 0.5 |" in table
        records = main.commands["tfrecord"]
        assert isinstance(records, click.Group)
        table = "\n".join(OPTIONS["render"]("tfrecord table", records.commands["table"]))
        assert "| `--label COLUMN` | Column that holds the class. | required |" in table


class TestCommand:
    """``micam-fast guide``."""

    def test_without_a_page_it_lists_all_of_them(self, run_cli: Callable[..., Result]) -> None:
        lines = succeeded(run_cli("guide", out=False)).stdout.splitlines()
        assert [line.split()[0] for line in lines] == [path.stem for path in PAGES]
        assert re.fullmatch(r"plot +Plot: draw a diagram for each sample", lines[15])

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
    def test_in_a_pipe_a_page_is_its_text(self, run_cli: Callable[..., Result], path: Path) -> None:
        assert read(path).startswith("# ")
        assert succeeded(run_cli("guide", path.stem, out=False)).stdout == read(path)

    def test_on_a_terminal_a_page_is_laid_out(
        self, run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.cli.commands.guide._on_terminal", lambda: True)
        said = succeeded(run_cli("guide", "grids", out=False)).stdout
        assert "Grids: draw all feature maps of a layer" in said
        assert "--of [activations|contributions]" in re.sub(r"\s+", " ", said)
        assert "<!--" not in said

    @pytest.mark.parametrize(("given", "close"), [("plots", "plot"), ("long-run", "long-runs")])
    def test_a_page_that_there_is_not(
        self, run_cli: Callable[..., Result], given: str, close: str
    ) -> None:
        line = usage_error(run_cli("guide", given, out=False))
        assert f"no page '{given}' (must be one of changelog, check, " in line
        assert line.endswith(f"; did you mean {close}?")

    def test_a_page_like_none(self, run_cli: Callable[..., Result]) -> None:
        line = usage_error(run_cli("guide", "../README", out=False))
        assert "no page '../README' (must be one of" in line
        assert "did you mean" not in line

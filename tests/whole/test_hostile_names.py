"""Every command with a model whose names are attacks: what it writes is that of plain names."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pypdf
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from micam_fast import cli, load_model
from micam_fast.core.texts import printable
from micam_fast.diagrams.layout import find_engine
from tests.helpers import hostile_names, models
from tests.helpers.browser import opened, text
from tests.helpers.commands import arrays, only
from tests.helpers.hostile_names import LONG, NAMES, SCRIPT, SURROGATE

ANNOTATED = (*NAMES, SURROGATE, "input")
AXIS = [name for name in NAMES if len(name.splitlines()) == 1 and name.strip()][:8]
FORMATS = "png,svg,npz,pdf,dot,html,tiles"


@dataclass
class Run:
    """A folder that all commands wrote into, and what they said."""

    folder: Path
    said: dict[str, Result] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.out.rglob(pattern))


def run_all(
    folder: Path, proto: onnx.ModelProto, name: str, axis: Sequence[str], patch: pytest.MonkeyPatch
) -> Run:
    """Run every command that writes something for a model and samples of this name."""
    folder.mkdir()
    patch.chdir(folder)
    # Without a folder, it would look like an option.
    model, sample = f"./{name}.onnx", f"./{name}.npy"
    Path(model).write_bytes(proto.SerializeToString())
    np.save(sample, models.random_array(1, 2, 1, 8, 6))
    Path("labels.txt").write_text(f"{axis[0]}\n{axis[1]}\n")
    Path("rows.txt").write_text("\n".join(axis))
    Path("columns.txt").write_text("\n".join(axis[:6]))
    names = ("--row-names", "rows.txt", "--column-names", "columns.txt")
    labels = ("--labels", "labels.txt")
    run = Run(folder)
    for words in (
        ("plot", sample, "--format", FORMATS, "--output-dir", "out/plot", *labels),
        ("plot", sample, "--format", "svg,dot", "--look", "flat", "--output-dir", "out/flat"),
        ("view", sample, "--output", "out/view.html", *labels, *names),
        ("diff", f"{sample}:0", f"{sample}:1", "--output-dir", "out/diff", *labels, *names,
         "--format", "png,svg,pdf,html,csv"),
        ("features", sample, "--top", "1", *labels, *names),
        ("features", sample, "--output", "out/features.csv", "--top", "1", *labels, *names),
        ("grids", f"{sample}:0", "--output-dir", "out/grids", "--format", "svg"),
        ("stats", sample, "--output", "out/stats.csv", "--diagram", "out/mean.svg", "--by",
         "labels.txt"),
        ("stats", sample, "--output", "out/stats.parquet"),
        ("check", sample, "--output", "out/check.csv", "--draws", "1", "--steps", "2"),
        ("layers",),
    ):  # fmt: skip
        command, *rest = words
        given = [command, model, *rest]
        run.said[" ".join(words)] = CliRunner().invoke(cli.main, given, prog_name="micam-fast")
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Runs with hostile names, and with plain ones."""
    folder = tmp_path_factory.mktemp("names")
    plain = [f"layer_{index}" for index in range(len(ANNOTATED))]
    # Bytes that are no UTF-8, a terminal's escapes, markup; a path cannot hold more.
    stem = os.fsdecode(b"-\xff\x1b[31m<script>window.__attack=1<!--\"'&\n")
    with pytest.MonkeyPatch.context() as patch:
        return (
            run_all(folder / "a", hostile_names.annotated(ANNOTATED), stem, AXIS, patch),
            run_all(folder / "b", hostile_names.annotated(plain), "plain", plain[:8], patch),
        )


def test_every_command_goes_through(runs: tuple[Run, Run]) -> None:
    for run in runs:
        for words, result in run.said.items():
            assert result.exit_code == 0, (words, result.output, result.exception)


def lines(said: str) -> list[str]:
    """But for the one that only the first run on a machine prints."""
    return [line for line in said.splitlines() if "compiling the loops" not in line]


def test_what_is_said_cannot_drive_a_terminal_nor_fill_it(runs: tuple[Run, Run]) -> None:
    hostile, plain = runs
    # Words of the commands differ by the samples' names alone.
    for ours, theirs in zip(hostile.said.values(), plain.said.values(), strict=True):
        for said in (ours.stdout, ours.stderr):
            assert said.replace("\n", "").isprintable()
            assert max(map(len, said.split("\n"))) < 4 * (len(LONG) + 100)
        assert len(lines(ours.stderr)) == len(lines(theirs.stderr))
    layers = hostile.said["layers"].stdout.splitlines()
    assert len(layers) == len(plain.said["layers"].stdout.splitlines())
    assert max(map(len, layers)) < 600


def test_files_are_as_many_and_stay_in_their_folder(runs: tuple[Run, Run]) -> None:
    hostile, plain = runs
    assert len(list(hostile.folder.iterdir())) == len(list(plain.folder.iterdir())) == 6
    found = [list(run.out.rglob("*")) for run in runs]
    suffixes = [Counter((path.parent.name[-6:], path.suffix) for path in each) for each in found]
    assert suffixes[0].total() == suffixes[1].total() > 300
    for path in found[0]:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,250}", path.name), path.name
    lowered = {str(path).lower() for path in found[0]}
    assert len(lowered) == len(found[0]), "two files that some systems take as one"


def elements(path: Path) -> Counter[str]:
    """Elements of an SVG with the names of their attributes, but for text that holds names."""
    found: Counter[str] = Counter()
    for each in ET.fromstring(path.read_bytes()).iter():
        kind = each.tag.rpartition("}")[2]
        assert all("attack" not in value for value in each.attrib.values())
        href = each.get("href", "#")
        assert href.startswith(("#", "data:image/png;base64,"))
        # A name may take two lines, and then tells itself in a title.
        if kind not in ("text", "title"):
            found[f"{kind} {' '.join(sorted(each.attrib))}"] += 1
        else:
            # Outlines make a line bold.
            bold = {"stroke", "stroke-width", "stroke-linejoin"}
            assert set(each.attrib) - bold <= {"x", "y", "font-size", "fill"}
            assert (each.text or "").isprintable()
    return found


def test_svg_holds_no_other_elements(runs: tuple[Run, Run]) -> None:
    ours, theirs = (run.files("*.svg") for run in runs)
    assert len(ours) == len(theirs) > 60
    # Frames that several marks share are written once, and layouts of both are the same.
    assert sum(map(elements, ours), Counter()) == sum(map(elements, theirs), Counter())


class Tags(HTMLParser):
    """What a page consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, ...]] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[(tag, *(name for name, _ in attrs))] += 1

    def handle_comment(self, data: str) -> None:
        self.found["comment",] += 1


def tags(path: Path) -> Counter[tuple[str, ...]]:
    parser = Tags()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.found


def test_pages_hold_no_other_elements(runs: tuple[Run, Run]) -> None:
    ours, theirs = (run.files("*.html") for run in runs)
    assert len(ours) == len(theirs) == 4
    assert sum(map(tags, ours), Counter()) == sum(map(tags, theirs), Counter())


def graph(path: Path) -> tuple[int, ...]:
    """Numbers of nodes, edges, clusters and pictures, as Graphviz reads them."""
    answer = subprocess.run(
        [find_engine(), "-Tcanon", path.name], cwd=path.parent, capture_output=True, check=True
    )
    source = answer.stdout.decode()
    patterns = (r"^\s*n\d+\s*\[", r"^\s*n\d+ -> n\d+", r"subgraph cluster_\d+", "<IMG SRC")
    return tuple(len(re.findall(pattern, source, re.MULTILINE)) for pattern in patterns)


def test_dot_is_the_same_graph(runs: tuple[Run, Run]) -> None:
    ours, theirs = (run.files("*.dot")[0] for run in runs)
    nodes, edges, clusters, pictures = graph(ours)
    assert (nodes, edges) == (pictures, nodes - 1)
    assert graph(theirs) == (nodes, edges, clusters, pictures)
    assert max(map(len, ours.read_text().split("<BR"))) < 3000


def test_csv_has_no_formulas(runs: tuple[Run, Run]) -> None:
    ours, theirs = (run.files("*.csv") for run in runs)
    assert len(ours) == len(theirs) >= 4
    for mine, other in zip(ours, theirs, strict=True):
        rows, expected = (
            list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
            for path in (mine, other)
        )
        assert [len(row) for row in rows] == [len(row) for row in expected]
        for row in rows:
            for cell in row:
                # Numbers may be negative.
                plain = re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?|-?inf", cell)
                assert plain or not re.match(r"[\s\x00-\x1f]*[=+\-@\uff1d]|[\t\r\n]", cell), cell


def test_npz_stays_in_its_folder_when_it_is_unpacked(runs: tuple[Run, Run], tmp_path: Path) -> None:
    ours, theirs = (run.files("*.npz")[0] for run in runs)
    with zipfile.ZipFile(ours) as archive:
        members = archive.namelist()
    assert len(set(members)) == len(members) == len(arrays(theirs))
    for member in members:
        assert ".." not in Path(member.removesuffix(".npy")).parts
        assert member.isprintable()
        assert (tmp_path / member).resolve().is_relative_to(tmp_path)
    # Names without a harm, slashes among them, are as they are.
    keys = arrays(ours).keys()
    assert {f"cam/{name}" for name in (SCRIPT, "/etc/passwd", "a/b", " =1", ".")} <= keys
    hidden = [key for key in keys if re.fullmatch(r"cam/.*~[0-9a-f]{32}", key)]
    assert len(hidden) == sum(
        not name.isprintable() or ".." in re.split(r"[/\\]", name) or len(name) >= 300
        for name in ANNOTATED
    )


def test_pictures_are_as_large_as_those_of_plain_names(runs: tuple[Run, Run]) -> None:
    for ours, theirs in zip(*(run.files("*.png") for run in runs), strict=True):
        with Image.open(ours) as mine, Image.open(theirs) as other:
            assert mine.width <= 1.6 * other.width + 1000
            assert mine.height <= other.height + 200
    (pages,) = ([pypdf.PdfReader(path).pages for path in runs[0].files("*.pdf")],)
    assert [len(each) for each in pages] == [1, 1, 1]
    assert all("/Annots" not in page for each in pages for page in each)


def test_names_of_a_plain_onnx_file(tmp_path: Path) -> None:
    proto = hostile_names.net(NAMES)
    model = load_model(proto)
    assert [layer.name for layer in model.layers][:-3] == [NAMES[-1], *NAMES[:-1]]
    found = model.explain(models.random_array(1, 1, 8, 6))
    plain = hostile_names.net([f"layer_{index}" for index in range(len(NAMES))])
    other = load_model(plain).explain(models.random_array(1, 1, 8, 6))
    paths = [each.save(tmp_path / f"{n}.svg") for n, each in enumerate((found, other))]
    assert elements(paths[0]) == elements(paths[1])
    assert set(model.graph.taps) == set(found.maps)


# --- in the browser ------------------------------------------------------------------------------


def test_a_page_of_hostile_names_is_quiet(browser: Any, runs: tuple[Run, Run]) -> None:
    with opened(browser, runs[0].out / "view.html") as page:
        page.page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
        assert page.ask("micam.page.layers.map((layer) => layer.name)")[:3] == [
            "input",
            *(printable(name) for name in ANNOTATED[:2]),
        ]
        for name in (SCRIPT, "__proto__", r"\u202egnp.exe\u202c", "@layer{safe} $index"):
            layer = page.index(name)
            page.ask("(layer) => micam.choose(layer)", layer)
            page.settle()
            assert text(page, "#layer-name") == name
            page.page.mouse.move(*page.tile_cell(layer, 3, 3))
            page.page.wait_for_selector(".micam-value")
            said = page.page.locator(".micam-value").all_inner_texts()
            assert said[0] == name
            assert printable(AXIS[3]) in said
        page.page.keyboard.press("/")
        page.page.keyboard.type("onerror")
        page.page.keyboard.press("Enter")
        page.settle()
        assert page.chosen == NAMES[1]
        assert page.page.locator("img").count() == 0
        assert page.ask("window.__attack === undefined && ({}).layer === undefined")


def test_a_diagram_of_hostile_names_is_quiet(browser: Any, runs: tuple[Run, Run]) -> None:
    path = only(runs[0].out / "plot", "*sample-0*.svg")
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("window.__attack === undefined && document.scripts.length === 0")
    assert page.evaluate("document.querySelectorAll('image').length") > len(ANNOTATED)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()

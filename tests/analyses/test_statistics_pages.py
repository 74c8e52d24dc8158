"""Statistics as a page and as JSON."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.tables import show_indices
from tests.helpers.browser import chromium
from tests.helpers.models import conv_net, random_array

NAMES = ["a.png", "<b>.png", "a-very-long-name-of-a-sample-in-a-folder.png", "\ud800.png"]


def hostile_net() -> onnx.ModelProto:
    proto = conv_net()
    proto.graph.node[0].name = "<i>conv"
    return proto


@pytest.fixture(scope="module")
def found() -> Statistics:
    samples = [random_array(seed, 1, 8, 6) for seed in range(4)]
    return stats(hostile_net(), samples, names=NAMES, labels=["x", "y", "x"], top_samples=2)


@pytest.fixture(scope="module")
def page(found: Statistics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found.save(tmp_path_factory.mktemp("page") / "stats.html")


def test_thumbnails_are_in_the_page(found: Statistics, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    urls = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    # Two of most and two of least energy in each of seven layers.
    assert len(urls) == 7 * 4
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(urls[0]))))
    np.testing.assert_array_equal(shown, found.top["x"].strongest[0].thumbnail)


def test_everything_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<i>" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;.png" in text
    assert f'title="{NAMES[2]}"' in text


def test_what_is_unknown_is_no_number_in_a_page(page: Path) -> None:
    """The fourth sample has no class; class y has one sample, so no rank of a flat layer."""
    text = page.read_text(encoding="utf-8")
    (row,) = re.findall(r'<tr><td class="text">y</td><td class="text">dense</td>.*?</tr>', text)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert cells[12:14] == ["-", "-"]


def test_a_browser_shows_it(page: Path) -> None:
    with chromium() as browser:
        shown = browser.new_page(viewport={"width": 1200, "height": 900})
        said: list[str] = []
        shown.on("console", lambda message: said.append(message.text))
        shown.on("request", lambda request: said.append(request.url))
        shown.goto(page.as_uri())
        sizes = shown.evaluate("[...document.images].map((each) => each.naturalHeight)")
        # Only tables scroll sideways.
        wide = shown.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert [each for each in said if not each.startswith("data:")] == [page.as_uri()]
        assert len(sizes) == 28
        assert set(sizes) == {40}
        assert not wide


def test_json_of_all_numbers(found: Statistics, tmp_path: Path) -> None:
    held = json.loads(found.save(tmp_path / "stats.json").read_bytes())
    assert held["model"] == found.model
    assert [row["layer"] for row in held["rows"]] == [row.layer for row in found.rows]
    for line, row in zip(held["rows"], found.rows, strict=True):
        assert (line["class"], line["energy"]) == (row.label, row.energy)
        assert line["dead_indices"] == list(row.dead_indices or ())
        assert line["effective_rank"] == row.effective_rank
    assert [each["layer"] for each in held["hint"]] == ["<i>conv", "dense"]
    assert held["hint"][1]["idle"] is None
    assert held["multiply_adds"] == {"known": 1728 + 240, "unknown": []}
    assert len(held["rows"][0]["strongest"]) == 2


def test_parquet_of_lists(found: Statistics, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(found.save(tmp_path / "stats.parquet")).to_pydict()
    assert columns["dead_indices"] == [list(row.dead_indices or ()) for row in found.rows]
    # Half of a surrogate pair is written by its code, as in CSV.
    names = [each.replace("\ud800", r"\ud800") for each in found.rows[0].strongest or ()]
    assert columns["strongest"][0] == names
    assert columns["strongest"][-1] is None


@pytest.mark.parametrize(
    ("indices", "text"),
    [(None, "-"), ((), ""), ((3,), "3"), ((0, 2, 5), "0 2 5"), ((0, 2, 5, 7, 9), "0 2 5 +2")],
)
def test_few_indices(indices: tuple[int, ...] | None, text: str) -> None:
    assert show_indices(indices, 3) == text

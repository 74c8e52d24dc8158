"""Modules as one node, and mapped layers alone, in each format."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from micam_fast import Explanation, load_model
from micam_fast.diagrams.numbers import show_range
from micam_fast.viewer import View
from tests.helpers import models
from tests.helpers.pages import held

SVG = "{http://www.w3.org/2000/svg}"
LAYERS = [
    *("x", "stem", "body.0.conv", "body.0.act", "body.0.add"),
    *("body.1.conv", "body.1.act", "body.1.add", "head"),
]


@pytest.fixture(scope="module")
def whole() -> Explanation:
    return load_model(models.module_net()).explain(models.random_array(1, 4, 8, 6))


@pytest.fixture(scope="module")
def convolutions() -> Explanation:
    model = load_model(models.module_net(), layers=["stem", "head"])
    return model.explain(models.random_array(1, 4, 8, 6))


def texts(path: Path) -> list[str]:
    return [each.text or "" for each in ET.parse(path).getroot().iter(f"{SVG}text")]


def test_a_module_is_a_node_with_the_map_of_its_exit(whole: Explanation, tmp_path: Path) -> None:
    assert list(whole.maps) == LAYERS
    found = texts(whole.save(tmp_path / "one.svg", "flat", depth=1))
    header = "drawn: 4 nodes of 9 layers; modules of depth 1 are one node, by the map of their last"
    assert [line for line in found if line.startswith(header)]
    place = found.index("body")
    assert found[place + 1 : place + 5] == [
        "module",
        "O: (None, 4, 8, 6)",
        "6 layers",
        "map of body.1.add",
    ]
    shown = whole.maps["body.1.add"]
    least, _ = show_range(shown.minimum, shown.maximum)
    assert found[place + 5] == f"map min: {least}"
    assert "body.0.conv" not in found


def test_deeper_modules_have_frames(whole: Explanation, tmp_path: Path) -> None:
    found = texts(whole.save(tmp_path / "two.svg", depth=2))
    assert [line for line in found if line in ("body", "body.0", "body.1")] == [
        "body",
        "body.0",
        "body.1",
    ]


def test_what_is_not_mapped_is_not_drawn(convolutions: Explanation, tmp_path: Path) -> None:
    path = convolutions.save(tmp_path / "only.svg", only_mapped=True)
    found = texts(path)
    # The layers of the body, both its ways.
    assert "6 layers" in found
    assert "body.0.conv" not in found
    assert "stroke-dasharray" in path.read_text()
    (header,) = (line for line in found if line.startswith("drawn: "))
    assert header == (
        "drawn: 2 nodes of 9 layers; dotted edges lead through others, and ways past a node are "
        "left out"
    )
    plain = convolutions.save(tmp_path / "all.svg")
    assert "body.0.conv" in texts(plain)
    assert "stroke-dasharray" not in plain.read_text()


def test_a_dot_file_draws_the_same(convolutions: Explanation, tmp_path: Path) -> None:
    text = convolutions.save(tmp_path / "only.dot", only_mapped=True).read_text()
    assert text.count("<IMG") == 2
    assert 'label="6 layers" fontname=Helvetica fontsize=10 style=dotted' in text
    assert len(list((tmp_path / "only_dot").iterdir())) == 2


def test_the_page_draws_the_same(whole: Explanation, convolutions: Explanation) -> None:
    page = held(View([whole], depth=1).html)
    assert [layer["name"] for layer in page["layers"]] == ["x", "stem", "body", "head"]
    assert [layer["inputs"] for layer in page["layers"]] == [[], [0], [1], [2]]
    body = page["layers"][2]
    assert (body["kind"], body["pattern"]) == ("module", "body.1.add")
    shown = page["samples"][0]["maps"][2]
    assert page["texts"][shown["before"]][3] == "6 layers"
    page = held(View([convolutions], only_mapped=True).html)
    assert [layer["name"] for layer in page["layers"]] == ["stem", "head"]


def test_numbers_are_those_of_all_layers(whole: Explanation, tmp_path: Path) -> None:
    with np.load(whole.save(tmp_path / "x.npz", depth=1)) as archive:
        assert list(archive["layers"]) == LAYERS


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_a_depth_of_nothing_is_refused(whole: Explanation, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="depth must be a whole number from 1 on, not 0"):
        whole.save(tmp_path / f"x.{suffix}", depth=0)

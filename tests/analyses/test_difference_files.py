"""Differences as files: PNG, SVG, CSV, the page, and in a notebook."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micam_fast import Explanation, Model
from micam_fast.analyses.differences import Difference, diff
from micam_fast.analyses.differences.diagrams import compose_difference
from micam_fast.analyses.differences.files import CSV_HEADER, _named_as_a
from micam_fast.analyses.differences.noise import Noise
from micam_fast.core.errors import OutputError
from micam_fast.core.layers import Layer
from micam_fast.core.texts import printable
from micam_fast.demo import DIGITS
from micam_fast.diagrams.marks import Picture
from micam_fast.maps.signed_palette import paint_diverging
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import Order, Permutation
from tests.helpers.differences import explanation_of, two_models
from tests.helpers.drawings import SVG
from tests.helpers.pictures import layer_map


@pytest.fixture(scope="module")
def digits(demo_model: Model) -> Difference:
    """From a 3 to an 8."""
    three, eight = (demo_model.explain(np.load(DIGITS)[digit]) for digit in (3, 8))
    return diff(three, eight)


def places(difference: Difference, scale: float = 1.0) -> dict[str, Picture]:
    template, fillings = compose_difference(difference, rankdir="TB", scale=scale, native=True)
    return {
        mark.title: mark
        for mark in template.fill(fillings).marks
        if isinstance(mark, Picture) and mark.title is not None
    }


def read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["layer"]: row for row in csv.DictReader(file)}


# --- PNG and SVG ----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_png_pixels_are_the_palette_s(digits: Difference, scale: float, tmp_path: Path) -> None:
    path = digits.save(tmp_path / "d.png", scale_tiles=scale)
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    each = digits.layers["conv_1"]
    assert each.a is not None
    assert each.b is not None
    assert each.difference is not None
    shown = places(digits, scale)
    for caption, values in {"A": each.a.cam, "B": each.b.cam, "B - A": each.difference}.items():
        expected = paint_diverging(np.asarray(values), each.bound)[..., :3]
        box = shown[f"conv_1: {caption}"]
        assert box.width == box.height == 224 * scale
        step = box.width / 28
        middles = np.floor((np.arange(28) + 0.5) * step).astype(int)
        found = pixels[np.ix_(round(box.y) + middles, round(box.x) + middles)]
        np.testing.assert_array_equal(found, expected)


def test_svg_embeds_each_map_with_a_pixel_for_each_cell(digits: Difference, tmp_path: Path) -> None:
    root = ET.parse(digits.save(tmp_path / "d.svg")).getroot()
    images = {
        each.findtext(f"{SVG}title"): each.attrib["href"] for each in root.iter(f"{SVG}image")
    }
    for name, each in digits.layers.items():
        assert each.difference is not None
        data = images[f"{name}: B - A"].partition(",")[2]
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            found = np.asarray(picture)
        np.testing.assert_array_equal(found, paint_diverging(each.difference, each.bound))
    assert len(images) == 3 * 12 + 1  # The legend's have no title.


def test_left_to_right(digits: Difference, tmp_path: Path) -> None:
    with Image.open(digits.save(tmp_path / "d.png", rankdir="LR")) as picture:
        assert picture.width > picture.height


def test_a_png_that_hardly_any_viewer_opens_is_refused(digits: Difference, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"write SVG instead, or smaller tiles with"):
        digits.save(tmp_path / "d.png", scale_tiles=7)
    assert not list(tmp_path.iterdir())


def test_unknown_formats_and_styles(digits: Difference, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"unknown format: 'd.gif' \(the suffix must be one of"):
        digits.save(tmp_path / "d.gif")
    with pytest.raises(ValueError, match="unknown rankdir: 'BT'"):
        digits.save(tmp_path / "d.svg", rankdir="BT")
    with pytest.raises(ValueError, match="scale_tiles must be a positive number, not 0"):
        digits.save(tmp_path / "d.png", scale_tiles=0)


def test_a_notebook_shows_the_diagram(digits: Difference, tmp_path: Path) -> None:
    shown = digits._repr_mimebundle_()
    assert set(shown) == {"text/plain", "image/svg+xml"}
    assert shown["text/plain"] == repr(digits)
    expected = digits.save(tmp_path / "d.svg").read_text(encoding="utf-8")
    assert shown["image/svg+xml"] == expected
    assert set(digits._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}
    assert set(digits._repr_mimebundle_(exclude=["image/svg+xml"])) == {"text/plain"}


ODD_NAMES = ["a,b", 'say "no"', "two\nlines", "<b>&amp;]]>", "=1+1", "\x01\x1b[31m", "é/日:0", "-"]


def test_layers_may_have_any_name(tmp_path: Path) -> None:
    a, b = (
        explanation_of({name: layer_map([[1, value]]) for name in ODD_NAMES}) for value in (2, 3)
    )
    found = diff(a, b)
    root = ET.parse(found.save(tmp_path / "d.svg")).getroot()
    titles = [each.findtext(f"{SVG}title") or "" for each in root.iter(f"{SVG}image")]
    named = [title.removesuffix(": B - A") for title in titles if title.endswith(": B - A")]
    assert named == [printable(name) for name in ODD_NAMES]
    with Image.open(found.save(tmp_path / "d.png")) as picture:
        picture.load()
    rows = read_csv(found.save(tmp_path / "d.csv"))
    # As a formula, no spreadsheet runs it.
    assert [name.removeprefix("'") for name in rows] == ODD_NAMES
    assert {row["relative_l2"] for row in rows.values()} == {str(1 / np.sqrt(5))}


# --- CSV ------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_layer(digits: Difference, tmp_path: Path) -> None:
    path = digits.save(tmp_path / "d.csv")
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(CSV_HEADER)
    rows = read_csv(path)
    assert list(rows) == list(digits.layers)
    for name, row in rows.items():
        each = digits.layers[name]
        a, b = (side.cams[name].astype(np.float64) for side in (digits.a, digits.b))
        assert row["class"] == each.layer.class_label
        assert (int(row["rows"]), int(row["columns"])) == a.shape
        assert float(row["relative_l2"]) == each.relative_l2
        assert float(row["cosine"]) == each.cosine
        assert float(row["correlation"]) == each.correlation
        assert float(row["scale"]) == max(np.abs(m).max() for m in (a, b, b - a))
        for prefix, values in (("a", a), ("b", b), ("difference", b - a)):
            assert float(row[f"{prefix}_min"]) == values.min()
            assert float(row[f"{prefix}_max"]) == values.max()
        cell = int(row["largest_row"]), int(row["largest_column"])
        assert abs((b - a)[cell]) == np.abs(b - a).max()
        assert row["note"] == ""


def test_csv_leaves_empty_what_is_undefined(tmp_path: Path) -> None:
    a = {
        "zero": layer_map([[0, 0]]), "constant": layer_map([[1, 1]]),
        "bad": layer_map([[1, np.nan]], bad_values=1), "same": layer_map([[1, 2]]),
    }  # fmt: skip
    b = {
        "zero": layer_map([[1, 2]]), "constant": layer_map([[1, 2]]), "bad": layer_map([[1, 2]]),
        "same": layer_map([[1, 2]]),
    }  # fmt: skip
    path = diff(explanation_of(a), explanation_of(b)).save(tmp_path / "d.csv")
    assert "nan" not in path.read_text(encoding="utf-8")
    rows = read_csv(path)
    assert (rows["zero"]["relative_l2"], rows["zero"]["cosine"]) == ("inf", "")
    assert (rows["constant"]["cosine"], rows["constant"]["correlation"]) != ("", "")
    assert rows["constant"]["correlation"] == ""
    bad = rows["bad"]
    assert [bad[key] for key in CSV_HEADER[2:7]] == ["1", "2", "", "", ""]
    assert [bad[key] for key in CSV_HEADER[7:17]] == [
        "2.0", "", "", "1.0", "2.0", "", "", "", "", "A is not finite",
    ]  # fmt: skip
    assert [bad[key] for key in CSV_HEADER[17:]] == ["bad", "Conv", "", "", "", "", ""]
    assert [rows["same"][key] for key in CSV_HEADER[4:7]] == ["0.0", "1.0", "1.0"]
    assert [rows["same"][key] for key in CSV_HEADER[12:17]] == ["0.0", "0.0", "", "", ""]


def test_csv_names_layers_that_do_not_match(tmp_path: Path) -> None:
    rows = read_csv(two_models().save(tmp_path / "d.csv"))
    assert {name: row["note"] for name, row in rows.items()} == {
        "x": "", "conv": "A is 8 x 6, B is 6 x 4", "relu": "A is 8 x 6, B is 6 x 4",
        "pool": "only in A", "flatten": "A is 6 x 8, B is 1 x 4", "dense": "only in A",
        "softmax": "only in A", "own": "only in B", "gpool": "only in B",
    }  # fmt: skip
    for name, row in rows.items():
        assert (row["relative_l2"] == "") == (name != "x")
        assert row["scale"] != ""
    assert rows["own"]["a_min"] == "" != rows["own"]["b_min"]


def test_csv_names_what_changes_in_b(tmp_path: Path) -> None:
    a, b = (
        explanation_of({"one": layer_map([[1, 2]])}),
        explanation_of({"one": layer_map([[1, 1]])}),
    )
    found = dataclasses.replace(
        diff(a, b), layers={"one": dataclasses.replace(
            diff(a, b).layers["one"], changes=("kernels: A (3,), B (5,)", "reads: A x, B y"),
            partner=Layer("other", "QLinearConv", "QLinearConv"),
            noise=Noise(100.0, 1.0, 0.25, 0.25),
        )},
    )  # fmt: skip
    (row,) = read_csv(found.save(tmp_path / "d.csv")).values()
    assert [row[key] for key in CSV_HEADER[17:]] == [
        "other", "QLinearConv", "20.0", "0.1", "0.25", "kernels: A (3,), B (5,); reads: A x, B y",
        "0.05",
    ]  # fmt: skip


def test_csv_uses_the_names_of_rows_and_columns(tmp_path: Path) -> None:
    a = {"on": layer_map(np.zeros((2, 2))), "off": layer_map(np.zeros((2, 3)))}
    b = {"on": layer_map([[0, 0], [9, 0]]), "off": layer_map([[0, 0, 0], [0, 0, 4]])}
    names = AxisNames(("cpu", "disk"), ("=1+1", "pid"))
    found = diff(explanation_of(a), explanation_of(b), names=names)
    rows = read_csv(found.save(tmp_path / "d.csv"))
    cells = [(row["largest_row"], row["largest_column"]) for row in rows.values()]
    assert cells == [("disk", "'=1+1"), ("1", "2")]


# --- The page -------------------------------------------------------------------------------


def test_the_page_shows_both_side_by_side(demo_explanation: Explanation, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    path = diff(demo_explanation, demo_explanation).save(tmp_path / "d.html")
    text = path.read_text(encoding="utf-8")
    assert '"titles":["0: digit_3.png, label 3","1: digit_3.png, label 3"]' in text
    assert "lenet_mnist: difference B - A" in text


def test_the_page_has_b_s_maps_by_the_names_of_a(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    a, b = (explanation_of({name: layer_map([[1, 2]])}) for name in ("conv", "conv_quant"))
    found = diff(a, b)
    assert list(_named_as_a(found).maps) == ["conv"]
    found.save(tmp_path / "d.html")


def test_the_page_tells_of_b_s_order(demo_explanation: Explanation, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    permutation = Permutation(None, Order("seed:4", seed=4))
    path = diff(demo_explanation, demo_explanation, permutation=permutation).save(
        tmp_path / "d.html"
    )
    text = path.read_text(encoding="utf-8")
    assert '["0: digit_3.png, label 3","1: digit_3.png, columns by seed:4, label 3"]' in text

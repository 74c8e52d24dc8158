"""What the page holds, before any browser: maps, feature maps, texts."""

from __future__ import annotations

import base64
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from micam_fast import (
    Explanation,
    MissingExtraError,
    Model,
    OutputError,
    SampleError,
    demo,
    load_model,
)
from micam_fast.engine.activations import LayerActivation
from micam_fast.viewer import (
    FeatureMaps,
    View,
    choose_layers,
    feature_maps,
    gather,
    quantize,
)
from tests.helpers import models
from tests.helpers.pages import element, held


@pytest.fixture(scope="module")
def html(demo_explanation: Explanation) -> str:
    return View([demo_explanation]).html


# --- feature maps -------------------------------------------------------------------------------


def restored(maps: FeatureMaps) -> NDArray[np.float64]:
    lows, highs = (each.astype(np.float64)[:, None, None] for each in (maps.lows, maps.highs))
    return np.asarray(lows + maps.codes / 255 * (highs - lows))


@given(st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e6]))
def test_quantized_maps_are_off_by_half_a_step_at_most(seed: int, spread: float) -> None:
    maps = models.random_array(seed, 3, 4, 5, spread=spread)
    found = quantize(maps)
    spans = np.ptp(maps.reshape(3, -1).astype(np.float64), axis=1)
    error = np.abs(restored(found) - maps).reshape(3, -1).max(axis=1)
    assert (error <= spans * (0.5 / 255 + 1e-6)).all()
    np.testing.assert_array_equal(found.lows, maps.min(axis=(1, 2)))
    np.testing.assert_array_equal(found.highs, maps.max(axis=(1, 2)))
    energies = (maps.astype(np.float64) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(found.energies, energies, rtol=1e-6)


def test_a_constant_map_keeps_its_value() -> None:
    found = quantize(np.full((2, 3, 3), -2.5, np.float32))
    np.testing.assert_array_equal(restored(found), -2.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_given_up_alone(value: float) -> None:
    maps = models.random_array(1, 2, 3, 3)
    maps[0, 1, 1] = value
    found = quantize(maps)
    assert np.isnan(found.lows).tolist() == [True, False]
    assert np.isnan(found.energies).tolist() == [True, False]
    assert not found.codes[0].any()


def test_maps_of_all_layers_are_chosen_as_long_as_they_are_small(
    demo_explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    spatial = {name for name, found in demo_explanation.maps.items() if not found.flat}
    assert choose_layers([demo_explanation]) == spatial
    values = 28 * 28 * (1 + 32 + 32) + 14 * 14 * (32 + 48 + 48) + 7 * 7 * 48
    monkeypatch.setattr(feature_maps, "MOST_BYTES", 2 * values)
    assert choose_layers([demo_explanation] * 2) == spatial
    assert choose_layers([demo_explanation] * 3) == frozenset()


def first_array(
    index: int, slot: int, found: Iterator[LayerActivation] | SampleError
) -> NDArray[np.float32]:
    assert not isinstance(found, SampleError)
    return next(found).array.copy()


def test_gathered_maps_are_the_activations(demo_model: Model) -> None:
    digits = np.load(demo.DIGITS)[:2]
    found = list(gather(demo_model, digits, ["conv_1", "pool_2", "dense_1"]))
    assert [list(each) for each in found] == [["conv_1", "pool_2"]] * 2
    for name in ("conv_1", "pool_2"):
        wanted = list(demo_model.activations(digits, first_array, layers=[name]))
        for maps, array in zip(found, wanted, strict=True):
            assert isinstance(array, np.ndarray)
            np.testing.assert_array_equal(maps[name].codes, quantize(array).codes)


def test_strips_and_volumes_become_pictures() -> None:
    strip, volume = models.random_array(1, 2, 7), models.random_array(2, 2, 3, 4, 5)
    np.testing.assert_array_equal(feature_maps.as_pictures(strip), strip[:, np.newaxis])
    pictures = feature_maps.as_pictures(volume)
    np.testing.assert_allclose(pictures, volume.astype(np.float64).mean(axis=1), atol=1e-6)


# --- the page -----------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_from_outside(html: str) -> None:
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
    assert "<script" in markup
    assert not re.search(r"\s(?:src|href)=|@import|url\(", markup)


def test_maps_are_there_to_the_bit(html: str, demo_explanation: Explanation) -> None:
    page = held(html)
    cells = np.frombuffer(base64.b64decode(element(html, "micam-cams-0")), "<f4")
    (sample,) = page["samples"]
    assert [layer["name"] for layer in page["layers"]] == list(demo_explanation.cams)
    for described, (name, cam) in zip(sample["maps"], demo_explanation.cams.items(), strict=True):
        found = cells[described["begin"] :][: cam.size].reshape(described["size"])
        np.testing.assert_array_equal(found, cam)
        assert tuple(described["range"]) == demo_explanation.ranges[name]
    assert tuple(sample["range"]) == demo_explanation.global_range
    assert page["titles"] == ["0: digit_3.png, label 3"]


def test_nodes_stand_where_the_diagram_has_them(html: str, demo_explanation: Explanation) -> None:
    layout = demo_explanation.scene.layout(frozenset(demo_explanation.maps), "TB")
    for layer in held(html)["layers"]:
        box = layout.nodes[layer["name"]]
        assert layer["box"] == [box.x, box.y, box.width, box.height]


def test_what_names_hold_stays_text(demo_explanation: Explanation) -> None:
    hostile = "</script><img src=x onerror=alert(1)>&amp;{{ 7*7 }}{% raw %}"
    named = dataclasses.replace(demo_explanation, sample=hostile, label=hostile)
    html = View([named], title=hostile, row_names=[hostile], column_names=["\u2028"]).html
    assert hostile not in html
    assert "<img" not in html.split("<body>")[1].split("<script", 1)[0]
    page = held(html)
    assert page["titles"] == [f"0: {hostile}, label {hostile}"]
    assert page["rowNames"] == [hostile]
    assert "49" not in html.split("<title>")[1].split("</title>")[0]


def test_a_layer_without_numbers_has_none_in_the_page() -> None:
    model = load_model(models.conv_net())
    html = View([model.explain(np.full((1, 8, 6), np.nan, np.float32))]).html
    maps = held(html)["samples"][0]["maps"]
    assert all(described["bad"] and "begin" not in described for described in maps)
    assert element(html, "micam-cams-0") == ""


def test_two_models_are_matched_by_name() -> None:
    first = load_model(models.conv_net())
    other = load_model(models.single_conv(models.random_array(1, 2, 1, 3, 3), ["N", 1, 8, 6]))
    sample = models.random_array(1, 1, 8, 6)
    page = held(View([first.explain(sample), other.explain(sample)], compare=True).html)
    names = [layer["name"] for layer in page["layers"]]
    there = [name for name, found in zip(names, page["samples"][1]["maps"], strict=True) if found]
    assert there == ["x", "conv"]
    assert page["titles"] == ["0: sample by conv_net", "1: sample by net"]


def test_an_explanation_saves_itself_as_a_page(
    tmp_path: Path, demo_explanation: Explanation
) -> None:
    path = demo_explanation.save(tmp_path / "digit.html")
    assert held(path.read_text())["titles"] == ["0: digit_3.png, label 3"]
    with pytest.raises(OutputError, match="cannot write"):
        demo_explanation.save(tmp_path / "none" / "digit.html")


def test_arguments_that_do_not_fit_are_told(demo_explanation: Explanation) -> None:
    with pytest.raises(ValueError, match="at least one explanation"):
        _ = View([]).html
    with pytest.raises(ValueError, match="one mapping for each explanation: 1, not 2"):
        _ = View([demo_explanation], feature_maps=[{}, {}]).html
    with pytest.raises(ValueError, match="unknown look: 'round'"):
        _ = View([demo_explanation], look="round").html  # type: ignore[arg-type]


def test_without_bokeh_the_extra_is_named(
    tmp_path: Path, demo_explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bokeh.models", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'micam-fast\[view\]'"):
        View([demo_explanation]).save(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


# --- notebooks ----------------------------------------------------------------------------------


def test_a_model_views_samples(tmp_path: Path, demo_model: Model) -> None:
    shown = demo_model.view(np.load(demo.DIGITS)[:2], labels=["0", None])
    assert isinstance(shown, View)
    assert repr(shown) == "<View of 2 samples by lenet_mnist>"
    page = held(shown.save(tmp_path / "page.html").read_text())
    assert page["titles"] == ["0: sample, label 0", "1: sample"]
    assert set(page["features"][0]) == {"0", "1", "2", "3", "4", "5", "6"}
    frame = shown._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert frame.count('"') == 4
    assert "&lt;!DOCTYPE html&gt;" in frame


def test_a_view_holds_the_feature_maps_that_were_asked_for(demo_model: Model) -> None:
    shown = demo_model.view(np.load(demo.DIGITS)[:1], feature_maps="conv_*")
    assert shown.feature_maps is not None
    assert list(shown.feature_maps[0]) == ["conv_1", "conv_2"]
    with pytest.raises(ValueError, match="at least one sample"):
        demo_model.view([])


# --- notes --------------------------------------------------------------------------------------


def test_notes_of_the_model_are_told_once(demo_explanation: Explanation) -> None:
    explanation = load_model(models.folded_net()).explain(models.random_array(1, 2, 6, 6))
    (note,) = explanation.notes
    assert held(View([explanation, explanation]).html)["notes"] == [note]
    assert held(View([demo_explanation, explanation]).html)["notes"] == [f"folded: {note}"]
    assert held(View([demo_explanation]).html)["notes"] == []

"""The interactive page in a real browser: what a person does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from micam_fast import Explanation, Model, load_model
from micam_fast.diagrams.numbers import show_range
from micam_fast.maps.signed_palette import paint_diverging
from micam_fast.viewer import View, gather
from tests.helpers import models
from tests.helpers.browser import Driven, opened, over_white, text


def choose_sample(page: Driven, number: int) -> None:
    page.page.locator("select").first.select_option(index=number)


def choose_other(page: Driven, number: int) -> None:
    # The first choice is none.
    page.page.locator("select").nth(1).select_option(index=number + 1)


def suggestions(page: Driven) -> list[str]:
    found = page.page.locator(".bk-menu div, .bk-below div").all()
    return [each.inner_text() for each in found if each.is_visible() and each.inner_text()]


# --- finding one's way -------------------------------------------------------------------------


def test_the_strongest_layer_is_there_without_a_click(
    still: Driven, page_explanations: list[Explanation]
) -> None:
    peaks = {name: float(np.abs(cam).max()) for name, cam in page_explanations[0].cams.items()}
    strongest = max(peaks, key=lambda name: peaks[name])
    assert still.chosen == strongest
    assert text(still, "#layer-name") == strongest
    assert text(still, "#badge") == "strongest layer"
    first = still.page.locator(".slick-row").first
    assert strongest in first.inner_text()
    assert "largest energy first" in text(still, "#page-number")


def test_inputs_come_last_however_large_they_are(still: Driven) -> None:
    names = still.ask("micam.order.map((layer) => micam.page.layers[layer].name)")
    assert names[-1] == "image"
    strengths = still.ask("micam.order.map((layer) => micam.strength(layer))")
    assert strengths[-1] > min(strengths)
    assert strengths[:-1] == sorted(strengths[:-1], reverse=True)


def test_the_first_view_begins_at_the_model_and_is_readable(still: Driven) -> None:
    assert still.ask("micam.inView()")[0] == 0
    assert still.ask("micam.parts.panes[0].lines.data.text.length") >= 3
    assert still.ask("micam.scale()") > 0.5


def test_the_wheel_zooms_and_labels_go_when_they_cannot_be_read(page: Driven) -> None:
    before = page.ask("micam.scale()")
    x, y = page.tile_cell(page.index("conv_1"), 14, 14)
    page.page.mouse.move(x, y)
    page.page.mouse.wheel(0, -300)
    page.settle()
    page.page.wait_for_function(f"micam.scale() > {1.2 * before}")
    width, height = page.ask(
        "[micam.parts.xRange.end - micam.parts.xRange.start,"
        "micam.parts.yRange.start - micam.parts.yRange.end]"
    )
    inner = page.ask(
        "[micam.parts.panes[0].figure.inner_width,micam.parts.panes[0].figure.inner_height]"
    )
    assert width / inner[0] == pytest.approx(height / inner[1], rel=1e-6)
    page.page.get_by_role("button", name="whole").click()
    page.settle()
    assert len(page.ask("micam.inView()")) == 12
    assert page.ask("micam.parts.panes[0].lines.data.text") == []
    page.page.get_by_role("button", name="reset").click()
    page.settle()
    assert page.ask("micam.scale()") == pytest.approx(before)


def test_dragging_pans(page: Driven) -> None:
    before = page.ask("micam.parts.yRange.start")
    page.page.mouse.move(500, 500)
    page.page.mouse.down()
    page.page.mouse.move(500, 300, steps=4)
    page.page.mouse.up()
    page.settle()
    moved = page.ask("micam.parts.yRange.start") - before
    assert moved * page.ask("micam.scale()") == pytest.approx(200, abs=12)


def test_searching_suggests_and_jumps(page: Driven) -> None:
    page.page.keyboard.press("/")
    page.page.keyboard.type("POOL")
    assert suggestions(page) == ["pool_1", "pool_2"]
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    page.settle()
    assert page.chosen == "pool_2"
    assert page.index("pool_2") in page.ask("micam.inView()")
    # The search is over, and the arrows walk again.
    page.page.keyboard.press("ArrowUp")
    assert page.chosen == "relu_2"


def test_a_search_that_finds_nothing_says_so(page: Driven) -> None:
    page.page.keyboard.press("/")
    page.page.keyboard.type("pol")
    assert text(page, "#no-match") == "\u2013 no such layer"
    page.page.keyboard.press("Backspace")
    assert text(page, "#no-match") == ""
    page.page.keyboard.type("zz")
    assert text(page, "#no-match") == "\u2013 no such layer"
    page.page.keyboard.press("Escape")
    assert text(page, "#no-match") == ""
    assert page.chosen == "conv_2"


def test_the_graph_stays_in_view_wherever_one_zooms_and_drags(page: Driven) -> None:
    page.page.get_by_role("button", name="whole").click()
    page.settle()
    # Beside the graph, which the wheel would otherwise leave behind.
    page.page.mouse.move(160, 300)
    for _ in range(8):
        page.page.mouse.wheel(0, -200)
        page.settle()
    assert page.ask("micam.scale()") > 1
    assert page.ask("micam.parts.xRange.end") > 0
    page.page.get_by_role("button", name="whole").click()
    page.settle()
    for _ in range(4):
        page.page.mouse.move(500, 800)
        page.page.mouse.down()
        page.page.mouse.move(500, 120, steps=4)
        page.page.mouse.up()
        page.settle()
    assert page.index("softmax") in page.ask("micam.inView()")


def test_walking_to_the_first_layer_leaves_no_blank_above_it(page: Driven) -> None:
    page.page.locator(".slick-row", has_text="relu_2").first.click()
    for _ in range(5):
        page.page.keyboard.press("ArrowUp")
    page.settle()
    assert page.chosen == "image"
    blank = -page.ask("micam.parts.yRange.end") * page.ask("micam.scale()")
    assert 0 <= blank < 20


def test_escape_leaves_the_search_and_then_the_layer(page: Driven) -> None:
    page.page.keyboard.press("/")
    page.page.keyboard.type("conv")
    assert suggestions(page) == ["conv_1", "conv_2"]
    page.page.keyboard.press("Escape")
    assert suggestions(page) == []
    chosen = page.chosen
    assert chosen == "conv_2"
    page.page.keyboard.press("ArrowDown")
    assert page.chosen != chosen
    page.page.keyboard.press("Escape")
    assert page.chosen is None
    assert text(page, "#layer-name") == "No layer chosen"
    first = page.ask("micam.page.layers[micam.inView()[0]].name")
    page.page.keyboard.press("ArrowDown")
    assert page.chosen == first


def test_a_click_opens_the_layer(page: Driven, page_explanations: list[Explanation]) -> None:
    page.page.mouse.click(*page.tile_cell(page.index("relu_1"), 5, 5))
    page.settle()
    assert page.chosen == "relu_1"
    found = page_explanations[0].maps["relu_1"]
    label = text(page, "#label").splitlines()
    assert label[0] == "Relu"
    assert f"map max: {show_range(found.minimum, found.maximum)[1]}" in label
    row = text(page, "#statistics").splitlines()[-1].split("\t")
    cam = found.cam.astype(np.float64)
    wanted = [cam.min(), cam.max(), cam.mean(), cam.std(), (cam**2).mean()]
    assert [float(cell) for cell in row[:5]] == pytest.approx(wanted, rel=1e-3)
    shares = page.ask("Array.from(micam.parts.bars.data.top)")
    assert sum(shares) == pytest.approx(1)


def test_a_row_of_the_table_jumps_to_its_layer(page: Driven) -> None:
    page.page.locator(".slick-row", has_text="softmax").first.click()
    page.settle()
    assert page.chosen == "softmax"
    assert page.index("softmax") in page.ask("micam.inView()")


def test_the_strip_shows_all_layers_and_leads_there(page: Driven) -> None:
    box = page.page.locator("nav").bounding_box()
    # Its last lines say what the colours mean.
    page.page.mouse.click(box["x"] + 45, box["y"] + box["height"] - 40)
    page.settle()
    assert page.index("softmax") in page.ask("micam.inView()")
    assert text(page, "#strip-note") == "dark: strong"
    colours = page.ask("Array.from(micam.parts.stripBars.data.colour)")
    assert colours.count(colours[page.index("conv_2")]) == 1
    choose_other(page, 1)
    page.settle()
    assert text(page, "#strip-note") == "dark: changed"


def test_feature_maps_come_by_energy_and_page_by_page(
    page: Driven, demo_model: Model, page_digits: NDArray[np.float32]
) -> None:
    page.page.keyboard.press("/")
    page.page.keyboard.type("conv_1")
    page.page.keyboard.press("Enter")
    page.settle()
    (maps,) = gather(demo_model, page_digits[:1], ["conv_1"])
    order = np.argsort(-maps["conv_1"].energies, kind="stable")
    assert page.ask("micam.shownFeatures.map((each) => each.channel)") == order[:12].tolist()
    assert text(page, "#page-number") == "1\u201312 of 32, largest energy first"
    page.page.get_by_role("button", name="▶").click()
    page.settle()
    assert page.ask("micam.shownFeatures.map((each) => each.channel)") == order[12:24].tolist()
    assert page.ask("micam.shownFeatures[0].rows") == 28
    strongest = np.abs([maps["conv_1"].lows, maps["conv_1"].highs]).max()
    assert f"{strongest:.4g}" in text(page, "#features-note")


def test_a_layer_without_feature_maps_says_why(page: Driven) -> None:
    page.page.locator(".slick-row", has_text="dense_2").first.click()
    page.settle()
    assert "flat layer" in text(page, "#features-note")


def test_hovering_tells_layer_cell_value_and_names(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    page.page.mouse.move(*page.tile_cell(page.index("conv_1"), 9, 11))
    page.page.wait_for_selector(".micam-value")
    said = page.page.locator(".micam-value").all_inner_texts()
    assert said[0] == "conv_1"
    assert said[1] == "row 9, column 11 of 28 x 28"
    assert float(said[2]) == pytest.approx(page_explanations[0].cams["conv_1"][9, 11], rel=1e-3)
    assert said[3:] == ["line 9", "pixel 11"]


def test_of_two_samples_a_cell_tells_both_and_the_difference(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    choose_other(page, 1)
    page.settle()
    for pane in range(3):
        page.page.mouse.move(*page.tile_cell(page.index("conv_1"), 9, 11, pane))
        page.page.wait_for_selector(".micam-value")
        said = page.page.locator(".micam-value").all_inner_texts()[2].split(", ")
        sides, numbers = zip(*(each.rsplit(" ", 1) for each in said), strict=True)
        assert sides == ("A", "B", "B \u2212 A")
        a, b = (float(each.cams["conv_1"][9, 11]) for each in page_explanations[:2])
        assert [float(each) for each in numbers] == pytest.approx([a, b, b - a], rel=1e-3)


# --- samples ------------------------------------------------------------------------------------


def test_another_sample_changes_everything(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    choose_sample(page, 1)
    page.settle()
    assert text(page, "#captions p >> nth=0").startswith("1: 8.png, label 8, predicted 8")
    shown = page.pixel(*page.tile_cell(page.index("conv_1"), 14, 13))
    wanted = over_white(page_explanations[1].rgba["conv_1"][14, 13])
    np.testing.assert_allclose(shown, wanted, atol=2)
    first = page.page.locator(".slick-row").first.inner_text().split("\n")
    name = page.chosen
    assert name is not None
    assert first[0] == name
    assert float(first[2]) == pytest.approx(np.abs(page_explanations[1].cams[name]).max(), rel=1e-3)
    found = page_explanations[1].maps[name]
    _, high = show_range(found.minimum, found.maximum)
    assert f"map max: {high}" in text(page, "#label")


def test_two_samples_and_their_difference_share_a_scale(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    choose_other(page, 1)
    page.settle()
    a, b = (each.cams["conv_1"].astype(np.float64) for each in page_explanations[:2])
    bound = max(np.abs(a).max(), np.abs(b).max(), np.abs(b - a).max())
    layer = page.index("conv_1")
    for pane, values in enumerate((a, b, b - a)):
        shown = page.pixel(*page.tile_cell(layer, 14, 13, pane))
        wanted = paint_diverging(values, float(bound))[14, 13, :3]
        np.testing.assert_allclose(shown, wanted, atol=1)
    assert text(page, "#table-title") == "Layers, largest change first; inputs last"
    relative = {
        name: float(np.linalg.norm(page_explanations[1].cams[name] - cam) / np.linalg.norm(cam))
        for name, cam in page_explanations[0].cams.items()
    }
    first = max(relative, key=lambda name: relative[name])
    assert first in page.page.locator(".slick-row").first.inner_text()
    assert page.chosen == first
    titles = page.page.locator(".slick-column-name").all_inner_texts()
    assert titles == ["layer", "max |A|", "max |B \u2212 A|", "relative L2"]
    assert text(page, "#histogram-note") == "Filled: A, outlined: B."
    label = text(page, "#label").splitlines()
    assert label[label.index("A") + 1].startswith("map min: ")
    # Linked: what moves one, moves all.
    page.page.mouse.move(*page.tile_cell(layer, 14, 13, 2))
    page.page.mouse.wheel(0, -200)
    page.settle()
    lefts = page.ask("micam.parts.panes.map((pane) => pane.figure.x_range.start)")
    assert len(set(lefts)) == 1
    page.page.keyboard.press("Escape")
    page.settle()
    assert page.ask("micam.parts.panes.map((pane) => pane.figure.visible)") == [True, False, False]
    assert page.ask("micam.state.colours") == "RGBA"


def test_feature_maps_of_two_samples_come_by_their_change(page: Driven) -> None:
    choose_other(page, 2)
    page.page.keyboard.press("/")
    page.page.keyboard.type("conv_1")
    page.page.keyboard.press("Enter")
    page.settle()
    assert "largest change first" in text(page, "#page-number")
    first = page.ask("micam.shownFeatures.slice(0, 3).map((each) => Array.from(each.values))")
    a, b, change = np.array(first)
    np.testing.assert_allclose(change, b - a, atol=1e-6)


def test_the_input_does_not_use_up_the_strip_s_colours(browser: Any, tmp_path: Path) -> None:
    # Pixels up to 255 beside responses up to 1 in a deep model.
    nodes = [helper.make_node("Mul", ["x", "small"], ["v0"], name="small")]
    nodes += [
        helper.make_node("Relu", [f"v{place}"], [f"v{place + 1}"], name=f"relu_{place}")
        for place in range(60)
    ]
    small = {"small": np.array(1 / 255, np.float32)}
    model = load_model(models.make_model(nodes, {"x": ["N", 1, 4, 4]}, ["v60"], small))
    found = model.explain(np.linspace(0, 255, 16, dtype=np.float32).reshape(1, 4, 4))
    with opened(browser, found.save(tmp_path / "deep.html")) as page:
        colours = page.ask("Array.from(micam.parts.stripBars.data.colour)")
        assert page.ask("micam.strength(0)") == 255
        assert page.ask(f"micam.strength({page.index('relu_59')})") == pytest.approx(1)
        assert colours[page.index("relu_59")] == colours[0]


# --- whatever names hold ------------------------------------------------------------------------

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"alert('&amp;')\">{{ 7*7 }}"


def test_hostile_names_are_text(browser: Any, tmp_path: Path) -> None:
    proto = models.conv_net()
    for node in proto.graph.node:
        if node.name == "relu":
            node.name = HOSTILE
    model = load_model(proto)
    samples = models.random_array(1, 2, 1, 8, 6)
    shown = model.view(
        samples,
        sample_names=[HOSTILE] * 2,
        labels=[HOSTILE] * 2,
        row_names=[HOSTILE] * 8,
        column_names=["@layer{safe} $index"] * 6,
        compare=True,
        title=HOSTILE,
    )
    with opened(browser, shown.save(tmp_path / "hostile.html")) as page:
        page.page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
        layer = page.index(HOSTILE)
        page.page.mouse.click(*page.tile_cell(layer, 2, 2))
        page.settle()
        assert page.page.title() == HOSTILE
        assert text(page, "#layer-name") == HOSTILE
        assert HOSTILE in text(page, "#captions p >> nth=1")
        page.page.mouse.move(*page.tile_cell(layer, 3, 3))
        page.page.wait_for_selector(".micam-value")
        said = page.page.locator(".micam-value").all_inner_texts()
        assert said[0] == HOSTILE
        assert said[3:5] == [HOSTILE, "@layer{safe} $index"]
        page.page.keyboard.press("/")
        page.page.keyboard.type("onerror")
        assert suggestions(page) == [HOSTILE]
        page.page.keyboard.press("Escape")
        assert page.page.locator("img").count() == 0


# --- what is not as usual ---------------------------------------------------------------------


def test_layers_that_have_no_numbers_or_do_not_match_say_so(browser: Any, tmp_path: Path) -> None:
    first = load_model(models.conv_net())
    other = load_model(models.single_conv(models.random_array(1, 2, 1, 3, 3), ["N", 1, 8, 6]))
    sample = models.random_array(1, 1, 8, 6)
    bad = np.full((1, 8, 6), np.nan, np.float32)
    pages = [first.explain(sample), other.explain(sample), first.explain(bad)]
    path = View(pages, compare=True).save(tmp_path / "mixed.html")
    with opened(browser, path) as page:
        assert page.ask("micam.state.other") == 1
        conv = page.index("conv")
        assert page.ask(f"micam.labelLines(2, {conv})") == ["B \u2212 A", "A is 8 x 6, B is 6 x 4"]
        relu = page.index("relu")
        assert page.ask(f"micam.labelLines(2, {relu})") == ["B \u2212 A", "only in A"]
        choose_other(page, 2)
        page.settle()
        assert page.ask(f"micam.labelLines(2, {conv})") == ["B \u2212 A", "not finite"]
        assert page.ask("micam.parts.panes[1].hatched.data.left.length") > 0


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_the_first_layer_is_in_the_first_view_however_the_graph_lies(
    browser: Any, tmp_path: Path, page_explanations: list[Explanation], rankdir: str
) -> None:
    path = View(page_explanations[:1], rankdir=rankdir).save(tmp_path / "page.html")
    with opened(browser, path) as page:
        x, y, width, height = page.ask("micam.page.layers[0].box")
        for corner in ((x, y), (x + width, y + height)):
            left, top = page.place(*corner)
            assert 90 < left < 1000
            assert 90 < top < 860
        page.ask("micam.choose(0)")
        onwards, back = ("ArrowDown", "ArrowUp") if rankdir == "TB" else ("ArrowRight", "ArrowLeft")
        page.page.keyboard.press(onwards)
        page.page.keyboard.press(onwards)
        page.page.keyboard.press(back)
        assert page.chosen == "conv_1"


def test_an_unmapped_layer_is_a_label(browser: Any, tmp_path: Path) -> None:
    model = load_model(models.conv_net(), layers=["conv", "pool"])
    found = model.explain(models.random_array(1, 1, 8, 6))
    with opened(browser, found.save(tmp_path / "some.html", look="flat")) as page:
        assert len(page.ask("micam.order")) == 2
        page.ask(f"micam.choose({page.index('relu')})")
        assert text(page, "#label").splitlines()[0] == "Relu"


def test_a_module_is_a_node_and_an_edge_counts_what_is_not_drawn(
    browser: Any, tmp_path: Path
) -> None:
    model = load_model(models.module_net(), layers=["stem", "body.1.*", "head"])
    found = model.explain(models.random_array(1, 4, 8, 6))
    path = found.save(tmp_path / "some.html", look="flat", depth=2, only_mapped=True)
    with opened(browser, path) as page:
        assert page.ask("micam.page.layers.map(({ name }) => name)") == ["stem", "body.1", "head"]
        assert page.ask("micam.parts.panes[0].edgeGlyph.text_alpha.value") == 1
        assert not page.ask("micam.isInput(0)")
        page.ask(f"micam.choose({page.index('body.1')})")
        assert text(page, "#label").splitlines()[:4] == [
            "module",
            "O: (None, 4, 8, 6)",
            "3 layers",
            "map of body.1.add",
        ]


def test_maps_of_one_row_are_seen(browser: Any, tmp_path: Path) -> None:
    kernel = models.random_array(1, 3, 2, 3)
    model = load_model(models.single_conv(kernel, ["N", 2, 40]))
    shown = model.view(models.random_array(2, 2, 2, 40))
    with opened(browser, shown.save(tmp_path / "strip.html")) as page:
        page.page.get_by_role("button", name="isometric").click()
        page.settle()
        assert page.ask("micam.parts.panes[0].squares.data.x.length") > 0
        assert page.ask("micam.shownFeatures.length") > 0


def test_a_map_that_hardly_varies_is_grey_and_shows_its_value(browser: Any, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["mul"], name="none"),
        helper.make_node("Add", ["mul", "three"], ["out"], name="constant"),
    ]
    held = {"zero": np.zeros(1, np.float32), "three": np.full(1, 3.25, np.float32)}
    model = load_model(models.make_model(nodes, {"x": ["N", 2, 8, 6]}, ["out"], held))
    shown = model.view(models.random_array(1, 2, 2, 8, 6))
    grey = "new Set(micam.paint(0, {}).bytes)"
    with opened(browser, shown.save(tmp_path / "constant.html")) as page:
        page.page.get_by_role("button", name="isometric").click()
        page.ask("micam.lookAt(300, 400, 1)")
        page.settle()
        for name in ("none", "constant"):
            assert page.ask(f"[...{grey.format(page.index(name))}]") == [200, 255]
        written = page.ask("micam.parts.panes[0].lines.data.text")
        assert {"0", "3.25"} < set(written)
        assert any(each.endswith("all zero") for each in written)
        assert any(each.endswith("hardly varies") for each in written)
        drawn = set(page.ask("[...micam.parts.panes[0].squares.data.layer]"))
        assert drawn == {page.index("x")}
        # Compared with another sample, both are on one scale, in colours.
        choose_other(page, 1)
        page.page.get_by_role("button", name="±").click()
        page.settle()
        assert page.ask(f"{grey.format(page.index('constant'))}.size") > 2


@pytest.mark.parametrize(("size", "grid"), [((12, 500), (24, 64)), ((60, 1), (60, 24))])
def test_rows_of_narrow_maps_stay_apart(
    size: tuple[int, int], grid: tuple[int, int], browser: Any, tmp_path: Path
) -> None:
    kernel = models.random_array(1, 3, 2, 1, 1)
    model = load_model(models.single_conv(kernel, ["N", 2, *size]))
    shown = model.view(models.random_array(2, 2, 2, *size))
    with opened(browser, shown.save(tmp_path / "narrow.html")) as page:
        isometric = page.ask("micam.page.isometric")
        assert (isometric["rows"], isometric["columns"]) == grid
        page.ask(f"micam.choose({page.index('conv')})")
        page.settle()
        for source in ("maps", "features"):
            for side in ("dw", "dh"):
                assert min(page.ask(f"[...micam.parts.{source}.data.{side}]")) >= 18


def test_a_note_on_the_model_stands_above_the_graph(
    browser: Any, still: Driven, tmp_path: Path
) -> None:
    explanation = load_model(models.folded_net()).explain(models.random_array(1, 2, 6, 6))
    with opened(browser, View([explanation]).save(tmp_path / "folded.html")) as page:
        assert text(page, "#notes") == f"note: {explanation.notes[0]}"
        fits = page.ask("document.documentElement.scrollWidth <= innerWidth")
        assert fits
        box = page.page.locator("#notes").bounding_box()
        assert box is not None
        assert box["height"] < 45
    assert not still.page.locator("#notes").is_visible()

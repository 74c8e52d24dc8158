"""The interactive page's numbers and colours in a real browser: those of the diagram."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast import Explanation
from micam_fast._loops.colours import colour_maps
from micam_fast.maps.sample_maps import lift_ranges
from micam_fast.maps.signed_palette import paint_diverging
from tests.helpers import models
from tests.helpers.browser import Driven, over_white, text


def painted(page: Driven, call: str, values: NDArray[np.float32], *more: Any) -> NDArray[np.uint8]:
    found = page.ask(
        f"([values, more]) => Array.from({call}(new Float32Array(values), ...more))",
        [[float(value) for value in values], list(more)],
    )
    return np.array(found, np.uint8).reshape(-1, 4)


def test_every_tile_has_the_bytes_of_the_diagram(
    still: Driven, page_explanations: list[Explanation]
) -> None:
    for number, explanation in enumerate(page_explanations):
        for layer, (name, rgba) in enumerate(explanation.rgba.items()):
            found = still.ask(
                "([sample, layer]) => { const map = micam.map(sample, layer); let text = '';"
                " for (const byte of micam.paintRgba(map.values, map.range,"
                " micam.page.samples[sample].range)) text += String.fromCharCode(byte);"
                " return btoa(text); }",
                [number, layer],
            )
            assert base64.b64decode(found) == rgba.tobytes(), name


@pytest.mark.parametrize(
    "values",
    [[0, 0, 0], [3, 3], [-2.5, -2.5], [-1, 0.3, 2], [-5, -4.9], [1e-38, 3e38], [7, 7.01, -1e-7]],
    ids=str,
)
def test_colours_follow_the_formulas_at_their_edges(still: Driven, values: list[float]) -> None:
    cells = np.array(values, np.float32)
    ranges = lift_ranges(np.array([[cells.min(), cells.max()]], np.float64))
    least, most = min(0.0, float(cells.min())), max(0.0, float(cells.max()))
    expected = np.empty((len(cells), 4), np.uint8)
    whole = np.array([[0, len(cells)]], np.int64)
    colour_maps(whole, cells, ranges, least, most, expected)
    found = painted(still, "micam.paintRgba", cells, ranges[0].tolist(), [least, most])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bound", [0.0, 0.7, 4.0])
def test_signed_values_have_the_palette_of_the_diagrams(still: Driven, bound: float) -> None:
    values = models.random_array(3, 500, spread=2)
    expected = paint_diverging(values, bound)
    found = painted(still, "micam.paintDiverging", values, bound)
    np.testing.assert_array_equal(found, expected)


def test_the_screen_shows_the_tile(still: Driven, page_explanations: list[Explanation]) -> None:
    layer = still.index("conv_1")
    for row, column in ((4, 4), (14, 13), (20, 20)):
        shown = still.pixel(*still.tile_cell(layer, row, column))
        wanted = over_white(page_explanations[0].rgba["conv_1"][row, column])
        np.testing.assert_allclose(shown, wanted, atol=2)


@pytest.mark.parametrize("channel", range(4))
def test_a_plain_channel_is_grey(
    page: Driven, page_explanations: list[Explanation], channel: int
) -> None:
    page.page.get_by_role("button", name="RGBA"[channel], exact=True).click()
    page.settle()
    layer = page.index("conv_1")
    shown = page.pixel(*page.tile_cell(layer, 14, 13))
    assert (shown == page_explanations[0].rgba["conv_1"][14, 13, channel]).all()


def test_the_diverging_map_is_symmetric_about_zero(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    page.page.get_by_role("button", name="\u00b1").click()
    page.settle()
    cam = page_explanations[0].cams["conv_1"]
    wanted = paint_diverging(cam, float(np.abs(cam).max()))
    for row, column in ((4, 4), (14, 13)):
        shown = page.pixel(*page.tile_cell(page.index("conv_1"), row, column))
        assert (shown == wanted[row, column, :3]).all()


def test_isometric_squares_are_those_of_the_published_look(
    page: Driven, page_explanations: list[Explanation]
) -> None:
    page.page.get_by_role("button", name="isometric").click()
    page.settle()
    layer = page.index("conv_1")
    assert layer in page.ask("micam.isometricLayers()")
    found = page.ask(
        "(layer) => { const data = micam.parts.panes[0].squares.data; return"
        " Array.from(data.layer).map((of, i) => [of, data.cell[i], data.side[i]])"
        ".filter(([of]) => of === layer); }",
        layer,
    )
    rgba = page_explanations[0].rgba["conv_1"].reshape(-1, 4)
    full = 5 * np.log(10 * (layer + 1)) * (150 / 72) ** 2
    wanted = []
    for cell, (_, _, blue, alpha) in enumerate(rgba.tolist()):
        if round(alpha * blue / 255) < 255:
            wanted.append((layer, cell, np.sqrt(full / 16)))
        if blue and alpha:
            wanted.append((layer, cell, np.sqrt(full * blue / 255)))
    assert [tuple(row[:2]) for row in found] == [row[:2] for row in wanted]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in wanted])
    assert "isometric: the" in text(page, "#legend")

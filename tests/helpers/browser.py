"""A page in the system's Chromium, offline, with everything that it said and asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
OPEN = "document.documentElement.dataset.micam === 'open' && Bokeh.documents[0].is_idle"
# Two frames of the screen: what was asked for before is painted then.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser found on PATH, never a download; without one the test is skipped."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no browser: 'chromium' is not on PATH")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Driven:
    """An open page.

    Attributes
    ----------
    page
        Playwright's.
    complaints
        Errors and warnings so far.
    requests
        Addresses that it asked for.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ask(self, expression: str, *given: Any) -> Any:
        """The value of a script's expression, or of a function called with what is given."""
        return self.page.evaluate(expression, *given)

    def settle(self) -> None:
        """Wait until all that was asked for is drawn."""
        self.page.wait_for_function(OPEN)
        self.ask(PAINTED)

    def place(self, x: float, y: float, pane: int = 0) -> tuple[float, float]:
        """Screen position of a place in the graph."""
        left, top, right, bottom = self.ask(
            "(pane) => { const box = Bokeh.index.find_one(micam.parts.panes[pane].figure).el"
            ".getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; }",
            pane,
        )
        x0, x1, y0, y1 = self.ask(
            "[micam.parts.xRange.start, micam.parts.xRange.end,"
            " micam.parts.yRange.end, micam.parts.yRange.start]"
        )
        return (
            left + (x - x0) / (x1 - x0) * (right - left),
            top + (y - y0) / (y1 - y0) * (bottom - top),
        )

    def tile_cell(self, layer: int, row: int, column: int, pane: int = 0) -> tuple[float, float]:
        """Screen position of the middle of a cell of a layer's flat tile."""
        x, y, width, height, rows, columns = self.ask(
            "([layer, pane]) => { const map = micam.shownMap(pane, layer), place ="
            " micam.tilePlace(map, layer); return [place.x, place.y, place.width, place.height,"
            " map.rows, map.columns]; }",
            [layer, pane],
        )
        return self.place(
            x + (column + 0.5) / columns * width, y + (row + 0.5) / rows * height, pane
        )

    def pixel(self, x: float, y: float) -> NDArray[np.int64]:
        """The colour ``(3,)`` that the screen shows."""
        with Image.open(BytesIO(self.page.screenshot())) as picture:
            return np.array(picture.convert("RGB").getpixel((int(x), int(y))))

    def index(self, layer: str) -> int:
        """A layer's number."""
        return int(self.ask("(name) => micam.page.layers.findIndex((l) => l.name === name)", layer))

    @property
    def chosen(self) -> str | None:
        """The name of the layer that is chosen."""
        found: str | None = self.ask("micam.page.layers[micam.state.layer]?.name ?? null")
        return found


@contextmanager
def opened(browser: Any, path: Path) -> Iterator[Driven]:
    """Open a page offline with an empty profile; in the end it must have been quiet."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_offline(True)
    context.set_default_timeout(10_000)
    driven = Driven(context.new_page())
    driven.page.on("request", lambda request: driven.requests.append(request.url))
    driven.page.on("pageerror", lambda error: driven.complaints.append(str(error)))
    driven.page.on(
        "console",
        lambda said: (
            driven.complaints.append(said.text) if said.type in ("error", "warning") else None
        ),
    )
    driven.page.goto(path.as_uri())
    driven.settle()
    yield driven
    assert driven.complaints == []
    assert [url for url in driven.requests if not url.startswith("file://")] == []
    context.close()


@contextmanager
def shown(browser: Any, path: Path, width: int, height: int) -> Iterator[Any]:
    """Any file open offline in a window of this size: Playwright's page."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_offline(True)
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    context.close()


def screen(page: Any) -> NDArray[np.uint8]:
    """What a page shows, ``(height, width, 3)``."""
    with Image.open(BytesIO(page.screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def text(page: Driven, selector: str) -> str:
    found: str = page.page.inner_text(selector)
    return found


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.float64]:
    alpha = rgba[3] / 255
    return np.asarray(rgba[:3] * alpha + 255 * (1 - alpha))

"""Renew the pictures of the demo that the README shows; ``tests/whole/test_golden.py`` guards them.

Run it after a wanted change of the look, with the locked versions, and look at what it made. The
page needs chromium on PATH.

    .cache/test/bin/python tools/renew_pictures.py
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import micam_fast
from micam_fast.demo import DIGITS, MODEL

PICTURES = Path(__file__).parent / "pictures"
DIGIT, OTHER_DIGIT = 3, 8


def main() -> None:
    """Write the demo's picture of one digit, in both looks, and the page that compares two."""
    model = micam_fast.load_model(MODEL)
    draw_diagrams(model)
    photograph_page(model)


def draw_diagrams(model: micam_fast.Model) -> None:
    """One digit in both looks."""
    # As `micam-fast demo` draws it.
    explanation = replace(
        model.explain(np.load(DIGITS)[DIGIT]), sample=f"digits.npy[{DIGIT}]", label=str(DIGIT)
    )
    for look in ("isometric", "flat"):
        print(explanation.save(PICTURES / f"demo-digit-{DIGIT}-{look}.png", look))


def photograph_page(model: micam_fast.Model) -> None:
    """The page of two digits side by side, as chromium shows it."""
    digits = np.load(DIGITS)[[DIGIT, OTHER_DIGIT]]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        names = [f"digit {DIGIT}", f"digit {OTHER_DIGIT}"]
        view = model.view(digits, sample_names=names, compare=True)
        page = view.save(Path(folder) / "page.html")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(page.as_uri(), wait_until="networkidle")
        layer = [each.name for each in model.layers].index("conv_1")
        tab.evaluate(f"micam.choose({layer}, false)")
        tab.wait_for_timeout(1000)
        target = PICTURES / "page-two-digits.png"
        tab.screenshot(path=target)
        browser.close()
    print(target)


if __name__ == "__main__":
    main()

"""The demo's pictures, which the README shows, are what the demo model draws today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import micam_fast
from micam_fast.demo import DIGITS, MODEL
from tests.helpers.places import ROOT

PICTURES = ROOT / "tools" / "pictures"


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_pictures_are_as_they_were(look: Literal["isometric", "flat"], tmp_path: Path) -> None:
    """To a level of 255 for other processors' rounding; ``tools/renew_pictures.py`` renews them."""
    explanation = replace(
        micam_fast.explain(MODEL, np.load(DIGITS)[3]), sample="digits.npy[3]", label="3"
    )
    path = explanation.save(tmp_path / "now.png", look)
    with Image.open(path) as now, Image.open(PICTURES / f"demo-digit-3-{look}.png") as golden:
        assert now.size == golden.size
        difference = np.abs(np.asarray(now, int) - np.asarray(golden, int))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 1e-3

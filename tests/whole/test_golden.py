"""The pictures in the README are what the demo model draws today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import micam_fast
from micam_fast import cli
from micam_fast.demo import DIGITS, MODEL
from tests.helpers.commands import only, succeeded
from tests.helpers.places import ROOT

PICTURES = ROOT / "tools" / "pictures"


def assert_as_it_was(path: Path, look: str) -> None:
    """To two levels of 255 for other processors' rounding.

    ``tools/renew_pictures.py`` renews the pictures.
    """
    with Image.open(path) as now, Image.open(PICTURES / f"demo-digit-3-{look}.png") as golden:
        assert now.size == golden.size
        difference = np.abs(np.asarray(now, int) - np.asarray(golden, int))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_pictures_are_as_they_were(look: Literal["isometric", "flat"], tmp_path: Path) -> None:
    explanation = replace(
        micam_fast.explain(MODEL, np.load(DIGITS)[3]), sample="digits.npy[3]", label="3"
    )
    assert_as_it_was(explanation.save(tmp_path / "now.png", look), look)


def test_the_published_look_from_end_to_end(tmp_path: Path) -> None:
    """The command ``demo``: from the model's file to the picture, in the published look."""
    succeeded(CliRunner().invoke(cli.main, ["demo", "--output-dir", str(tmp_path)]))
    assert_as_it_was(only(tmp_path, "*_sample-3_*.png"), "isometric")

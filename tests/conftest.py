"""Fixtures that several test files share."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from micam_fast import Explanation, Model, demo, load_model
from micam_fast.layout import find_engine

# --- The drawing side -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def demo_model() -> Model:
    """The demo CNN, all layers mapped."""
    return load_model(demo.MODEL)


@pytest.fixture(scope="session")
def demo_explanation(demo_model: Model) -> Explanation:
    """The demo's digit 3, with what a header can say."""
    found = demo_model.explain(np.load(demo.DIGITS)[3])
    return dataclasses.replace(found, sample="digit_3.png", label="3")


@pytest.fixture(params=["graphviz-pure", "dot"])
def any_engine(request: pytest.FixtureRequest) -> Path:
    """Each Graphviz program of this machine."""
    if request.param == "graphviz-pure":
        return find_engine()
    system = shutil.which("dot")
    if system is None:
        pytest.skip("no system Graphviz: 'dot' is not on PATH")
    return Path(system)

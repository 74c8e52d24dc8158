"""The interactive page of a large model: how large the file is, how soon it is open."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import onnx
import pytest

from micam_fast import load_model
from micam_fast.viewer import View
from tests.helpers import models
from tests.helpers.browser import OPEN, PAINTED


def chain(count: int) -> onnx.ModelProto:
    """So many layers on 112 x 112, 56 x 56 ... pixels, about as DenseNet-121 has at 224 x 224."""
    nodes, last, channels = [], "x", 4
    halve = {5, 20, 80, 200}
    for place in range(count - 1):
        name = f"layer_{place}"
        if place in halve:
            nodes.append(
                onnx.helper.make_node(
                    "MaxPool", [last], [name], name=name, kernel_shape=[2, 2], strides=[2, 2]
                )
            )
        elif place % 3:
            nodes.append(onnx.helper.make_node("Sigmoid", [last], [name], name=name))
        else:
            nodes.append(
                onnx.helper.make_node("Conv", [last, "w"], [name], name=name, pads=[1, 1, 1, 1])
            )
        last = name
    kernel = models.random_array(1, channels, channels, 3, 3, spread=0.3)
    return models.make_model(
        nodes, {"x": ["N", channels, 112, 112]}, [last], {"w": kernel}, name="chain"
    )


@pytest.mark.slow
def test_430_layers_of_16_samples_open_in_time(browser: Any, tmp_path: Path) -> None:
    model = load_model(chain(430))
    found = list(model.explain_many(models.random_array(2, 16, 4, 112, 112)))
    path = View(found).save(tmp_path / "large.html")
    cells = sum(cam.size for each in found for cam in each.cams.values())
    assert len(found[0].maps) == 430
    assert path.stat().st_size < 60e6
    # The page is the maps, base64, and little more.
    assert path.stat().st_size < 4 * cells * 4 / 3 + 10e6
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function(OPEN)
    page.evaluate(PAINTED)
    seconds = time.perf_counter() - begin
    assert page.evaluate("micam.parts.panes[0].tiles.data.image.length") == 430
    print(f"{path.stat().st_size / 1e6:.1f} MB opened in {seconds:.2f} s")
    assert seconds < 5
    context.close()

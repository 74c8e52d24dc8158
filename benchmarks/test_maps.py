"""What maps cost beside the least they could: one read of the activations, one forward pass.

Run with ``.cache/test/bin/python -m pytest benchmarks --benchmark-enable
--benchmark-group-by=group`` on an otherwise idle machine. Outputs are checked before anything is
timed; models, seeds and sizes stand in this file.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import micam_fast
from micam_fast.layers import Axes, Geometry, Tap
from micam_fast.maps import MapPlan
from micam_fast.projections import sum_kernel
from tests import reference

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SHAPE = (1, 64, 224, 224)


@pytest.fixture(scope="module")
def activation() -> Any:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.benchmark(group="one activation of 64 x 224 x 224, one thread")
def test_sum_of_the_activation(benchmark: Any, activation: Any) -> None:
    benchmark(np.sum, activation)


@pytest.mark.benchmark(group="one activation of 64 x 224 x 224, one thread")
@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_map(benchmark: Any, activation: Any, size: int) -> None:
    kernel = np.random.default_rng(1).standard_normal((64, 1, size, size)).astype(np.float32)
    geometry = Geometry(False, (1, 1), (1, 1), (0,) * 4, 64)
    tap = Tap("v", Axes(0, 1), "channels", geometry, "v")
    plan = MapPlan(
        {"conv": tap},
        {"v": SHAPE},
        {"v": 0},
        batch_size=1,
        batch_axes={"v": 0},
        input_size=(224, 224),
        weigh=lambda name: sum_kernel(kernel, None, geometry),
        projection="published",
    )
    with ThreadPoolExecutor(1) as pool:
        arena = activation.reshape(-1)
        found = plan.project(arena, {"v": activation}, pool, 1).values.reshape(224, 224)
        expected = reference.published_conv(
            np.moveaxis(activation[0], 0, -1), np.moveaxis(kernel, (0, 1), (-1, -2)), None
        )
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        benchmark(plan.project, arena, {"v": activation}, pool, 1)


@pytest.fixture(scope="module", params=["resnet50", "densenet121"])
def model(request: Any) -> Any:
    return LIGHT / f"light_{request.param}.onnx"


@pytest.mark.benchmark(group="a sample of 3 x 224 x 224, all cores")
@pytest.mark.parametrize("way", ["forward pass", "maps", "svg, flat"])
def test_a_sample(benchmark: Any, model: Path, way: str, tmp_path: Path) -> None:
    sample = np.random.default_rng(2).random((3, 224, 224), np.float32)
    session = onnxruntime.InferenceSession(str(model))
    feed = {session.get_inputs()[0].name: sample[np.newaxis]}
    loaded = micam_fast.load_model(model)
    (expected,) = session.run(None, feed)
    output = loaded.explain(sample).output
    assert output is not None
    np.testing.assert_allclose(output, expected[0], rtol=1e-3, atol=1e-6)
    ways: dict[str, Callable[[], object]] = {
        "forward pass": lambda: session.run(None, feed),
        "maps": lambda: loaded.explain(sample),
        "svg, flat": lambda: loaded.explain(sample).save(tmp_path / "net.svg", "flat"),
    }
    benchmark.extra_info["model"] = model.stem
    benchmark(ways[way])

"""What the tools that look closer cost, beside a pass that gives out all activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from benchmarks.activations import Array
from benchmarks.cases import DEMO_CASE, THREADS, choose_case, describe, show_model
from benchmarks.models import make_samples, model_path
from micam_fast.analyses.features.features import FeatureFinder
from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import LayerActivation
from micam_fast.viewer import View

TABLE = "looking"
CASES = [DEMO_CASE, ("resnet18", 75), ("ResNet50", 224), ("DenseNet121", 224)]
COUNT, SMALL_COUNT = 16, 3
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: show_model(*case))


class Case:
    """A model with its samples."""

    def __init__(self, benchmark: Any, case: tuple[str, int]) -> None:
        choose_case(benchmark, case)
        self._benchmark, self._name = benchmark, show_model(*case)
        path = model_path(*case)
        self.samples: Array = make_samples(path, SMALL_COUNT if case == DEMO_CASE else COUNT)
        self.model = micam_fast.load_model(path, threads=THREADS)

    def explain(self) -> list[Explanation]:
        return list(self.model.explain_many(self.samples))

    def time(self, what: str, run: Callable[[], object], *, units: int = 0, **more: Any) -> None:
        """Time what was checked; the first run has warmed it up."""
        describe(
            self._benchmark, TABLE, what, self._name, units=units or len(self.samples),
            threads=THREADS, **more,
        )  # fmt: skip
        self._benchmark.pedantic(run, rounds=3)


@EACH
def test_activations(benchmark: Any, case: tuple[str, int]) -> None:
    of = Case(benchmark, case)

    def count(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> int:
        assert not isinstance(found, SampleError)
        return sum(each.array.size for each in found)

    (first, *others) = of.model.activations(of.samples, count)
    assert not isinstance(first, SampleError)
    maps = of.explain()[0].maps.values()
    assert first == sum(math.prod(size or 1 for size in each.shape) for each in maps)
    assert set(others) == {first}
    of.time(
        "all activations", lambda: list(of.model.activations(of.samples, count)),
        activations_mb=round(4 * first / 1e6, 1),
    )  # fmt: skip


@EACH
@pytest.mark.parametrize("positions", [0, 64, None], ids=lambda n: f"{n} positions")
def test_stats(benchmark: Any, case: tuple[str, int], positions: int | None) -> None:
    of = Case(benchmark, case)
    what = "stats, effective rank of all positions"
    if positions is not None:
        what = f"stats, effective rank of {positions} positions"
    if positions == 0:
        what = "stats, no effective rank"

    def measure() -> micam_fast.Statistics:
        return micam_fast.stats(of.model, of.samples, positions=positions)

    found = measure()
    row = found.of(of.model.layers[0].name)
    assert row.mean == pytest.approx(of.samples.mean(dtype=np.float64), rel=1e-6, abs=1e-9)
    assert row.deviation == pytest.approx(of.samples.std(dtype=np.float64), rel=1e-6)
    of.time(what, measure)


@EACH
def test_page(benchmark: Any, case: tuple[str, int], tmp_path: Path) -> None:
    of = Case(benchmark, case)
    explanations = of.explain()
    page = View(explanations).save(tmp_path / "page.html")
    size = page.stat().st_size
    cells = sum(cam.size for cam in explanations[0].cams.values())
    # Four bytes a cell, at most a third more in base64, and Bokeh itself.
    assert 3 * cells * len(of.samples) < size < 6 * cells * len(of.samples) + 10e6
    of.time(
        "page, maps there", lambda: View(explanations).save(tmp_path / "page.html"),
        megabytes=round(size / 1e6, 1), layers=len(of.model.layers),
    )  # fmt: skip


@EACH
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_diff(benchmark: Any, case: tuple[str, int], kind: str, tmp_path: Path) -> None:
    of = Case(benchmark, case)
    first, second = of.explain()[:2]

    def compare() -> Path:
        return micam_fast.diff(first, second).save(tmp_path / f"diff.{kind}", scale_tiles=0.5)

    change = micam_fast.diff(first, second).layers[of.model.layers[0].name]
    assert change.difference is not None
    expected: Array = second.cams[change.layer.name] - first.cams[change.layer.name]
    np.testing.assert_allclose(change.difference, expected, atol=1e-6)
    size = compare().stat().st_size
    of.time(f"diff, {kind.upper()}, maps there", compare, units=1, megabytes=round(size / 1e6, 1))


@EACH
def test_features(benchmark: Any, case: tuple[str, int]) -> None:
    of = Case(benchmark, case)
    explanation = of.explain()[0]
    sample = of.samples[0]

    def follow() -> tuple[micam_fast.Feature, ...]:
        return FeatureFinder(of.model).find(explanation, sample, top=3)

    found = follow()
    spatial = {name for name, each in explanation.maps.items() if not each.flat}
    assert {each.layer for each in found} == spatial
    of.time("features, fields included, maps there", follow, units=1, features=len(found))

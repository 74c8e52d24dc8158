"""The model's own forward pass, and what the maps of all layers take beside it.

The forward pass is ONNX Runtime on a model whose only output is its prediction, so that it may fuse
and reuse memory as it likes. Of the batches, the fastest is what others are divided by.
"""

from __future__ import annotations

import gc
import itertools
from collections import deque
from typing import Any

import numpy as np
import pytest

import micam_fast
from benchmarks.activations import Tapped, check_cams, open_session
from benchmarks.cases import BATCH, DEMO_CASE, THREADS, choose_case, describe, show_model
from benchmarks.models import make_samples, model_path, untapped

TABLE = "forward"
NAMES = ("lenet5", "resnet18", "MobileNet", "ResNet50", "DenseNet121")
CASES = [DEMO_CASE, *itertools.product(NAMES, (75, 224))]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: show_model(*case))


@pytest.fixture(autouse=True)
def _free_memory(benchmark: Any) -> Any:
    """A batch of DenseNet-121 at 224 x 224 has 6 GB of activations."""
    yield
    if benchmark.enabled:
        gc.collect()


@cases
@pytest.mark.parametrize("batch", [1, 8, BATCH])
def test_forward(benchmark: Any, case: tuple[str, int], batch: int) -> None:
    choose_case(benchmark, case)
    path = model_path(*case)
    samples = make_samples(path, batch)
    session = open_session(untapped(path))
    feed = {session.get_inputs()[0].name: samples}
    (found,) = session.run(None, feed)
    expected = open_session(path).run(None, {**feed, **dict.fromkeys(feed, samples[-1:])})[0]
    np.testing.assert_allclose(found[-1:], expected, rtol=1e-3, atol=1e-6)
    describe(
        benchmark, TABLE, f"forward pass, batch {batch}", show_model(*case), units=batch,
        batch=batch, threads=THREADS,
    )  # fmt: skip
    rounds = 5 if batch == BATCH else 15
    benchmark.pedantic(session.run, (None, feed), rounds=rounds, warmup_rounds=2)


@cases
@pytest.mark.parametrize("count", [1, BATCH])
def test_maps(benchmark: Any, case: tuple[str, int], count: int) -> None:
    choose_case(benchmark, case)
    path = model_path(*case)
    samples = make_samples(path, count)
    model = micam_fast.load_model(path, threads=THREADS)
    last = deque(model.explain_many(samples), maxlen=1).pop()
    activations = Tapped(path).run(samples[-1:])
    check_cams(last.cams, activations)
    describe(
        benchmark, TABLE, f"maps by explain_many, {count} sample{'s' * (count > 1)}",
        show_model(*case), units=count, threads=THREADS, layers=len(model.layers),
        megabytes_per_sample=round(activations.megabytes, 1),
    )  # fmt: skip
    del last, activations

    def explain() -> None:
        # Nothing is kept but the arrays in hand, as in a loop over a folder.
        deque((dict(each.cams) for each in model.explain_many(samples)), maxlen=1)

    rounds = 5 if count == BATCH else 15
    benchmark.pedantic(explain, rounds=rounds, warmup_rounds=1)

"""Maps by operators in the ONNX graph, beside those of our loops, in time and in memory.

The graph is run as the pipeline runs its own: each of two threads has a batch, a session of one
thread, and memory that is bound once. What is left out speaks for it: planes are not shifted, added
or measured, and nothing is made of them. What is asked: is it faster than `explain_many` all the
same, which gives finished maps, or does it fit where that does not?
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import micam_fast
from benchmarks.activations import Tapped
from benchmarks.cases import (
    BATCH,
    DEMO_CASE,
    THREADS,
    choose_case,
    describe,
    peak_megabytes,
    show_model,
)
from benchmarks.in_graph import InGraph
from benchmarks.models import ROOT, make_samples, model_path
from micam_fast.engine.onnx_runtime import Extractor

NAMES = ("MobileNet", "ResNet50", "DenseNet121")
CASES = [DEMO_CASE, *itertools.product(NAMES, (75, 224))]
OURS = "loops"
WAYS = (OURS, "Conv", "ReduceMean")
# At 224 x 224 the caches are better used by single samples (measured for both ways).
SAMPLES_PER_RUN = {75: 8, 224: 1, 28: 4}
CLOSE = 1e-5


class Runner:
    """Runs the graph with maps at its end, a batch in each thread."""

    def __init__(self, path: Path, means: str, batch: int) -> None:
        self.model, self._batch = InGraph(path, means), batch
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._session = onnxruntime.InferenceSession(
            self.model.content, options, providers=["CPUExecutionProvider"]
        )
        known: dict[Any, Any] = {}
        self._lanes = [
            Extractor(self._session, [self.model.input.name], self.model.values, known)
            for _ in range(THREADS)
        ]

    def maps(self, samples: Any) -> dict[str, Any]:
        """Finished maps of a single sample."""
        arrays = self._lanes[0].run({self.model.input.name: samples}).arrays
        return self.model.finish(arrays, 0)

    def run(self, samples: Any) -> None:
        """Planes of all samples; every thread takes each second batch."""
        batches = [samples[i : i + self._batch] for i in range(0, len(samples), self._batch)]

        def work(lane: int) -> None:
            for batch in batches[lane::THREADS]:
                self._lanes[lane].run({self.model.input.name: batch})

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: show_model(*case))
@pytest.mark.parametrize("way", WAYS)
def test_in_graph(benchmark: Any, case: tuple[str, int], way: str) -> None:
    choose_case(benchmark, case)
    path, batch = model_path(*case), SAMPLES_PER_RUN[case[1]]
    samples = make_samples(path, BATCH)
    what = "maps by our loops"
    if way == OURS:
        model = micam_fast.load_model(path, threads=THREADS)

        def call() -> None:
            deque((dict(e.cams) for e in model.explain_many(samples, batch_size=batch)), maxlen=1)

    else:
        what = f"planes by the graph, means by {way}"
        runner = Runner(path, way, batch)
        check(runner, path, samples[:1])

        def call() -> None:
            runner.run(samples)

    command = [sys.executable, "-m", "benchmarks.test_in_graph", *map(str, case), way]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    describe(
        benchmark, "in graph", what, show_model(*case), units=BATCH, batch=batch, threads=THREADS,
        peak_megabytes=json.loads(said),
    )  # fmt: skip
    benchmark.pedantic(call, rounds=5, warmup_rounds=1)


def check(runner: Runner, path: Path, sample: Any) -> None:
    """Hold the maps against the reference, and that they are those of all spatial layers."""
    maps, activations = runner.maps(sample), Tapped(path).run(sample)
    spatial = {n for n, tap in activations.graph.taps.items() if tap.form == "channels"}
    assert set(maps) >= {n for n in spatial if activations.channels_last(n).ndim == 3} - {
        runner.model.input.name
    }
    for name, found in maps.items():
        expected = activations.expected_cam(name)
        worst = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
        # A map that nearly cancels out cannot be had to 1e-5 in float32, by either way.
        size = np.abs(activations.channels_last(name)).mean()
        assert worst <= CLOSE or np.abs(found - expected).max() <= CLOSE * size, name


def _main() -> None:
    """Print the peak memory of a run in megabytes; arguments: model, size, way."""
    name, size, way = sys.argv[1:]
    path, batch = model_path(name, int(size)), SAMPLES_PER_RUN[int(size)]
    samples = make_samples(path, BATCH)
    if way == OURS:
        model = micam_fast.load_model(path, threads=THREADS)
        deque((dict(e.cams) for e in model.explain_many(samples, batch_size=batch)), maxlen=1)
    else:
        Runner(path, way, batch).run(samples)
    print(peak_megabytes())


if __name__ == "__main__":
    _main()

"""Cost by the number of samples and by the number of layers: seconds of each, and memory."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import micam_fast
from benchmarks.activations import Array, Tapped, check_cams
from benchmarks.cases import BATCH, THREADS, choose_size, describe, peak_megabytes
from benchmarks.models import ROOT, make_chain, make_samples
from micam_fast.demo import DIGITS, MODEL
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions
from micam_fast.samples import Sample

SMALL_COUNT, COUNTS = 3, (10, 100, 1000, 10000)
SMALL_LAYERS, LAYERS = 12, (11, 25, 50, 100, 200, 400)
WAYS = ("maps", "SVG, flat")


def run(model: micam_fast.Model, samples: Iterator[Array], way: str, folder: Path) -> None:
    """Explain samples, or write their diagrams, keeping none."""
    if way == "maps":
        deque((dict(each.cams) for each in model.explain_many(samples)), maxlen=1)
        return
    feed = (Sample(f"{i}.npy", {model.inputs[0].name: each}) for i, each in enumerate(samples))
    plot_samples(model, feed, PlotOptions(folder, formats=("svg",), look="flat"))


def repeat_digits(count: int) -> Iterator[Array]:
    """The demo's ten digits over and over."""
    return itertools.islice(itertools.cycle(np.load(DIGITS)), count)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where diagrams go; 10,000 of them are not kept, as pytest keeps folders of its last runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [SMALL_COUNT, *COUNTS])
def test_samples(benchmark: Any, count: int, way: str, folder: Path) -> None:
    benchmark.group = f"samples: {way}"
    choose_size(benchmark, small=count == SMALL_COUNT)
    model = micam_fast.load_model(MODEL, threads=THREADS)
    last = deque(model.explain_many(repeat_digits(10)), maxlen=1).pop()
    check_cams(last.cams, Tapped(MODEL).run(np.load(DIGITS)[-1:]))
    # Compiled, laid out and batched before; what is written again are files that are there.
    run(model, repeat_digits(BATCH), way, folder)
    # In a process of its own, as peak memory never falls.
    command = [sys.executable, "-m", "benchmarks.test_scaling", str(count), way, str(folder)]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    describe(
        benchmark, "samples", f"{way}, {count} samples", "demo 28x28", units=count,
        threads=THREADS, peak_megabytes=json.loads(said),
    )  # fmt: skip

    def call() -> None:
        run(model, repeat_digits(count), way, folder)

    benchmark.pedantic(call, rounds=max(1, 3000 // count))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layers", [SMALL_LAYERS, *LAYERS])
def test_layers(benchmark: Any, layers: int, way: str, folder: Path) -> None:
    benchmark.group = f"layers: {way}"
    choose_size(benchmark, small=layers == SMALL_LAYERS)
    path = folder / f"chain_{layers}.onnx"
    onnx.save(make_chain(layers), path)
    model = micam_fast.load_model(path, threads=THREADS)
    assert len(model.layers) == layers
    samples = make_samples(path, BATCH)
    last = deque(model.explain_many(samples), maxlen=1).pop()
    check_cams(last.cams, Tapped(path).run(samples[-1:]))

    def call() -> None:
        run(model, iter(samples), way, folder)

    call()
    describe(
        benchmark, "layers", way, f"chain of {layers} layers", units=layers * BATCH,
        samples=BATCH, threads=THREADS,
    )  # fmt: skip
    benchmark.pedantic(call, rounds=5)


def _main() -> None:
    """Print the peak memory of a run in megabytes; arguments: count, way, folder."""
    count, way, folder = sys.argv[1:]
    model = micam_fast.load_model(MODEL, threads=THREADS)
    run(model, repeat_digits(int(count)), way, Path(folder))
    print(peak_megabytes())


if __name__ == "__main__":
    _main()

"""MiCAM diagrams of test samples, by the engine in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.api.loading import load_model
from micam_fast.core.errors import OutputError
from micam_fast.core.output_files import file_stem
from micam_fast.runs.observing import RunObserver
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions, check_output
from micam_fast.runs.summary import RunSummary
from micam_fast.samples import Sample
from micam_fast.training.records import Split

_MIDDLE = 20


def choose_samples(labels: NDArray[np.integer], count: int = 40) -> range:
    """Test samples to draw, as published (SPEC section 6, "Train").

    With ``k = max(first index whose class is not 0, 20)``, the published 40 are ``k - 19`` to
    ``k + 20``; of another count, half lie on each side. What lies outside the data is left out; if
    all of it does, the last samples are taken.

    Parameters
    ----------
    labels
        Classes ``(n,)`` of the test samples, in order.
    count
        How many to choose.
    """
    positive = np.flatnonzero(labels)
    middle = max(int(positive[0]) if len(positive) else 0, _MIDDLE)
    start, stop = middle - (count - 1) // 2, middle + count // 2 + 1
    if start >= len(labels):
        start, stop = len(labels) - count, len(labels)
    return range(max(start, 0), min(stop, len(labels)))


def plot_test_samples(
    model: Path,
    test: Split,
    folder: Path,
    count: int,
    *,
    observers: Sequence[RunObserver] = (),
    say: Callable[[str], None] = lambda note: None,
) -> tuple[PlotOptions, RunSummary]:
    """Write diagrams of the chosen test samples; those of the same model are replaced.

    They are PNG files, or SVG where the network is so large that no viewer would open the PNG;
    `say` is told so, and what there is to tell of the model. The ONNX model takes samples as they
    are in the records. The result says how the diagrams were written, for `cli.progress.report`,
    and what was written.

    Raises
    ------
    LayoutEngineError, OutputError
        As `micam_fast.runs.plotting.plot_samples` does.
    """
    opened = load_model(model, say=say)
    chosen = choose_samples(test.labels, count)
    (spec,) = opened.inputs

    def samples() -> Iterator[Sample]:
        found = test.samples(chosen.start, chosen.stop)
        for index, (array, _) in zip(chosen, found, strict=True):
            yield Sample(f"test sample {index}", {spec.name: array})

    options = PlotOptions(folder, drawing="diagram")
    try:
        check_output(opened, options)
    except OutputError as error:
        # Hundreds of layers one above the other; a folder that cannot be written fails again.
        options = replace(options, formats=("svg",))
        say(f"diagrams are written as SVG: {error}")
    # The prediction is part of a file's name: a continued training would leave its old ones.
    for old in folder.glob(f"{file_stem(opened.name)}_sample-*"):
        old.unlink()
    labels = [str(label) for label in test.labels[chosen.start : chosen.stop]]
    summary = plot_samples(opened, samples(), options, labels=labels, observers=observers)
    return options, summary

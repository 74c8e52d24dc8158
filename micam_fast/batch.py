"""Many samples to files: what ``micam-fast plot`` and ``micam-fast demo`` do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micam_fast.choices import Look, Projection
from micam_fast.errors import MicamError, SampleError
from micam_fast.files import check_folder, file_stem, make_folder
from micam_fast.samples import Sample
from micam_fast.saving import check_png_size, save, save_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from micam_fast.explanation import Explanation
    from micam_fast.model import Model


@dataclass(frozen=True)
class PlotOptions:
    """What to write for each sample, and how it looks."""

    folder: Path
    formats: tuple[str, ...] = ("png",)
    look: Look = "isometric"
    projection: Projection = "published"
    rankdir: str = "TB"
    batch_size: int | None = None
    scale_tiles: float = 1.0


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    written
        File names by sample index.
    failed
        Index, name and reason of the samples that were skipped.
    seconds
        By stage.
    """

    written: dict[int, list[Path]] = field(default_factory=dict)
    failed: list[tuple[int, str, SampleError]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that passes within to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def plot_samples(
    model: Model,
    samples: Iterable[Sample],
    options: PlotOptions,
    *,
    labels: Sequence[str] = (),
    summary: Summary | None = None,
    done: Callable[[int, str, Sequence[Path] | SampleError], None] = lambda *_: None,
    say: Callable[[str], None] = lambda note: None,
) -> Summary:
    """Explain samples and write a set of files for each.

    Parameters
    ----------
    model
        The model.
    samples
        In the order of their index; one with an error is reported and skipped.
    options
        Formats and look.
    labels
        Known label of sample i, as far as there are any.
    summary
        To go on with; a new one by default.
    done
        Is told index, name and files (or the error) of each sample.
    say
        Is told what a user should know of a sample that was written all the same.

    Raises
    ------
    OutputError
        If a file cannot be written, or a PNG would be too large for viewers.
    """
    summary = Summary() if summary is None else summary
    with summary.stage("lay out"):
        check_output(model, options)
    waiting: deque[tuple[int, Sample]] = deque()

    def fail(index: int, name: str, error: SampleError) -> None:
        summary.failed.append((index, name, error))
        done(index, name, error)

    def feed() -> Iterator[Mapping[str, NDArray[Any]]]:
        for index, sample in enumerate(samples):
            if sample.error is not None:
                fail(index, sample.name, sample.error)
                continue
            waiting.append((index, sample))
            yield sample.arrays

    results = model.explain_each(
        feed(), batch_size=options.batch_size, projection=options.projection
    )
    while True:
        with summary.stage("read and explain"):
            found = next(results, None)
        if found is None:
            return summary
        index, sample = waiting.popleft()
        if isinstance(found, SampleError):
            fail(index, sample.name, found)
            continue
        label = (labels[index] if index < len(labels) else "") or None
        named = replace(found, sample=sample.name, label=label)
        summary.written[index] = _write(named, index, options, summary)
        done(index, sample.name, summary.written[index])
        bad = sum(each.bad_values is not None for each in found.maps.values())
        if bad:
            say(
                f"sample {index} ({sample.name}): {bad} of {len(found.maps)} layers are not finite "
                "and drawn hatched"
            )


def check_output(model: Model, options: PlotOptions) -> None:
    """Find out before the first sample what would stop every one; nothing is written.

    Raises
    ------
    LayoutEngineError
        If a diagram is asked for and Graphviz cannot lay it out.
    OutputError
        If the folder cannot be written, or a PNG would be too large for viewers.
    """
    check_folder(options.folder)
    if {"png", "svg", "pdf"} & set(options.formats):
        layout = model.scene.layout(model.mapped, options.rankdir)
        if "png" in options.formats:
            check_png_size(layout, [model.name], options.scale_tiles)


def sample_stem(explanation: Explanation, index: int) -> str:
    """File name without suffix: model, index, label if known, prediction if there is one."""
    parts = [file_stem(explanation.scene.model), f"sample-{index}"]
    if explanation.label is not None:
        parts.append(f"label-{file_stem(explanation.label)}")
    if explanation.prediction is not None:
        found = explanation.prediction
        parts.append(f"pred-{found.index}-{found.probability:.4f}")
    return "_".join(parts)


def _write(
    explanation: Explanation, index: int, options: PlotOptions, summary: Summary
) -> list[Path]:
    make_folder(options.folder)
    stem = sample_stem(explanation, index)
    paths = []
    for name in options.formats:
        with summary.stage(f"write {name}"):
            if name == "tiles":
                folder = options.folder / f"{stem}_tiles"
                paths.append(save_tiles(explanation, folder, options.look, options.scale_tiles))
            else:
                path = options.folder / f"{stem}.{name}"
                save(explanation, path, options.look, options.rankdir, options.scale_tiles)
                paths.append(path)
    return paths


def exit_code(summary: Summary, error: MicamError | None = None) -> int:
    """0 if all samples were written, 1 if some failed, 2 if none was written."""
    if not summary.written:
        return 2
    return 1 if summary.failed or error is not None else 0

"""Many samples to files: what ``micam-fast plot`` and ``micam-fast demo`` do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micam_fast.choices import Look, Projection
from micam_fast.composition import diagram_size
from micam_fast.errors import MicamError, SampleError
from micam_fast.files import check_folder, file_stem, make_folder
from micam_fast.samples import Sample
from micam_fast.saving import Style, check_png_size, save, save_tiles
from micam_fast.stages import Stages

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
    compress_level: int = 1

    @property
    def style(self) -> Style:
        """The part that says how a diagram looks."""
        return Style(self.look, self.rankdir, self.scale_tiles, self.compress_level)


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    written
        File names by sample index.
    failed
        Index, name and reason of the samples that were skipped.
    stages
        How long things took.
    """

    written: dict[int, list[Path]] = field(default_factory=dict)
    failed: list[tuple[int, str, SampleError]] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)


@dataclass(frozen=True)
class _Outcome:
    """What became of a sample: its files, or why there are none."""

    name: str
    paths: list[Path]
    bad_layers: int = 0
    layers: int = 0
    error: SampleError | None = None


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
    """Explain samples and write a set of files for each; a sample is one thread's from end to end.

    Parameters
    ----------
    model
        The model.
    samples
        In the order of their index; one with an error is reported and skipped.
    options
        Formats and look.
    labels
        Known label of sample i, as far as there are any; without labels each sample's own.
    summary
        To go on with; a new one by default.
    done
        Is told index, name and files (or the error) of each sample, in order.
    say
        Is told what a user should know of a sample that was written all the same.

    Raises
    ------
    OutputError
        If a file cannot be written, or a PNG would be too large for viewers.
    """
    summary = Summary() if summary is None else summary
    stages = summary.stages
    with stages.stage("lay out"):
        check_output(model, options)
    # Those that were read, and are not written yet.
    names: dict[int, tuple[str, str | None]] = {}

    def feed() -> Iterator[Mapping[str, NDArray[Any]] | SampleError]:
        reader = iter(samples)
        for index in itertools.count():
            with stages.stage("read samples"):
                sample = next(reader, None)
            if sample is None:
                return
            names[index] = sample.name, sample.label
            yield sample.given

    def write(index: int, found: Explanation | SampleError) -> _Outcome:
        name, label = names.pop(index)
        if isinstance(found, SampleError):
            return _Outcome(name, [], error=found)
        if labels:
            label = (labels[index] if index < len(labels) else "") or None
        named = replace(found, sample=name, label=label)
        paths = _write(named, index, options, stages)
        bad = sum(each.bad_values is not None for each in found.maps.values())
        return _Outcome(name, paths, bad, len(found.maps))

    outcomes = model.stream(
        feed(), write, batch_size=options.batch_size, projection=options.projection, stages=stages
    )
    for index, outcome in enumerate(outcomes):
        if outcome.error is not None:
            summary.failed.append((index, outcome.name, outcome.error))
            done(index, outcome.name, outcome.error)
            continue
        summary.written[index] = outcome.paths
        done(index, outcome.name, outcome.paths)
        if outcome.bad_layers:
            say(
                f"sample {index} ({outcome.name}): {outcome.bad_layers} of {outcome.layers} layers "
                "are not finite and drawn hatched"
            )
    return summary


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
            size = diagram_size(layout, [model.name], options.scale_tiles)
            check_png_size(*size, options.scale_tiles)


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
    explanation: Explanation, index: int, options: PlotOptions, stages: Stages
) -> list[Path]:
    make_folder(options.folder)
    stem = sample_stem(explanation, index)
    with stages.stage("colours"):
        explanation.colour()
    paths = []
    for name in options.formats:
        with stages.stage(f"write {name}"):
            if name == "tiles":
                folder = options.folder / f"{stem}_tiles"
                paths.append(save_tiles(explanation, folder, options.style))
            else:
                path = options.folder / f"{stem}.{name}"
                save(explanation, path, options.style)
                paths.append(path)
    return paths


def exit_code(summary: Summary, error: MicamError | None = None) -> int:
    """0 if all samples were written, 1 if some failed, 2 if none was written."""
    if not summary.written:
        return 2
    return 1 if summary.failed or error is not None else 0

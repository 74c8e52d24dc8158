"""``micam-fast stats``: statistics of every layer over a data set."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import Failure, note, note_compiling, opened_cluster
from micam_fast.cli.opening import check_samples, open_model, open_samples, read_labels
from micam_fast.cli.options import (
    ModelOptions,
    PosterOptions,
    SampleOptions,
    count_option,
    engine_option,
    layer_options,
    model_and_samples,
    option,
    path_option,
    poster_options,
    read_options,
    running_options,
    sample_options,
    scheduler_option,
)
from micam_fast.cli.values import parse_number
from micam_fast.core.extras import import_extra
from micam_fast.core.formats import suffixes
from micam_fast.core.output_files import file_stem, make_folder
from micam_fast.core.texts import count_of, first_of, one_line, skipped

if TYPE_CHECKING:
    from micam_fast.analyses.statistics import Statistics
    from micam_fast.core.errors import SampleError
    from micam_fast.engine.loaded_model import SampleLike
    from micam_fast.samples import Sample

_OWN_LABELS, _FOLDERS = "label", "folder"


@dataclass(frozen=True)
class _Options:
    """What ``stats`` is asked for."""

    output: Path
    by: str | None
    diagram: Path | None
    poster: PosterOptions
    dead_threshold: float
    rank_positions: int | None
    top_samples: int
    model: ModelOptions
    samples: SampleOptions
    scheduler: str | None


@click.command(short_help="Measure every layer over a data set.")
@model_and_samples
@path_option(
    "--output",
    default="stats.csv",
    text="A row for each class and layer: .csv, .parquet or .json; .html is a page of tables.",
)
@option(
    "--by",
    metavar="FILE|label|folder",
    help="Text file of classes, one label a line, in the order of the samples; 'label': "
    "the labels that the samples bring along (TFRecord files); 'folder': the name of the folder "
    "that a sample's file lies in.",
)
@path_option(
    "--diagram",
    text="Draw the mean and the deviation of the maps, for each class; the suffix chooses the "
    "format. Takes a second forward pass.",
)
@poster_options
@option(
    "--dead-threshold",
    callback=parse_number,
    metavar="NUMBER",
    default="0",
    help="A channel is dead if none of its values is above this number.",
)
@count_option(
    "--rank-positions",
    "Evenly spread positions of each sample that the effective rank takes; 0 leaves it "
    "out.  [default: all]",
    least=0,
)
@count_option(
    "--top-samples",
    "Keep the K samples that excite each layer most, and the K that do least; .html shows them.",
    metavar="K",
    default=0,
    least=0,
)
@layer_options
@sample_options
@running_options
@scheduler_option
@engine_option
def stats(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Measure every layer over a data set, in one pass.

    SAMPLES are as in 'plot'. The closing table shows which layers cost most and extract least.

    Exit code: 0 if all samples were measured, 1 if some failed, 2 if none was.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.analyses.statistics import stats as measure
    from micam_fast.analyses.statistics.files import TABLES, check_format
    from micam_fast.analyses.statistics.tables import cost_lines, module_lines
    from micam_fast.core.output_files import check_file

    options = read_options(_Options, given)
    check_samples(sample_paths, options.samples)
    output, diagram = check_format(options.output), options.diagram
    for path in (output, *([] if diagram is None else [_check_diagram(diagram)])):
        check_file(path)
    own, by_folder = options.by == _OWN_LABELS, options.by == _FOLDERS
    is_file = options.by is not None and not own and not by_folder
    listed = read_labels(Path(str(options.by))) if is_file else None
    model = open_model(model_path, options.model, samples=(sample_paths, options.samples))
    # There may be any number of samples: what is known of one is let go of when it is done.
    names: dict[int, str] = {}
    labels: deque[str | None] = deque()
    called: deque[str] = deque()
    failed: dict[int, str] = {}
    count = 0

    def read() -> Iterator[SampleLike | SampleError]:
        nonlocal count
        samples = open_samples(model, sample_paths, options.samples)
        for index, sample in enumerate(_with_progress(samples)):
            names[index], count = sample.name, index + 1
            known = listed[index] if listed and index < len(listed) else None
            if by_folder:
                known = _folder(sample)
            labels.append(sample.label if own else known)
            called.append(sample.name)
            yield sample.given

    def label_each() -> Iterator[str | None]:
        while True:
            yield labels.popleft()

    def name_each() -> Iterator[str]:
        while True:
            yield called.popleft()

    def done(index: int, error: SampleError | None) -> None:
        name = names.pop(index)
        if error is not None:
            failed[index] = skipped(index, name, error)

    with (
        opened_cluster(options.scheduler, options.model.threads, note) as cluster,
        when_compiling(note_compiling),
    ):
        found = measure(
            model,
            read(),
            labels=label_each(),
            names=name_each(),
            dead_threshold=options.dead_threshold,
            positions=options.rank_positions,
            diagrams=diagram is not None,
            top_samples=options.top_samples,
            memory=options.model.memory,
            client=None if cluster is None else cluster.client,
            done=done,
        )
    for text in failed.values():
        Failure(text).show()
    if listed is not None and len(listed) != count:
        note(f"{count_of(len(listed), 'label')} for {count_of(count, 'sample')}")
    if own and not found.labels:
        note("no sample carries a label; there are no classes")
    for line in _notes(found):
        note(line)
    # First, so that an error of the disk takes it not away.
    for line in (*cost_lines(found.costs), *module_lines(found.modules)):
        click.echo(line)
    make_folder(output.parent)
    written = [found.save(output)]
    if found.modules and output.suffix.lower() in TABLES:
        written.append(found.save_modules(output.with_stem(f"{output.stem}_modules")))
    written += [] if diagram is None else _save_diagrams(found, diagram, options.poster)
    shown = one_line(", ".join(map(str, written)))
    click.echo(f"wrote {shown} for {count_of(count - len(failed), 'sample')}")
    sys.exit(1 if failed else 0)


def _folder(sample: Sample) -> str | None:
    """The name of the folder that a sample's file lies in."""
    return Path(sample.path).absolute().parent.name if sample.path else None


def _check_diagram(path: Path) -> Path:
    known = suffixes("diagram")
    if path.suffix.lower() not in known:
        raise click.BadParameter(
            f"{str(path)!r} must end in one of {', '.join(known)}", param_hint="'--diagram'"
        )
    if path.suffix.lower() == ".html":
        import_extra("bokeh.models", extra="view", purpose="the interactive page")
    return path


def _with_progress(samples: Iterator[Sample]) -> Iterable[Sample]:
    """The samples, which a terminal sees pass by."""
    if not sys.stderr.isatty():
        return samples
    from rich.console import Console
    from rich.progress import track

    return track(samples, "measuring", console=Console(stderr=True), transient=True)


def _notes(found: Statistics) -> Iterator[str]:
    """What the rows leave out, in a line for each reason."""
    for reason in sorted(set(found.unranked.values())):
        layers = sorted(name for name, why in found.unranked.items() if why == reason)
        shown = first_of(layers, 3)
        yield f"no effective rank of {count_of(len(layers), 'layer')} ({shown}): {reason}"
    stray = [row for row in found.rows if row.label is None and row.not_finite]
    if stray:
        total = sum(row.not_finite for row in stray)
        yield (
            f"{count_of(total, 'value')} of {count_of(len(stray), 'layer')} are NaN or infinite "
            f"and left out (first in {stray[0].layer})"
        )


def _save_diagrams(found: Statistics, path: Path, poster: PosterOptions) -> list[Path]:
    """A mean and a deviation of each class; of all samples where there is no class."""
    written: list[Path] = []
    taken: set[str] = set()
    make_folder(path.parent)
    for label in found.labels or (None,):
        stem = path.stem if label is None else f"{path.stem}_class-{file_stem(label)}"
        plain = [path.with_name(f"{stem}{end}{path.suffix}") for end in ("", "_deviation")]
        places, number = plain, len(written) // 2
        # Two classes may differ only in what no file name takes, or what some systems do not tell.
        while (names := {each.name.lower() for each in places}) & taken:
            places = [each.with_stem(f"{each.stem}-{number}") for each in plain]
            number += 1
        taken |= names
        both = found.mean_diagram(label), found.deviation_diagram(label)
        for each, place in zip(both, places, strict=True):
            written.append(
                each.save(
                    place,
                    drawing=poster.drawing,
                    page="{}x{}".format(*poster.page),
                    scale_png=poster.scale_png,
                )
            )
    return written

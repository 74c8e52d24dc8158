"""``micam-fast check``: whether the maps can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import Failure, note_compiling
from micam_fast.cli.opening import check_samples, open_model, open_samples
from micam_fast.cli.options import (
    ModelOptions,
    SampleOptions,
    count_option,
    layer_options,
    model_and_samples,
    path_option,
    prediction_options,
    projection_option,
    read_options,
    running_options,
    sample_options,
)
from micam_fast.cli.progress import terminal_bar
from micam_fast.core.choices import Projection
from micam_fast.core.texts import printable, skipped

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True)
class _Options:
    """What ``check`` is asked for."""

    output: Path
    projection: Projection
    steps: int
    draws: int
    seed: int
    model: ModelOptions
    samples: SampleOptions


@click.command(short_help="Check whether the maps can be trusted.")
@model_and_samples
@path_option(
    "--output",
    metavar="FILE.csv",
    default="check.csv",
    text="Table with a row for each layer; tables of all steps and of the curves stand beside it.",
)
@projection_option
@count_option(
    "--steps",
    "Largest number of steps of the randomization; layers with weights are spread over them.",
    default=16,
)
@count_option("--draws", "How many times the command draws random weights.", default=3)
@count_option("--seed", "Seed of all random numbers.", least=0, default=0)
@layer_options
@prediction_options
@sample_options
@running_options
def check(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Check whether the maps depend on what the model has learned.

    The weights are made random, layer by layer from the output back, and each map is compared with
    its original; where a map lies on the input's grid, the input's cells are erased in the order
    of its strength, and the model is asked again. SAMPLES are as in 'plot'; all are held in memory.

    Exit code: 0 if all samples were checked, 1 if some failed, 2 if none was.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.analyses.checks import check as check_maps
    from micam_fast.core.output_files import check_file, make_folder

    options = read_options(_Options, given)
    check_samples(sample_paths, options.samples)
    output = options.output
    if output.suffix.lower() != ".csv":
        raise click.BadParameter(f"{str(output)!r} must end in .csv", param_hint="'--output'")
    check_file(output)
    model = open_model(model_path, options.model, samples=(sample_paths, options.samples))
    samples = list(open_samples(model, sample_paths, options.samples))
    if not samples:
        raise Failure(f"no sample in {', '.join(sample_paths)}")
    with terminal_bar() as bar, when_compiling(note_compiling):
        found = check_maps(
            model,
            [sample.given for sample in samples],
            projection=options.projection,
            steps=options.steps,
            draws=options.draws,
            seed=options.seed,
            done=_shown_by(bar),
        )
    for index, error in found.failed.items():
        Failure(skipped(index, samples[index].name, error)).show()
    # First, so that an error of the disk takes none of it away.
    click.echo(f"{found}\n")
    make_folder(output.parent)
    click.echo(f"wrote {printable(', '.join(map(str, found.save(output))))}")
    sys.exit(1 if found.failed else 0)


def _shown_by(bar: Progress | None) -> Callable[[str, int, int], None]:
    if bar is None:
        return lambda what, done, total: None
    task = bar.add_task("", total=None)
    return lambda what, done, total: bar.update(
        task, description=what, completed=done, total=total, refresh=True
    )

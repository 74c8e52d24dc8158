"""``micam-fast plot``: a diagram for each sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.choices import ARRAY_LAYOUTS, CHANNEL_ORDERS, LOOKS, PROJECTIONS, RANKDIRS
from micam_fast.commands.common import (
    MODEL,
    Failure,
    note,
    note_compiling,
    output_dir_option,
)
from micam_fast.errors import MicamError
from micam_fast.options import (
    FORMATS,
    parse_formats,
    parse_memory,
    parse_number,
    parse_numbers,
    parse_scale,
)
from micam_fast.progress import count_of, progress, report, report_profile

if TYPE_CHECKING:
    from micam_fast.layers import Layer
    from micam_fast.model import Model


@click.command()
@MODEL
@click.argument("sample_paths", metavar="SAMPLES...", nargs=-1)
@output_dir_option("micam-output")
@click.option(
    "--format",
    "formats",
    callback=parse_formats,
    metavar=",".join(FORMATS),
    default="png",
    show_default=True,
    help="What to write for each sample.",
)
@click.option(
    "--look",
    type=click.Choice(LOOKS),
    default="isometric",
    show_default=True,
    help="Maps as planes in perspective, or from above.",
)
@click.option(
    "--projection",
    type=click.Choice(PROJECTIONS),
    default="published",
    show_default=True,
    help="On the layer's own grid as the published engine, or back onto its input's.",
)
@click.option("--layers", "include", metavar="GLOB,...", help="Map only the layers that match.")
@click.option("--exclude-layers", "exclude", metavar="GLOB,...", help="Map all but these layers.")
@click.option("--from", "start", metavar="LAYER", help="Map only this layer and what follows it.")
@click.option("--to", "stop", metavar="LAYER", help="Map only this layer and what leads to it.")
@click.option(
    "--rankdir",
    type=click.Choice(RANKDIRS),
    default="TB",
    show_default=True,
    help="Top to bottom or left to right.",
)
@click.option(
    "--scale-tiles",
    callback=parse_scale,
    metavar="FACTOR",
    default="1",
    show_default=True,
    help="Size of the picture relative to tiles of 635 x 205 pixels.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Known labels, one a line, in the order of the samples.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="Array for a further input of the model: one sample for all, or one for each.",
)
@click.option(
    "--layout",
    type=click.Choice(ARRAY_LAYOUTS),
    default="auto",
    show_default=True,
    help="Where the channels of arrays are.",
)
@click.option(
    "--scale",
    callback=parse_number,
    metavar="NUMBER",
    default="1",
    show_default=True,
    help="Pictures: input = (pixel * scale - mean) / std, pixels from 0 to 255.",
)
@click.option(
    "--mean",
    callback=parse_numbers,
    metavar="NUMBER,...",
    default="0",
    show_default=True,
    help="Pictures: one number, or one for each channel.",
)
@click.option(
    "--std",
    callback=parse_numbers,
    metavar="NUMBER,...",
    default="1",
    show_default=True,
    help="Pictures: one number, or one for each channel.",
)
@click.option(
    "--channel-order",
    type=click.Choice(CHANNEL_ORDERS),
    default="rgb",
    show_default=True,
    help="Pictures: order of the model's channels.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Samples in one forward pass.  [default: up to 8]",
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Threads to use.  [default: all cores]"
)
@click.option(
    "--memory",
    callback=parse_memory,
    metavar="SIZE",
    help="Bound for the activations, like 4G.  [default: a quarter of the machine's]",
)
@click.option(
    "--engine",
    metavar="PATH",
    help="Graphviz program for the layout.  [default: graphviz-pure, else dot]",
)
@click.option(
    "--compress-level",
    type=click.IntRange(0, 9),
    default=1,
    show_default=True,
    help="PNG: 1 is fastest, 9 smallest, 0 not compressed.",
)
@click.option("--profile", is_flag=True, help="Tell where the time went.")
def plot(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Write a MiCAM diagram for each sample.

    SAMPLES are .npy files (one sample, or a batch with a leading axis), .npz files, pictures,
    folders of these, or '-' for a list of paths on standard input.

    Exit code: 0 if all samples were written, 1 if some failed, 2 if none was written.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.batch import PlotOptions, Summary, exit_code, plot_samples
    from micam_fast.samples import PixelRules, channel_count, read_samples

    if not sample_paths and not given["inputs"]:
        raise click.UsageError("give at least one sample, or '-' for a list on standard input")
    if 0 in given["std"]:
        raise click.UsageError("--std must not be 0")
    labels = _read_labels(given["labels"])
    summary = Summary()
    with summary.stages.stage("load the model"):
        model = _load(model_path, given)
    options = PlotOptions(
        folder=given["output_dir"],
        formats=given["formats"],
        look=given["look"],
        projection=given["projection"],
        rankdir=given["rankdir"],
        batch_size=given["batch_size"],
        scale_tiles=given["scale_tiles"],
        compress_level=given["compress_level"],
    )
    extra = _read_inputs(model, given["inputs"], given["layout"])
    fed = [spec for spec in model.inputs if spec.name not in extra]
    if sample_paths and not fed:
        raise click.UsageError("--input feeds every input of the model; leave out SAMPLES")
    rules = PixelRules(given["scale"], given["mean"], given["std"], given["channel_order"])
    if fed and (channels := channel_count(fed[0])):
        rules.check(channels)
    samples = read_samples(
        _paths(sample_paths),
        model.inputs,
        layout=given["layout"],
        rules=rules,
        extra=extra,
        say=note,
    )
    error: MicamError | None = None
    try:
        with progress() as done, when_compiling(note_compiling):
            plot_samples(
                model, samples, options, labels=labels, summary=summary, done=done, say=note
            )
    except MicamError as raised:
        error = raised
    report(summary, options)
    if given["profile"]:
        report_profile(summary, model.threads)
    count = len(summary.written) + len(summary.failed)
    if given["labels"] and error is None and len(labels) != count:
        note(f"{count_of(len(labels), 'label')} for {count_of(count, 'sample')}")
    if error is not None:
        Failure(str(error)).show()
    elif not summary.written and not summary.failed:
        Failure(f"no sample in {', '.join(sample_paths)}").show()
    sys.exit(exit_code(summary, error))


def _load(path: Path, given: dict[str, Any]) -> Model:
    """Open the model with the layers that the options choose."""
    from micam_fast.layers import layers_between, match_layers
    from micam_fast.model import load_model

    include, exclude = given["include"], given["exclude"]
    start, stop = given["start"], given["stop"]
    ways = (include, exclude, stop if start is None else start)
    if sum(way is not None for way in ways) > 1:
        raise click.UsageError("choose one of --layers, --exclude-layers and --from/--to")

    def choose(layers: Sequence[Layer]) -> frozenset[str]:
        if exclude is not None:
            everything = frozenset(layer.name for layer in layers)
            return everything - match_layers(layers, exclude)
        return layers_between(layers, start, stop)

    return load_model(
        path,
        layers=choose if include is None else include,
        threads=given["threads"],
        memory=given["memory"],
        engine=given["engine"],
        say=note,
    )


def _paths(given: Sequence[str]) -> Iterator[str]:
    for path in given:
        if path == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield path


def _read_labels(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise Failure(f"cannot read labels {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read labels {path}: it is no UTF-8 text") from None


def _read_inputs(model: Model, given: Sequence[str], layout: Any) -> dict[str, Any]:
    from micam_fast.samples import fit_array, load_array

    specs = {spec.name: spec for spec in model.inputs}
    extra = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or name not in specs:
            raise click.UsageError(
                f"--input {text!r}: NAME=FILE is expected, NAME one of {', '.join(specs)}"
            )
        array = load_array(Path(file))
        if isinstance(array, dict):
            raise click.UsageError(f"--input {text!r}: an .npy file is expected")
        extra[name], _ = fit_array(array, specs[name], layout)
    return extra

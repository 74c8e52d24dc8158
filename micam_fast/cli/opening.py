"""Which model, which layers and which samples: options that commands share, and opening them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import Failure, note
from micam_fast.cli.values import parse_memory, parse_number, parse_numbers
from micam_fast.core.choices import ARRAY_LAYOUTS, CHANNEL_ORDERS, PROJECTIONS
from micam_fast.core.errors import SampleError
from micam_fast.core.texts import one_line

if TYPE_CHECKING:
    from micam_fast.api.model import Model
    from micam_fast.core.layers import Layer
    from micam_fast.samples import Sample
    from micam_fast.samples.orders import Permutation

_LEAST_MEMORY = 2**26
_LONGEST_PATH = 2**16
"""In bytes; no system takes one as long."""

Decorator = Callable[[Any], Any]
Given = Mapping[str, Any]
"""Values of a command's options by parameter name."""


def all_of(*options: Decorator) -> Decorator:
    """One decorator of several, which list themselves in this order."""
    return lambda command: functools.reduce(lambda made, each: each(made), options[::-1], command)


SAMPLES = click.argument("sample_paths", metavar="SAMPLES...", nargs=-1)

layer_options = all_of(
    click.option("--layers", "include", metavar="GLOB,...", help="Map only the layers that match."),
    click.option(
        "--exclude-layers", "exclude", metavar="GLOB,...", help="Map all but these layers."
    ),
    click.option("--from", "start", metavar="LAYER", help="Map only this layer and what follows."),
    click.option("--to", "stop", metavar="LAYER", help="Map only this layer and what leads to it."),
)
"""Adds ``include``, ``exclude``, ``start`` and ``stop``."""

projection_option = click.option(
    "--projection",
    type=click.Choice(PROJECTIONS),
    default="published",
    show_default=True,
    help="Map on the layer's own grid, as the published engine draws it, or on its input's grid.",
)

labels_option = click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Text file of known labels, one a line, in the order of the samples.",
)

sample_options = all_of(
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=FILE",
        help="Array for another input of the model: one sample for all, or one for each.",
    ),
    click.option(
        "--layout",
        type=click.Choice(ARRAY_LAYOUTS),
        default="auto",
        show_default=True,
        help="Where arrays have their channels; 'auto' decides by the shape.",
    ),
    click.option(
        "--scale",
        callback=parse_number,
        metavar="NUMBER",
        default="1",
        show_default=True,
        help="Pictures: input = (pixel * scale - mean) / std, pixels from 0 to 255.",
    ),
    click.option(
        "--mean",
        callback=parse_numbers,
        metavar="NUMBER,...",
        default="0",
        show_default=True,
        help="Pictures: one number, or one for each channel.",
    ),
    click.option(
        "--std",
        callback=parse_numbers,
        metavar="NUMBER,...",
        default="1",
        show_default=True,
        help="Pictures: one number, or one for each channel.",
    ),
    click.option(
        "--channel-order",
        type=click.Choice(CHANNEL_ORDERS),
        default="rgb",
        show_default=True,
        help="Pictures: order of the model's channels.",
    ),
)
"""Adds ``inputs``, ``layout``, ``scale``, ``mean``, ``std`` and ``channel_order``."""

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Run the Python code in a Keras file's Lambda layers, with your rights; only for files "
    "that you trust.",
)

running_options = all_of(
    click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        help="Samples to work on at a time, each by one thread.  [default: all cores]",
    ),
    click.option(
        "--memory",
        callback=parse_memory,
        metavar="SIZE",
        help="Limit for the activations in memory, like 4G.  [default: a quarter of the machine's]",
    ),
    trust_option,
)
"""Adds ``threads``, ``memory`` and ``trust``."""

engine_option = click.option(
    "--engine",
    metavar="PATH",
    help="Graphviz program for the layout.  [default: graphviz-pure, else dot]",
)


def open_model(path: Path, given: Given) -> Model:
    """Open the model with the layers that the options choose.

    Parameters
    ----------
    path
        Of an ONNX or Keras file.
    given
        Values of `layer_options`, `running_options` and `engine_option`; an option that the command
        has not counts as one that was not given.
    """
    from micam_fast.api.loading import load_model
    from micam_fast.core.layer_choice import layers_between, match_layers

    include, exclude, start, stop = map(given.get, ("include", "exclude", "start", "stop"))
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
        threads=given.get("threads"),
        memory=given.get("memory"),
        engine=given.get("engine"),
        trust=bool(given.get("trust")),
        say=note,
    )


def check_samples(paths: Sequence[str], given: Given) -> None:
    """Refuse a command line without samples, or with a deviation of 0, before the model is opened.

    Raises
    ------
    click.UsageError
        With what is missing.
    """
    if not paths and not given["inputs"]:
        raise click.UsageError("give at least one sample, or '-' for a list on standard input")
    if 0 in given["std"]:
        raise click.UsageError("--std must not be 0")


def open_samples(
    model: Model,
    paths: Sequence[str],
    given: Given,
    permutation: Permutation | None = None,
    *,
    say: Callable[[str], None] = note,
) -> Iterator[Sample]:
    """Samples of files, one by one; what cannot be read comes as a sample with an error.

    Parameters
    ----------
    model
        That they are for.
    paths
        Files, folders, patterns, or ``-`` for a list of them on standard input.
    given
        Values of `sample_options`.
    permutation
        Another order of their rows and columns, see `axes.read_permutation`.
    say
        Is told how the files are taken.

    Raises
    ------
    click.UsageError
        If the options do not fit the model or each other.
    """
    from micam_fast.samples import PixelRules, channel_count, read_samples

    extra = _read_inputs(model, given["inputs"], given["layout"])
    fed = [spec for spec in model.inputs if spec.name not in extra]
    if paths and not fed:
        raise click.UsageError("--input feeds every input of the model; leave out SAMPLES")
    rules = PixelRules(given["scale"], given["mean"], given["std"], given["channel_order"])
    if fed and (channels := channel_count(fed[0])):
        rules.check(channels)
    samples = read_samples(
        _listed(paths),
        model.inputs,
        layout=given["layout"],
        rules=rules,
        extra=extra,
        memory=_sample_memory(model),
        say=say,
    )
    if permutation is None:
        return samples
    return (_permuted(sample, permutation, model) for sample in samples)


def _sample_memory(model: Model) -> int:
    """What a sample may take: the bound of the activations, unless that is very small."""
    return max(model.memory, _LEAST_MEMORY)


def _permuted(sample: Sample, permutation: Permutation, model: Model) -> Sample:
    """The sample in another order, which its name tells."""
    if sample.error is not None:
        return sample
    name = f"{sample.name}, {permutation}"
    try:
        return replace(sample, name=name, arrays=permutation.apply(sample.arrays, model.inputs))
    except SampleError as error:
        return replace(sample, arrays={}, error=error)


def read_labels(path: Path | None) -> Sequence[str]:
    """Labels of a file, one a line; none without a file."""
    from micam_fast.core.input_files import LIST_LIMIT, Lines, read_input

    if path is None:
        return []
    try:
        return Lines(read_input(path, LIST_LIMIT))
    except OSError as error:
        raise Failure(f"cannot read labels {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read labels {path}: it is no UTF-8 text") from None


def _listed(given: Sequence[str]) -> Iterator[str]:
    from micam_fast.core.input_files import read_bounded_lines

    for path in given:
        if path == "-":
            # As bytes: a name may hold any but NUL.
            lines = read_bounded_lines(sys.stdin.buffer, _LONGEST_PATH)
            try:
                for line in lines:
                    if listed := os.fsdecode(line).strip():
                        yield listed
            except OSError as error:
                raise SampleError(
                    f"standard input is no list of paths, one a line: {error.strerror or error}"
                ) from None
        else:
            yield path


def _read_inputs(model: Model, given: Sequence[str], layout: Any) -> dict[str, Any]:
    from micam_fast.samples import open_rows

    specs = {spec.name: spec for spec in model.inputs}
    extra = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or name not in specs:
            raise click.UsageError(
                f"--input {text!r}: NAME=FILE is expected, NAME one of {one_line(', '.join(specs))}"
            )
        if Path(file).suffix.lower() == ".npz":
            raise click.UsageError(f"--input {text!r}: an .npy file is expected")
        extra[name], _ = open_rows(Path(file), specs[name], layout, _sample_memory(model))
    return extra

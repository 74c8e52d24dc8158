"""Which model, which layers, which samples: opening what the options name."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.common import Failure, note
from micam_fast.cli.options import ModelOptions, SampleOptions
from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.texts import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from micam_fast.api.explanation import Explanation
    from micam_fast.api.model import Model
    from micam_fast.core.layers import Layer, ModelInput
    from micam_fast.samples import Sample
    from micam_fast.samples.orders import Permutation

_LEAST_MEMORY = 2**26
_LONGEST_PATH = 2**16
"""In bytes; no system takes one as long."""


def open_model(
    path: Path,
    options: ModelOptions,
    say: Callable[[str], None] = note,
    *,
    samples: tuple[Sequence[str], SampleOptions],
    layers: Callable[[Sequence[Layer]], Iterable[str]] | None = None,
) -> Model:
    """Open a model file with the layers that the options choose, or that `layers` picks.

    `say` takes a line about the model, now or when its first sample is run. The first of the
    samples, paths and how they are read, serves to check the export of a Keras file that leaves
    sizes open.
    """
    from micam_fast.api.loading import load_model
    from micam_fast.core.layer_choice import layers_between, match_layers

    include, exclude, start, stop = options.include, options.exclude, options.start, options.stop
    ways = (include, exclude, stop if start is None else start)
    if sum(way is not None for way in ways) > 1:
        raise click.UsageError("choose one of --layers, --exclude-layers and --from/--to")

    def choose(layers: Sequence[Layer]) -> frozenset[str]:
        if exclude is not None:
            return frozenset(each.name for each in layers) - match_layers(layers, exclude)
        return layers_between(layers, start, stop)

    names: Sequence[str] = ()
    if options.class_names is not None:
        names = read_lines("class names", options.class_names)
        if not names:
            raise Failure(f"no class names in {options.class_names}; expected is one a line")
    return load_model(
        path,
        layers=layers or (choose if include is None else include),
        threads=options.threads,
        memory=options.memory,
        engine=options.engine,
        prediction=options.prediction,
        logits=options.logits,
        class_names=names,
        trust=options.trust,
        sample=lambda inputs: _checking_sample(inputs, *samples),
        say=say,
    )


def _checking_sample(
    inputs: Sequence[ModelInput], paths: Sequence[str], options: SampleOptions
) -> Mapping[str, NDArray[Any]] | None:
    """The first sample that can be read, if sizes of the inputs are open.

    A list on standard input can be read only once.
    """
    if all(None not in spec.shape[1:] for spec in inputs):
        return None
    files = [path for path in paths if path != "-"]
    # The run itself tells what there is to tell of its samples.
    found = _read(inputs, None, files, options, lambda note: None)
    return next((sample.arrays for sample in found if sample.error is None), None)


def check_samples(paths: Sequence[str], options: SampleOptions) -> None:
    """Refuse a command line without samples, or with a deviation of 0, before the model is opened.

    Raises
    ------
    click.UsageError
        With what is missing.
    """
    if not paths and not options.inputs:
        raise click.UsageError("give at least one sample, or '-' for a list on standard input")
    if 0 in options.std:
        raise click.UsageError("--std must not be 0")


def open_samples(
    model: Model,
    paths: Sequence[str],
    options: SampleOptions,
    permutation: Permutation | None = None,
    *,
    say: Callable[[str], None] = note,
) -> Iterator[Sample]:
    """Samples of files, one by one; what cannot be read comes as a sample with an error.

    Parameters
    ----------
    paths
        Files, folders, patterns, or ``-`` for a list of them on standard input.
    permutation
        Another order of their rows and columns, see `axes.read_permutation`.
    say
        Takes a line that says how the files are read.

    Raises
    ------
    click.UsageError
        If the options do not fit the model or each other.
    """
    samples = _read(model.inputs, _sample_memory(model), paths, options, say)
    if permutation is None:
        return samples
    return (_permuted(sample, permutation, model) for sample in samples)


def _read(
    inputs: Sequence[ModelInput],
    memory: int | None,
    paths: Sequence[str],
    options: SampleOptions,
    say: Callable[[str], None],
) -> Iterator[Sample]:
    from micam_fast.core.machine import quarter_of_memory
    from micam_fast.samples import PixelRules, channel_count, read_samples

    memory = memory or quarter_of_memory()
    extra = _read_inputs(inputs, memory, options.inputs, options.layout)
    fed = [spec for spec in inputs if spec.name not in extra]
    if paths and not fed:
        raise click.UsageError("--input feeds every input of the model; leave out SAMPLES")
    rules = PixelRules(options.scale, options.mean, options.std, options.channel_order)
    if fed and (channels := channel_count(fed[0])):
        rules.check(channels)
    return read_samples(
        _listed(paths),
        inputs,
        layout=options.layout,
        rules=rules,
        extra=extra,
        memory=memory,
        say=say,
    )


def explain_opened(
    model: Model,
    samples: Iterable[Sample],
    projection: Projection,
    frame: int | None,
    *,
    activation_range: bool = False,
) -> Iterator[tuple[int, Sample, Explanation | SampleError]]:
    """Samples with their index and their explanation or error; few are in hand at a time."""
    waiting: deque[Sample] = deque()

    def feed() -> Iterator[Any]:
        for sample in samples:
            waiting.append(sample)
            yield sample.given

    for index, found in enumerate(
        model.explain_each(
            feed(), projection=projection, frame=frame, activation_range=activation_range
        )
    ):
        sample = waiting.popleft()
        if not isinstance(found, SampleError):
            found = replace(found, pixel_rules=sample.pixel_rules)
        yield index, sample, found


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
    return [] if path is None else read_lines("labels", path)


def read_lines(what: str, path: Path) -> Sequence[str]:
    """Lines of a text file; `what` they are stands in the message of a failure.

    Raises
    ------
    Failure
        If it cannot be read, or is no UTF-8 text.
    """
    from micam_fast.core.input_files import LIST_LIMIT, Lines, read_input

    try:
        return Lines(read_input(path, LIST_LIMIT))
    except OSError as error:
        raise Failure(f"cannot read {what} {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read {what} {path}: it is no UTF-8 text") from None


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


def _read_inputs(
    inputs: Sequence[ModelInput], memory: int, given: Sequence[str], layout: Any
) -> dict[str, Any]:
    from micam_fast.samples import open_rows

    specs = {spec.name: spec for spec in inputs}
    extra = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or name not in specs:
            raise click.UsageError(
                f"--input {text!r}: NAME=FILE is expected, NAME one of {one_line(', '.join(specs))}"
            )
        if Path(file).suffix.lower() == ".npz":
            raise click.UsageError(f"--input {text!r}: an .npy file is expected")
        extra[name], _ = open_rows(Path(file), specs[name], layout, memory)
    return extra

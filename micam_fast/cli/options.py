"""Options that commands share, and the records that hold their values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import click

from micam_fast.cli.values import (
    parse_memory,
    parse_number,
    parse_numbers,
    parse_scale,
    read_page,
)
from micam_fast.core.choices import (
    ARRAY_LAYOUTS,
    CHANNEL_ORDERS,
    DRAWINGS,
    LARGEST_DIAGRAM,
    PAGES,
    PROJECTIONS,
    RANKDIRS,
    ArrayLayout,
    DrawingChoice,
)
from micam_fast.runs.stores import is_url

Decorator = Callable[[Any], Any]
Options = TypeVar("Options")


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened; what a command has no option for stays as it is here."""

    include: str | None = None
    exclude: str | None = None
    start: str | None = None
    stop: str | None = None
    threads: int | None = None
    memory: int | None = None
    trust: bool = False
    engine: str | None = None
    prediction: str | None = None
    logits: bool = False
    class_names: Path | None = None


@dataclass(frozen=True)
class SampleOptions:
    """How samples are read."""

    inputs: tuple[str, ...]
    layout: ArrayLayout
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str


@dataclass(frozen=True)
class AxisOptions:
    """Names of the input's rows and columns, and other orders of them."""

    row_names: Path | None = None
    column_names: Path | None = None
    permute_rows: str | None = None
    permute_columns: str | None = None

    @property
    def permuted(self) -> bool:
        """Whether an order is given."""
        return self.permute_rows is not None or self.permute_columns is not None


@dataclass(frozen=True)
class DrawingOptions:
    """How a diagram lies, and how large it is."""

    rankdir: str | None
    scale_tiles: float | None


@dataclass(frozen=True)
class PosterOptions:
    """Whether a poster is drawn, and how large it is."""

    drawing: DrawingChoice
    page: tuple[int, int]
    scale_png: float


def read_options(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """The values of a command's options, once and for all.

    Parameters
    ----------
    kind
        A dataclass with a field for each option; a field that is a dataclass itself takes those of
        its own fields.
    given
        What click gave, by parameter name.

    Raises
    ------
    TypeError
        If an option has no field, or a field without a default no option.
    """
    left = dict(given)
    found = _take(kind, left)
    if left:
        raise TypeError(f"{kind.__name__} has no field for {', '.join(left)}")
    return found


def _take(kind: type[Options], left: dict[str, Any]) -> Options:
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        own = hints[field.name]
        if isinstance(own, type) and dataclasses.is_dataclass(own):
            values[field.name] = _take(own, left)
        elif field.name in left:
            values[field.name] = left.pop(field.name)
    return kind(**values)


def all_of(*options: Decorator) -> Decorator:
    """One decorator of several, which list themselves in this order."""
    return lambda command: functools.reduce(lambda made, each: each(made), options[::-1], command)


def option(*names: str, **more: Any) -> Decorator:
    """An option that shows its default if it has one."""
    return click.option(*names, show_default=more.get("default") is not None, **more)


def count_option(
    name: str, text: str, *, least: int = 1, most: int | None = None, **more: Any
) -> Decorator:
    """An option that takes a whole number."""
    return option(name, type=click.IntRange(least, most), help=text, **{"metavar": "N", **more})


def path_option(*names: str, text: str, metavar: str = "FILE", **more: Any) -> Decorator:
    """An option that takes the path of a file or folder."""
    return option(*names, type=click.Path(path_type=Path), metavar=metavar, help=text, **more)


def choice_option(name: str, choices: Sequence[str], text: str, default: str) -> Decorator:
    """An option that takes one of some words."""
    return option(name, type=click.Choice(choices), default=default, help=text)


MODEL = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))
model_and_samples = all_of(MODEL, click.argument("sample_paths", metavar="SAMPLES...", nargs=-1))

layer_options = all_of(
    option("--layers", "include", metavar="GLOB,...", help="Map only the layers that match."),
    option("--exclude-layers", "exclude", metavar="GLOB,...", help="Map all but these layers."),
    option("--from", "start", metavar="LAYER", help="Map only this layer and what follows."),
    option("--to", "stop", metavar="LAYER", help="Map only this layer and what leads to it."),
)
"""Adds the first fields of `ModelOptions`."""

projection_option = choice_option(
    "--projection",
    PROJECTIONS,
    "Map on the layer's own grid, as the published engine draws it, or on its input's grid.",
    "published",
)

frame_option = count_option(
    "--frame",
    "Map frame N of each sample, from 0, in layers that compute the frames, windows or pairs of a "
    "sample one by one.  [default: the mean over all]",
    least=0,
)

activation_range_option = option(
    "--activation-range",
    is_flag=True,
    help="Tell the smallest and largest value of each layer's activation, which are read for it.",
)

map_options = all_of(projection_option, frame_option, layer_options)
"""Adds ``projection``, ``frame`` and `layer_options`."""

labels_option = path_option(
    "--labels", text="Text file of known labels, one a line, in the order of the samples."
)

prediction_options = all_of(
    option(
        "--prediction",
        metavar="OUTPUT|none",
        help="Output of the model that says the class; 'none' claims no class.  [default: the "
        "first by a Softmax, else the first by a dense layer, which may say none]",
    ),
    option("--logits", is_flag=True, help="The numbers of that dense layer or OUTPUT are logits."),
    path_option(
        "--class-names",
        text="Text file of the classes' names, one a line. Numbers with such names are logits.",
    ),
)
"""Adds further fields of `ModelOptions`."""

_PER_CHANNEL = "Pictures: one number, or one for each channel."

sample_options = all_of(
    option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=FILE",
        help="Array for another input of the model: one sample for all, or one for each.",
    ),
    choice_option(
        "--layout",
        ARRAY_LAYOUTS,
        "Where arrays have their channels; 'auto' decides by the shape.",
        "auto",
    ),
    option(
        "--scale",
        callback=parse_number,
        metavar="NUMBER",
        default="1",
        help="Pictures: input = (pixel * scale - mean) / std, pixels from 0 to 255.",
    ),
    *(
        option(
            name, callback=parse_numbers, metavar="NUMBER,...", default=default, help=_PER_CHANNEL
        )
        for name, default in (("--mean", "0"), ("--std", "1"))
    ),
    choice_option(
        "--channel-order", CHANNEL_ORDERS, "Pictures: order of the model's channels.", "rgb"
    ),
)
"""Adds the fields of `SampleOptions`."""

trust_option = option(
    "--trust",
    is_flag=True,
    help="Run the Python code in a Keras file's Lambda layers, or open a .pt2 file, which may hold "
    "code: with your rights; only for files that you trust.",
)

running_options = all_of(
    count_option(
        "--threads", "Samples to work on at a time, each by one thread.  [default: all cores]"
    ),
    option(
        "--memory",
        callback=parse_memory,
        metavar="SIZE",
        help="Limit for the activations in memory, like 4G.  [default: a quarter of the machine's]",
    ),
    trust_option,
)
"""Adds further fields of `ModelOptions`."""

engine_option = option(
    "--engine",
    metavar="PATH",
    help="Graphviz program for the layout.  [default: graphviz-pure, else dot]",
)

_NAMES = "Names of the input's {}s: one a line, a CSV's header, or the .json beside records."
_ORDER = "Feed the {}s in another order: an index or name a line, or a random one."

row_names_option = path_option("--row-names", text=_NAMES.format("row"))

axis_options = all_of(
    row_names_option,
    path_option("--column-names", text=_NAMES.format("column")),
    *(
        option(f"--permute-{axis}s", metavar="FILE|seed:N", help=_ORDER.format(axis))
        for axis in ("row", "column")
    ),
)
"""Adds the fields of `AxisOptions`."""

diagram_options = all_of(
    option(
        "--rankdir",
        type=click.Choice(RANKDIRS),
        help="Diagram: draw from top to bottom, or from left to right.  [default: TB]",
    ),
    option(
        "--scale-tiles",
        callback=parse_scale,
        metavar="FACTOR",
        help="Diagram: size relative to the published tile of 635 x 205 pixels.  [default: 1]",
    ),
)
"""Adds the fields of `DrawingOptions`."""

poster_options = all_of(
    choice_option(
        "--drawing",
        DRAWINGS,
        "Draw the model's diagram, or a poster, the whole network on one page; 'auto' draws the "
        f"poster from {LARGEST_DIAGRAM + 1} nodes on, unless a size or direction of the diagram is "
        "given.",
        "auto",
    ),
    option(
        "--page",
        callback=read_page,
        metavar="NAME|WxH",
        default="screen",
        help=f"Poster: {', '.join(PAGES)}, or width and height in 1/96 inch.",
    ),
    option(
        "--scale-png",
        callback=parse_scale,
        metavar="FACTOR",
        default="1.5",
        help="Poster: pixels of a PNG to one of the page.",
    ),
)
"""Adds the fields of `PosterOptions`."""


def check_drawing(drawing: DrawingOptions, poster: PosterOptions) -> None:
    """Refuse what only a diagram has where a poster is asked for.

    Raises
    ------
    click.UsageError
        With the options.
    """
    given = (drawing.rankdir, "--rankdir"), (drawing.scale_tiles, "--scale-tiles")
    names = [name for value, name in given if value is not None]
    if poster.drawing == "poster" and names:
        raise click.UsageError(
            f"{' and '.join(names)} can be given for a diagram, not with --drawing poster"
        )


detail_options = all_of(
    count_option(
        "--depth",
        "Draw a module that lies in N - 1 others as one node, with the map of its last layer.  "
        "[default: each layer is a node]",
    ),
    option(
        "--only",
        "only_mapped",
        is_flag=True,
        help="Draw only layers that are mapped; dotted edges tell how many lie between.",
    ),
)
"""Adds the fields of `core.choices.Detail`."""


def output_dir_option(default: str, *, urls: bool = False) -> Decorator:
    """The option ``--output-dir``; a URL stays a text."""
    return option(
        "--output-dir",
        type=_read_place if urls else click.Path(path_type=Path),
        metavar="FOLDER|URL" if urls else None,
        default=default,
        help="Folder for the files" + (", or a URL like s3://BUCKET/PREFIX." if urls else "."),
    )


def _read_place(text: str) -> Path | str:
    return text if is_url(text) else Path(text)


def _check_scheduler(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from micam_fast.engine.cluster.connecting import check_address

        check_address(value)
    return value


scheduler_option = option(
    "--scheduler",
    callback=_check_scheduler,
    metavar="ADDRESS",
    help="Run on a Dask cluster, like tcp://HOST:8786, or on 'local:N', N processes of this "
    "machine.",
)

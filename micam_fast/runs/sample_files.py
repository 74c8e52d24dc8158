"""The files of one sample: what a run writes, under which names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from micam_fast.api.explanation import Explanation
from micam_fast.api.model import Model
from micam_fast.api.saving import check_size, write_format
from micam_fast.core.activation_axes import declared_input_size
from micam_fast.core.choices import (
    EVERYTHING,
    PAGES,
    Detail,
    DrawingChoice,
    LookChoice,
    Projection,
)
from micam_fast.core.errors import OutputError, TooLargeError, os_errors_as
from micam_fast.core.formats import named_format, need_layout
from micam_fast.core.output_files import file_stem
from micam_fast.core.prediction import Prediction
from micam_fast.core.timing import StageTimes
from micam_fast.diagrams.diagram_template import diagram_size
from micam_fast.diagrams.places import DiagramLayout
from micam_fast.diagrams.png_limit import check_png_size
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import tile_room
from micam_fast.runs.stores import FolderStore, Store, open_store


@dataclass(frozen=True)
class PlotOptions:
    """What to write for each sample, and how it looks; `folder` may be a URL, as text."""

    folder: Path | str
    formats: tuple[str, ...] = ("png",)
    look: LookChoice = "auto"
    projection: Projection = "published"
    frame: int | None = None
    activation_range: bool = False
    rankdir: str | None = None
    batch_size: int | None = None
    scale_tiles: float | None = None
    compress_level: int = 1
    row_names: tuple[str, ...] = ()
    detail: Detail = EVERYTHING
    drawing: DrawingChoice = "auto"
    page: tuple[int, int] = PAGES["screen"]
    scale_png: float = 1.5

    @functools.cached_property
    def store(self) -> Store:
        """Where it goes."""
        return open_store(self.folder)

    @property
    def style(self) -> Style:
        """The part that says how a diagram looks."""
        # A DOT file goes to a URL by a folder that is gone when it is there.
        tiles_from = None if isinstance(self.store, FolderStore) else ""
        return Style(
            self.look,
            self.rankdir,
            self.scale_tiles,
            self.compress_level,
            tiles_from,
            self.row_names,
            self.detail,
            self.drawing,
            self.page,
            self.scale_png,
        )

    def is_poster(self, model: Model) -> bool:
        """Tell whether the model's samples are drawn as posters."""
        return self.style.is_poster(len(model.scene.nodes(model.mapped, self.detail)))


@dataclass(frozen=True)
class SampleFiles:
    """What was written for a sample. It can be sent to another process.

    Attributes
    ----------
    shown
        Names of the files, or of the folder of tiles, one for each format that was written.
    files
        Bytes of every file, by its path relative to the output folder.
    prediction, global_range, ranges
        As `Explanation` has them.
    bad_layers
        How many layers are not finite.
    activation_ranges
        Of the layers' activations, by name; empty where they were not asked for.
    refused
        Why there is no file, by the name of the format.
    """

    shown: tuple[str, ...]
    files: Mapping[str, int]
    prediction: Prediction | None
    global_range: tuple[float, float]
    ranges: Mapping[str, tuple[float, float]]
    bad_layers: int
    activation_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def expected_layout(model: Model, options: PlotOptions) -> DiagramLayout:
    """The layout of the diagrams as far as the model alone tells it; samples may make it wider."""
    style, size = options.style, declared_input_size(model.inputs)
    room = tile_room(style.look_for(size), size)
    return model.scene.picture_layout(model.mapped, style.direction, room.size, style.detail)


def check_output(model: Model, options: PlotOptions) -> None:
    """Find out before the first sample what would stop every one; nothing is written.

    Raises
    ------
    LayoutEngineError
        If a diagram is asked for and Graphviz cannot lay it out.
    OutputError
        If the folder cannot be written, or a PNG would be too large for viewers and is the only
        format, and so would be that of a poster.
    """
    options.store.check()
    poster = options.is_poster(model)
    if need_layout(options.formats, poster=poster):
        style = options.style
        layout = expected_layout(model, options)
        size = diagram_size(layout, [model.name], style.scale)
        refused = []
        for name in options.formats:
            if poster and named_format(name).shows_posters:
                continue
            try:
                check_size([name], *size, style)
            except TooLargeError as error:
                refused.append(error)
        if len(refused) == len(options.formats):
            width, height = (round(side * style.scale_png) for side in style.page)
            with suppress(TooLargeError):
                check_png_size(width, height, style.scale_png, poster=True)
                return
            raise refused[0]


def sample_stem(explanation: Explanation, index: int) -> str:
    """File name without suffix: model, index, label if known, prediction if there is one.

    The largest output, of which no class is claimed, is called so.
    """
    parts = [file_stem(explanation.scene.model), f"sample-{index}"]
    if explanation.label is not None:
        parts.append(f"label-{file_stem(explanation.label)}")
    if (found := explanation.prediction) is not None:
        said = f"pred-{found.index}-{found.probability:.4f}"
        parts.append(said if found.claimed else f"largest-{found.index}")
    return "_".join(parts)


def write_sample(
    explanation: Explanation, index: int, options: PlotOptions, folder: Path, stages: StageTimes
) -> SampleFiles:
    """Write the files of a sample to a folder that is there, each by a rename.

    Instead of a diagram that is too large its poster is written; neither keeps the other formats
    from being written.

    Raises
    ------
    OutputError
        If a file cannot be written, or every format is too large.
    """
    stem = sample_stem(explanation, index)
    with stages.stage("colours"):
        explanation.colour()
    shown: list[str] = []
    files: list[Path] = []
    refused: dict[str, TooLargeError] = {}
    for name in options.formats:
        with stages.stage(f"write {name}"):
            ending, style = named_format(name).ending, options.style
            path = folder / f"{stem}{ending}"
            try:
                files.extend(write_format(name, explanation, path, style))
            except TooLargeError as error:
                refused[name] = error
                path = folder / f"{stem}_poster{ending}"
                with suppress(TooLargeError):
                    files.extend(write_format(name, explanation, path, style.as_poster))
                    refused[name] = TooLargeError(f"{error}; its poster was written instead")
                    shown.append(path.name)
            else:
                shown.append(path.name)
    if refused and not shown:
        raise next(iter(refused.values()))
    return SampleFiles(
        shown=tuple(shown),
        files={path.relative_to(folder).as_posix(): _size(path) for path in files},
        prediction=explanation.prediction,
        global_range=explanation.global_range,
        ranges=dict(explanation.ranges),
        activation_ranges=explanation.activation_ranges,
        bad_layers=sum(each.bad_values is not None for each in explanation.maps.values()),
        refused={name: str(error) for name, error in refused.items()},
    )


def _size(path: Path) -> int:
    with os_errors_as(OutputError, f"cannot write {path}"):
        return path.stat().st_size

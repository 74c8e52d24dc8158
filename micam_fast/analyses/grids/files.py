"""Grids of many samples to files: a picture for each layer that has channels."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.grids.picture import draw_grid
from micam_fast.core.activation_axes import spatial_input_size, view_inputs
from micam_fast.core.choices import CHANNEL_KINDS, ChannelKind, Projection, check_choice
from micam_fast.core.errors import LayerSelectionError, SampleError
from micam_fast.core.formats import format_names
from micam_fast.core.layers import Layer
from micam_fast.core.output_files import atomic_file, check_folder, file_stem, make_folder
from micam_fast.diagrams.encoders import write_png, write_svg
from micam_fast.diagrams.labels import copies_line
from micam_fast.diagrams.marks import Drawing
from micam_fast.diagrams.row_names import RowsOfInput
from micam_fast.engine.activations import LayerActivation
from micam_fast.engine.batch_arrays import Batching
from micam_fast.maps.contributions import finite_channels
from micam_fast.samples import Arrays, Sample

if TYPE_CHECKING:
    from micam_fast.api.model import Model


@dataclass(frozen=True)
class GridFiles:
    """What was written for a sample.

    Attributes
    ----------
    sample
        Its name.
    paths
        The pictures, in the order of the layers.
    flat
        Layers without feature maps: their activation is a list of values.
    bad
        Layers with channels that are not finite.
    """

    sample: str
    paths: tuple[Path, ...]
    flat: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()


def save_grids(
    model: Model,
    samples: Iterable[Sample],
    folder: Path,
    *,
    of: ChannelKind = "activations",
    formats: Sequence[str] = ("png",),
    projection: Projection = "published",
    frame: int | None = None,
    row_names: Sequence[str] = (),
) -> Iterator[tuple[str, GridFiles | SampleError]]:
    """Write a picture of each layer that has a map, and channels, for each sample.

    Parameters
    ----------
    model
        Its ``mapped`` layers are drawn.
    samples
        One that has an error is given back with it.
    folder
        Where to. It is made if it is not there.
    of
        ``"activations"``: the feature maps. ``"contributions"``: what each channel adds to the
        layer's map.
    formats
        ``"png"``, ``"svg"`` or both.
    projection
        Of contributions, as in `Model.explain`.
    frame
        As in `Model.explain`.
    row_names
        Of the input's rows, as in `Explanation.save`; they stand before the first map of a line.

    Yields
    ------
    name, found
        Of each sample, in their order: its name, and its files or why there are none.

    Raises
    ------
    LayerSelectionError
        If no layer has channels.
    OutputError
        If a file cannot be written.
    ValueError
        If `of`, a format or the projection is none that there is, or the frame no whole number.
    """
    check_choice("kind", of, CHANNEL_KINDS)
    for name in formats:
        if name not in format_names("grid"):
            known = ", ".join(format_names("grid"))
            raise ValueError(f"unknown format: {name!r} (must be one or more of {known})")
    check_folder(folder)
    names: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    # Few maps wait for their turn: those of a large layer take much memory.
    room = threading.BoundedSemaphore(model.threads + 1)
    layers = {layer.name: (index, layer) for index, layer in enumerate(model.layers)}

    def feed() -> Iterator[Mapping[str, NDArray[np.generic]] | SampleError]:
        for index, sample in enumerate(samples):
            names[index] = sample.name
            fitted = model.fit(sample.given)
            if row_names and not isinstance(fitted, SampleError):
                sizes[index] = _input_size(model, fitted)
            yield fitted

    def draw(
        layer: Layer,
        maps: NDArray[np.float32],
        about: Sequence[str],
        sample: str,
        stem: Path,
        rows: Sequence[str],
    ) -> list[Path]:
        try:
            header = [f"{model.name}, sample: {sample}", *about]
            if of == "contributions":
                header.append(f"projection: {projection}")
            drawing = draw_grid(layer, maps, of=of, header=header, row_names=rows)
            return [_write(drawing, stem, name) for name in formats]
        finally:
            room.release()

    def describe(found: LayerActivation) -> Iterator[str]:
        if found.copies > 1:
            steps = model.graph.taps[found.layer].stepped
            yield copies_line(found.copies, found.frame, steps=steps)
        if found.doubt is not None:
            yield found.doubt

    def write(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> GridFiles:
        if isinstance(found, SampleError):
            raise found
        flat: list[str] = []
        bad: list[str] = []
        waiting: list[Future[list[Path]]] = []
        rows = RowsOfInput(model.layers, sizes.pop(index, (0, 0)), row_names)
        for each in found:
            if each.flat:
                rows.names_of(each.layer, None)
                flat.append(each.layer)
                continue
            maps = channel_maps(each.array)
            if not finite_channels(maps).all():
                bad.append(each.layer)
            number, layer = layers[each.layer]
            parts = file_stem(model.name), f"sample-{index}", f"{number:03d}", file_stem(layer.name)
            if not waiting:
                make_folder(folder)
            room.acquire()
            stem = folder / "_".join([*parts, of])
            about = list(describe(each))
            named = rows.names_of(each.layer, (maps.shape[1], maps.shape[2]))
            drawn = each.sized or layer, maps, about, names[index], stem, named
            waiting.append(pool.submit(draw, *drawn))
        if not waiting:
            raise LayerSelectionError(
                f"none of the chosen layers has feature maps: {', '.join(flat)}"
            )
        paths = itertools.chain.from_iterable(job.result() for job in waiting)
        return GridFiles(names[index], tuple(paths), tuple(flat), tuple(bad))

    with ThreadPoolExecutor(model.threads, thread_name_prefix="micam-grids") as pool:
        if of == "activations":
            results = model.activations(feed(), write, frame=frame)
        else:
            results = model.contributions(feed(), write, projection=projection, frame=frame)
        for index, result in enumerate(results):
            yield names.pop(index), result


def _input_size(model: Model, sample: Arrays) -> tuple[int, int]:
    shapes = {name: array.shape for name, array in sample.items()}
    return spatial_input_size(
        view_inputs(model.inputs, Batching(model.graph).fed_shapes(shapes, 1))
    )


def channel_maps(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps of channels as they are drawn, in memory of their own.

    Parameters
    ----------
    array
        ``(C, *space)`` with 1 to 3 axes of space.

    Returns
    -------
    (C, h, w) float32
        A sequence is a single row; over depth the mean is taken.
    """
    if array.ndim == 2:
        array = array[:, np.newaxis]
    if array.ndim == 4:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(array.mean(axis=1, dtype=np.float64), np.float32)
    return array.copy()


def _write_svg(drawing: Drawing, file: BinaryIO) -> None:
    file.write(write_svg(drawing).encode())


_WRITERS: dict[str, Callable[[Drawing, BinaryIO], None]] = {"png": write_png, "svg": _write_svg}


def _write(drawing: Drawing, stem: Path, name: str) -> Path:
    path = stem.with_name(f"{stem.name}.{name}")
    with atomic_file(path) as file:
        _WRITERS[name](drawing, file)
    return path

"""Whether the loops stay within the arrays in hand, looked at before they run.

Kernels, axes and shapes come from a file: they are claims, and the activation is the fact. The
loops validate nothing, so whoever calls one looks here first, once for activations of some shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops import maps as loops
from micam_fast.core.activation_axes import ActivationAxes
from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Pointwise, Tap
from micam_fast.core.texts import count_of
from micam_fast.maps.taps import SummedKernel, Taps, find_taps


def _misfit(name: str, text: str) -> SampleError:
    return SampleError(f"layer {name!r}: {text}; export the model again")


def find_fitting_taps(
    name: str,
    tap: Tap,
    size: tuple[int, ...],
    channels: int,
    kernel: SummedKernel | None,
    read: tuple[int, ...] | None,
    projection: Projection,
) -> Taps:
    """Taps of a layer, as `find_taps` finds them, that stay within its activation and its map.

    Raises
    ------
    SampleError
        If the layer's kernel, or what it reads, is not of its activation's size.
    """
    if kernel is not None:
        _check_kernel(name, tap, channels, kernel, read, projection)
    taps = find_taps(tap, size, channels, kernel, read, projection)
    height, width = (1, *size)[-2:]
    depth = size[0] if len(size) == 3 else 1
    count = len(taps.weights)
    shapes = (taps.weights.shape, taps.rows.shape, taps.columns.shape)
    wanted = (
        (count, channels * depth),
        (count, height),
        (count, loops.RUNS_PER_TAP, loops.RUN_WIDTH),
    )
    if shapes != wanted or not _stay_within(taps, width):
        raise _misfit(name, f"its kernel does not fit an activation of {channels:,} x {size}")
    return taps


def _check_kernel(
    name: str,
    tap: Tap,
    channels: int,
    kernel: SummedKernel,
    read: tuple[int, ...] | None,
    projection: Projection,
) -> None:
    if len(kernel.values) != channels:
        found = f"its kernel has {len(kernel.values):,} channels, its activation {channels:,}"
        raise _misfit(name, found)
    if projection == "published":
        return
    rank = kernel.rank + 2 + tap.added_axes
    if read is None or len(read) != rank or not 0 < tap.source_channel < len(read):
        axes = "no known axes" if read is None else f"{len(read)} axes"
        raise _misfit(name, f"it reads a value of {axes} with a kernel for {rank}")


def _stay_within(taps: Taps, width: int) -> bool:
    """Tell whether no row and no run of columns leaves the activation or the map."""
    begins, steps = taps.columns[..., 0:4:2], taps.columns[..., 1:4:2]
    counts = taps.columns[..., 4:]
    ends = begins + (counts - 1) * steps.astype(np.int64)
    inside = (begins >= 0) & (steps > 0) & (ends < (width, taps.size[1]))
    return bool((inside | (counts == 0)).all() and (taps.rows < taps.size[0]).all())


def check_view(name: str, tap: Tap, view: ActivationAxes, samples: int) -> None:
    """Raise if a layer's activation has not the axes that the file says.

    Raises
    ------
    SampleError
        With the layer, and what does not fit.
    """
    rank = len(view.shape)
    check_has_frame(name, view)
    if view.batch is not None and view.shape[view.batch] != samples:
        found = f"{view.shape[view.batch]:,} samples in axis {view.batch} of its activation"
        raise _misfit(name, f"{found}, {samples:,} are expected")
    if tap.shown is not None and not all(0 <= axis < rank for axis in tap.shown):
        raise _misfit(name, f"its activation of {rank} axes is to be shown by {tap.shown}")


def check_has_frame(name: str, view: ActivationAxes) -> None:
    """Raise if a layer has not the frame that its map is asked for.

    Raises
    ------
    SampleError
        With the layer, and how many there are.
    """
    if view.frame is not None and not 0 <= view.frame < view.copies:
        raise _no_such_frame(name, view.frame, view.copies)


def check_single_frame(frame: int, holder: str | None) -> None:
    """Raise if a sample in which nothing is folded has not the frame that is asked for.

    `holder` is a layer that holds frames of a larger sample; it has frame 0 of this one.

    Raises
    ------
    SampleError
        With that layer, or that no layer has any frames.
    """
    if holder is None:
        raise SampleError(
            f"there is no frame {frame}: none of the mapped layers holds frames, windows or pairs "
            "of a sample in its batch axis; leave out the frame"
        )
    if frame > 0:
        raise _no_such_frame(holder, frame, 1)


def _no_such_frame(name: str, frame: int, count: int) -> SampleError:
    held = count_of(count, "frame")
    return SampleError(f"there is no frame {frame}: layer {name!r} has {held}, from 0")


def check_pointwise(name: str, tap: Tap, pointwise: Pointwise, shape: tuple[int, ...]) -> None:
    """Raise if a layer that follows from a value of this shape has numbers for other channels.

    Raises
    ------
    SampleError
        With the layer and both numbers.
    """
    channel = tap.axes.channel
    channels = shape[channel] if channel is not None and channel < len(shape) else 0
    for numbers in (pointwise.scale, pointwise.shift):
        if len(numbers) != channels:
            found = f"{len(numbers):,} factors or summands, its activation {channels:,} channels"
            raise _misfit(name, f"it has {found}")


def check_rows(
    names: Sequence[str],
    rows: NDArray[np.int64],
    leaders: NDArray[np.int64],
    arrays: NDArray[np.int64],
    samples: int,
    sizes: tuple[int, int, int, int],
) -> None:
    """Raise if a row of the tables leads the loops out of an array.

    Parameters
    ----------
    names
        Of the layers.
    rows
        ``(layers, TABLE_WIDTH)``.
    leaders
        ``(layers,)``: the row whose activation each one reads, its own but for a follower.
    arrays
        ``(layers, 3)``: where each one's activation begins and ends, and how many of its values
        belong to a sample.
    samples
        In the batch.
    sizes
        How many weights, row targets, numbers of column runs, and cells of maps there are.

    Raises
    ------
    SampleError
        With the first such layer.
    """
    column = rows.T
    kind, channels, taps = column[loops.KIND], column[loops.CHANNELS], column[loops.TAPS]
    flat, follows = kind == loops.FLAT, kind == loops.FOLLOWS
    grid = column[loops.ROWS_IN] * column[loops.COLUMNS_IN]
    cells = column[loops.ROWS_OUT] * column[loops.COLUMNS_OUT]
    read = channels * np.where(flat, 1, grid)
    last = column[loops.SOURCE] + (samples - 1) * column[loops.SAMPLE_STRIDE] + read
    begins, ends, counts = arrays.T
    reads = (begins <= column[loops.SOURCE]) & (last <= ends) & (read == counts)
    followed = cells == grid[leaders]
    fits = np.where(follows, followed, reads & (~flat | (channels <= cells)))
    numbers = np.where(follows, 3 * channels[leaders] + 2, taps * channels)
    taken = (
        (loops.WEIGHTS, numbers),
        (loops.ROW_TARGETS, taps * column[loops.ROWS_IN]),
        (loops.COLUMN_RUNS, taps * loops.RUNS_PER_TAP * loops.RUN_WIDTH),
        (loops.MAP, cells),
    )
    for (place, count), size in zip(taken, sizes, strict=True):
        fits &= (column[place] >= 0) & (count >= 0) & (column[place] + count <= size)
    if not fits.all():
        index = int(np.argmin(fits))
        found = f"its map would be made of {read[index]:,} values a sample"
        raise _misfit(names[index], f"{found}, its activation has {counts[index]:,}")

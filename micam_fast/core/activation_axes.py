"""Where batch, channels and space lie in an activation, and the sizes that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.layers import Axes, ModelInput, Reason


@dataclass(frozen=True)
class ActivationAxes:
    """An activation's axes by what they hold; a flat layer has neither channels nor space.

    Attributes
    ----------
    shape
        Of the whole array.
    batch
        Axis of the samples, ``None`` where the array belongs to a single sample.
    channels, space
        Axes of the channels (of a recurrent layer: directions and hidden units), and of depth, rows
        and columns, those that there are.
    folded
        The axis of the batch where it holds more than the one sample: frames, windows or pairs; the
        axis of the steps that a wrapper runs a layer on. A map is the mean over these copies.
    frame
        The one copy that a map is made of instead, from 0; ``None`` also where nothing is folded.
    """

    shape: tuple[int, ...]
    batch: int | None
    channels: tuple[int, ...] = ()
    space: tuple[int, ...] = ()
    folded: tuple[int, ...] = ()
    frame: int | None = None

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size, 1 to 3 axes; empty for a flat layer."""
        return tuple(self.shape[axis] for axis in self.space)

    @property
    def channel_count(self) -> int:
        """Number of channels."""
        return math.prod(self.shape[axis] for axis in self.channels)

    @property
    def copies(self) -> int:
        """How many frames, windows, pairs or steps of one sample there are."""
        return math.prod(self.shape[axis] for axis in self.folded)

    @property
    def taken(self) -> int:
        """How many of the copies a map is the mean of."""
        return self.copies if self.frame is None else 1

    @property
    def count(self) -> int:
        """Number of values of one sample that its map is made of; a list is one of means."""
        one = math.prod(self.shape[axis] for axis in self.sample_axes) // max(1, self.copies)
        return one * self.taken if self.space else one

    def doubt(self, reason: Reason) -> str | None:
        """What a label says if the channels may lie elsewhere; a flat layer has none."""
        if not self.space or len(self.channels) != 1:
            return None
        return reason.doubt(self.channels[0], len(self.shape))

    def copy(self, array: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Cast to float32: the batch first, then what is folded, channels, pixels.

        Of what is folded only the frame is kept, or the mean where the layer is flat.
        """
        moved = self._only_frame(array.transpose(self._order))
        if self.folded and self.frame is None and not self.space:
            begin = len(self._first)
            axes = tuple(range(begin, begin + len(self.folded)))
            moved = moved.mean(axis=axes, dtype=np.float64)
        np.copyto(out.reshape(moved.shape), moved, casting="unsafe")

    def arrange(self, array: NDArray[Any], sample: int) -> NDArray[np.float32]:
        """The copies of one sample as float32: ``(n, C, *space)``, or ``(n, N)`` where it is flat.

        ``n`` is `taken`.
        """
        moved = self._only_frame(array.transpose(self._order))
        chosen = moved if self.batch is None else moved[sample]
        shape = (self.channel_count, *self.size) if self.space else (self.count,)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(chosen.reshape((self.taken, *shape)), np.float32)

    def restore(self, arranged: NDArray[np.float32]) -> NDArray[np.float32]:
        """The array of one sample whose channels ``(C, P)`` are given, copies side by side.

        What `arrange` makes, with the copies behind the channels, put back in its place.
        """
        order = self._order
        shape = (self.channel_count, *self.size) if self.space else (self.count,)
        whole = arranged.reshape((shape[0], self.copies, *shape[1:]))
        moved = np.moveaxis(whole, 1, 0).reshape([self.shape[axis] for axis in order])
        return np.ascontiguousarray(moved.transpose(np.argsort(order)))

    def select(self, array: NDArray[Any], sample: int) -> NDArray[Any]:
        """What a map of one sample is made of, in some order."""
        moved = self._only_frame(array.transpose(self._order))
        return moved if self.batch is None else moved[sample]

    def _only_frame(self, moved: NDArray[Any]) -> NDArray[Any]:
        """An array with its axes in `_order`, without the copies that are not asked for."""
        if self.frame is None:
            return moved
        place = np.unravel_index(self.frame, [self.shape[axis] for axis in self.folded])
        return np.asarray(moved[(slice(None),) * len(self._first) + place])

    @property
    def sample_axes(self) -> tuple[int, ...]:
        """All axes but that of the samples."""
        return tuple(axis for axis in range(len(self.shape)) if axis != self.batch)

    @property
    def _first(self) -> tuple[int, ...]:
        return () if self.batch is None else (self.batch,)

    @property
    def _order(self) -> tuple[int, ...]:
        """All axes: the batch, what is folded, channels, pixels."""
        first = self._first + self.folded
        rest = tuple(axis for axis in range(len(self.shape)) if axis not in first)
        return first + (self.channels + self.space or rest)


def view_activation(
    shape: tuple[int, ...], axes: Axes, form: str, batch: int | None, frame: int | None = None
) -> ActivationAxes:
    """Find channels and spatial axes of an activation by its rank, as SPEC section 2 says.

    `axes` are those by the graph, `form` is ``Tap.form``, and `batch` the axis of the samples,
    ``None`` where the array belongs to a single sample. What the batch axis of a single sample
    holds is folded into it; `frame` picks one of these copies, which need not be there.
    """
    channel = axes.completed(len(shape)).channel
    folded = _folded_axes(shape, axes) if batch is None else ()
    if form == "distributed":
        folded += step_axes(len(shape), axes.batch, channel)
    rest = tuple(axis for axis in range(len(shape)) if axis not in (batch, *folded))
    frame = frame if folded else None
    if form == "recurrent" and len(rest) == 3:
        return ActivationAxes(shape, batch, rest[1:], rest[:1], folded, frame)
    if form == "flat" or not 2 <= len(rest) <= 4 or channel not in rest:
        return ActivationAxes(shape, batch, folded=folded, frame=frame)
    space = tuple(axis for axis in rest if axis != channel)
    return ActivationAxes(shape, batch, (channel,), space, folded, frame)


def step_axes(rank: int, batch: int | None, channel: int | None) -> tuple[int, ...]:
    """The axis of the steps that a wrapper runs a layer on: the first one behind the batch."""
    return tuple(axis for axis in range(rank) if axis not in (batch, channel))[:1]


def _folded_axes(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """The axis of the batch if it is known to hold more than one sample would fill."""
    batch = axes.batch
    if batch is None or axes.assumed_batch or batch >= len(shape) or shape[batch] <= 1:
        return ()
    return (batch,)


def single_batch_axis(shape: tuple[int, ...], axes: Axes) -> int | None:
    """Axis of the batch in a run of one sample; ``None`` where there is none."""
    batch = axes.batch
    return batch if batch is not None and batch < len(shape) and shape[batch] == 1 else None


def view_inputs(
    inputs: Sequence[ModelInput], shapes: Mapping[str, tuple[int, ...]]
) -> list[ActivationAxes]:
    """Axes of a model's inputs, by the shapes of the arrays that they are fed."""
    return [
        view_activation(shapes[spec.name], spec.axes, "channels", spec.axes.batch)
        for spec in inputs
    ]


def grid_input(views: Sequence[ActivationAxes]) -> int:
    """Index of the input that gives ``Hin x Win``: the first spatial one, else the first."""
    return next((index for index, view in enumerate(views) if len(view.space) > 1), 0)


def spatial_input_size(views: Sequence[ActivationAxes]) -> tuple[int, int]:
    """``Hin x Win`` of SPEC section 1: ``1 x T`` for a sequence, ``1 x N`` for a flat input."""
    view = views[grid_input(views)]
    height, width = (1, *(view.size or (max(1, view.count),)))[-2:]
    return height, width


def declared_input_size(inputs: Sequence[ModelInput]) -> tuple[int, int] | None:
    """``Hin x Win`` as far as the model alone tells it; ``None`` where samples fill in a size."""
    shapes = {spec.name: tuple(size or 1 for size in spec.shape) for spec in inputs}
    views = view_inputs(inputs, shapes)
    spec = inputs[grid_input(views)]
    sizes = [size for axis, size in enumerate(spec.shape) if axis != spec.axes.batch]
    return None if None in sizes else spatial_input_size(views)

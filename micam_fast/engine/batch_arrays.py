"""What a batch is fed to a model as, and where its samples lie in what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import single_batch_axis
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes
from micam_fast.engine.onnx_runtime import aligned_array
from micam_fast.models.onnx import ModelGraph
from micam_fast.samples import Arrays

Shapes = Mapping[str, tuple[int, ...]]


class NotBatchableError(Exception):
    """A model whose samples cannot run together."""


class Batching:
    """The batch of a model.

    Attributes
    ----------
    fixed_batch
        The batch that the model's inputs fix, if they do. It is filled up with the last sample.
    """

    def __init__(self, graph: ModelGraph) -> None:
        self._inputs = graph.inputs
        sizes = [s.shape[s.axes.batch] for s in graph.inputs if s.axes.batch is not None]
        self.fixed_batch = max((size for size in sizes if size is not None), default=None)

    def count(self, samples: Sequence[Arrays]) -> int:
        """How many samples run when these are to run."""
        return self.fixed_batch or len(samples)

    def fed_shapes(self, shapes: Shapes, count: int | None = None) -> dict[str, tuple[int, ...]]:
        """Shapes that are fed for so many samples of these shapes, by input name.

        Without a number, what one sample needs.
        """
        count = self.fixed_batch or 1 if count is None else count
        fed = {}
        for spec in self._inputs:
            shape, batch = shapes[spec.name], spec.axes.batch
            fed[spec.name] = shape if batch is None else (*shape[:batch], count, *shape[batch:])
        return fed

    def stack(self, samples: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Arrays by input name, filled up with the last sample where the model fixes its batch."""
        filled = [*samples, *[samples[-1]] * (self.count(samples) - len(samples))]
        feeds = {}
        for spec in self._inputs:
            rows = [sample[spec.name] for sample in filled]
            batch, shape = spec.axes.batch, rows[0].shape
            if batch is not None:
                shape = (*shape[:batch], len(rows), *shape[batch:])
            feeds[spec.name] = array = aligned_array(shape, rows[0].dtype)
            if batch is None:
                array[...] = rows[0]
            else:
                np.stack(rows, batch, out=array)
        return feeds

    def batch_axis(
        self, value: str, axes: Axes, shapes: Shapes, count: int, alone: Shapes | None = None
    ) -> int | None:
        """Axis of the samples in a value; ``None`` where it belongs to all of them.

        Parameters
        ----------
        value, axes
            The ONNX value, and where the graph says that its axes are.
        shapes
            Of this run.
        count
            Samples in this run.
        alone
            Shapes of a run of one sample, to compare with.

        Raises
        ------
        NotBatchableError
            If a batch of several samples has not grown along the axis that the graph tells.
        SampleError
            If it is the model's own batch that is hidden in another axis.
        """
        shape, batch = shapes[value], axes.batch
        if count == 1:
            return single_batch_axis(shape, axes)
        if self.fixed_batch is not None and (batch is None or shape[batch : batch + 1] == (1,)):
            # One value for all samples of a batch that cannot be made smaller.
            return None
        fits = batch is not None and batch < len(shape) and shape[batch] == count
        if not fits and self.fixed_batch is not None:
            raise SampleError(
                f"the model's batch of {count} is not an axis of its own in {value!r} "
                f"{shape}; export the model with a batch of 1, or an open one"
            )
        if not fits or batch is None:
            raise NotBatchableError
        if alone is not None and alone[value] != (*shape[:batch], 1, *shape[batch + 1 :]):
            raise NotBatchableError
        return batch

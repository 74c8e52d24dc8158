"""Activations of every layer of a model, from ONNX Runtime, and the maps that they must become.

What the loops, the published method and NumPy are fed with, and the reference that each is held
against before it is timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.cases import THREADS
from benchmarks.models import tapped
from micam_fast.core.layers import Tap
from micam_fast.models.onnx import ModelGraph, open_model, read_layers
from tests.helpers import reference

Array = NDArray[np.float32]
CLOSE = 1e-4


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of a batch.

    Attributes
    ----------
    graph
        The model's layers.
    arrays
        By ONNX value, as the model lays them out, one behind the other in `arena`.
    arena
        One-dimensional.
    offsets
        Where in the arena an array begins.
    input_size
        ``(Hin, Win)``.
    """

    graph: ModelGraph
    arrays: Mapping[str, Array]
    arena: Array
    offsets: Mapping[str, int]
    input_size: tuple[int, int]

    @property
    def megabytes(self) -> float:
        """Activations of a sample, in a million bytes."""
        return float(self.arena.nbytes / len(next(iter(self.arrays.values()))) / 1e6)

    def channels_last(self, name: str, sample: int = 0) -> Array:
        """One sample's activation of a layer, without a batch axis; a flat one as a list."""
        tap = self.graph.taps[name]
        array: Array = self.arrays[tap.value][sample]
        channel = tap.axes.completed(array.ndim + 1).channel
        if is_flat(tap, array.ndim):
            return array.reshape(-1)
        return array if channel is None else np.moveaxis(array, channel - 1, -1)

    def kernel(self, name: str) -> tuple[Array, Array | None] | None:
        """Kernel ``(kh, kw, J, C)`` in Keras order and bias; ``None`` for a layer without."""
        tap = self.graph.taps[name]
        if tap.geometry is None:
            return None
        kernel, bias = self.graph.weights(name)
        return np.moveaxis(kernel, (0, 1), (-1, -2)), bias

    def expected_cam(self, name: str, sample: int = 0) -> NDArray[np.float64]:
        """A layer's map by the formulas of SPEC section 2."""
        activation, weights = self.channels_last(name, sample), self.kernel(name)
        if activation.ndim == 1:
            return reference.flat_map(activation, *self.input_size)
        if weights is None:
            return reference.mean_map(activation)
        return reference.published_conv(activation, *weights)


def is_flat(tap: Tap, rank: int) -> bool:
    """Tell whether a sample's activation of this rank is shown as a list of values."""
    return tap.form == "flat" or rank < 2


class Tapped:
    """A model that gives out the activations of all its layers, opened once.

    Parameters
    ----------
    path
        A model of `benchmarks.models`.
    """

    def __init__(self, path: Path) -> None:
        self.graph = read_layers(open_model(path))
        (self._input,) = self.graph.inputs
        self._values = list(dict.fromkeys(tap.value for tap in self.graph.taps.values()))
        self._made = [value for value in self._values if value != self._input.name]
        self._session = open_session(tapped(path, self._made))

    def run(self, samples: Array) -> Activations:
        """Activations of a batch, which is laid out as the model takes it."""
        outputs = self._session.run(None, {self._input.name: samples})
        found = dict(zip(self._made, outputs, strict=True))
        del outputs
        found[self._input.name] = samples
        offsets, size = {}, 0
        for value in self._values:
            offsets[value] = size
            size += found[value].size
        arena = np.empty(size, np.float32)
        arrays = {}
        for value, begin in offsets.items():
            # The originals are let go one by one.
            source = found.pop(value)
            arrays[value] = arena[begin : begin + source.size].reshape(source.shape)
            arrays[value][...] = source
        channel = self._input.axes.channel
        height, width = (n for axis, n in enumerate(samples.shape[1:], 1) if axis != channel)
        return Activations(self.graph, arrays, arena, offsets, (height, width))


def open_session(model: Path | bytes) -> Any:
    """ONNX Runtime as it comes, but for the number of its threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def check_cams(cams: Mapping[str, NDArray[Any]], activations: Activations, sample: int = 0) -> None:
    """Hold every layer's map of one sample against the reference; none may be missing."""
    assert set(cams) == set(activations.graph.taps)
    for name, found in cams.items():
        check_cam(found, activations.expected_cam(name, sample), name)


def check_cam(found: NDArray[Any], expected: NDArray[Any], name: str) -> None:
    """Raise unless a map is the expected one to `CLOSE` of its largest value."""
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=CLOSE * np.abs(expected).max() + 1e-12, err_msg=name
    )

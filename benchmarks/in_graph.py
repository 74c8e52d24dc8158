"""The second way to the same numbers: maps as operators at the end of the ONNX graph.

By linearity a convolution's map is a 1x1 convolution of its activation to ``kh * kw`` planes, which
are then shifted and added; another layer's map is a mean. Appended to the graph, these leave ONNX
Runtime as a few megabytes. A layer that follows from another one by a factor and a summand for each
channel shares its 1x1 convolution, as such layers share a read in our loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.activations import Array, is_flat
from benchmarks.models import tapped
from micam_fast.maps.taps import find_taps, mean_taps, sum_kernel
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.merging import merge_scalings


class InGraph:
    """A model whose outputs are planes instead of activations.

    Parameters
    ----------
    path
        A model of `benchmarks.models`.
    means
        How means over channels are taken: ``"Conv"``, as a 1x1 convolution, or ``"ReduceMean"``.
    """

    def __init__(self, path: Path, means: str) -> None:
        self.graph = read_layers(open_model(path))
        (self.input,) = self.graph.inputs
        self._means = means
        self._rows: dict[str, list[Array]] = {}
        self._outputs: dict[str, tuple[str, slice | None]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._constants: dict[str, float] = {}
        self._outside: dict[str, Array] = {}
        self._shifts: dict[str, list[tuple[int, int]]] = {}
        for name in self.graph.taps:
            self._plan(name)
        outputs = [self._product(value) for value in self._rows]
        outputs += [value for value, rows in self._outputs.values() if rows is None]
        proto = onnx.ModelProto.FromString(tapped(path, []))
        proto.graph.node.extend(self._nodes)
        proto.graph.initializer.extend(self._weights)
        self.values = list(dict.fromkeys(v for v in outputs if v != self.input.name))
        proto.graph.output.extend(onnx.ValueInfoProto(name=value) for value in self.values)
        merge_scalings(proto, self.graph.reading.scalings, self.graph.constants)
        self.content = proto.SerializeToString()

    def _plan(self, name: str) -> None:
        """Find rows of a 1x1 convolution, or give the value out as it is."""
        tap = self.graph.taps[name]
        shape = self.graph.graph.shape(tap.value)
        assert shape is not None
        if len(shape) != 4 or is_flat(tap, 3) or tap.value == self.input.name:
            self._outputs[name] = tap.value, None
            return
        last = tap.axes.completed(4).channel == 3
        height, width, channels = shape[1:] if last else (*shape[2:], shape[1])
        assert channels is not None
        assert height is not None
        assert width is not None
        follows = self.graph.pointwise.get(name)
        if tap.geometry is not None:
            kernel = sum_kernel(*self.graph.weights(name), tap.geometry)
            taps = find_taps(tap, (height, width), channels, kernel, None, "published")
            kh, kw = kernel.values.shape[1:]
            self._shifts[name] = list(
                itertools.product(range(min(kh, height)), range(min(kw, width)))
            )
            self._add(name, tap.value, taps.weights, last)
        elif follows is not None and follows.low == -np.inf and follows.high == np.inf:
            self._constants[name] = float(follows.shift.mean(dtype=np.float64))
            weights = follows.scale[np.newaxis] / np.float32(channels)
            self._add(name, follows.source, weights, last)
        elif self._means == "Conv" or last:
            self._add(name, tap.value, mean_taps(channels, height, width).weights, last)
        else:
            mean = f"mean/{tap.value}"
            self._nodes.append(
                helper.make_node("ReduceMean", [tap.value], [mean], axes=[1], keepdims=1)
            )
            self._outputs[name] = mean, None

    def _add(self, name: str, value: str, weights: Array, last: bool) -> None:
        if last:
            # Two layers at most, at the model's ends; there the planes are made outside.
            self._outputs[name], self._outside[name] = (value, None), weights
            return
        rows = self._rows.setdefault(value, [])
        self._outputs[name] = f"planes/{value}", slice(len(rows), len(rows) + len(weights))
        rows.extend(weights)

    def _product(self, value: str) -> str:
        weights = np.stack(self._rows[value]).astype(np.float32)[:, :, np.newaxis, np.newaxis]
        self._weights.append(numpy_helper.from_array(weights, f"rows/{value}"))
        planes = f"planes/{value}"
        node = helper.make_node("Conv", [value, f"rows/{value}"], [planes], kernel_shape=[1, 1])
        self._nodes.append(node)
        return planes

    def finish(self, arrays: Mapping[str, NDArray[Any]], sample: int) -> dict[str, Array]:
        """Maps of the layers that have planes: shifted, and added."""
        maps = {}
        for name, (value, rows) in self._outputs.items():
            if value.startswith("mean/"):
                maps[name] = arrays[value][sample, 0]
                continue
            if rows is not None:
                planes = arrays[value][sample, rows]
            elif name in self._outside:
                planes = np.moveaxis(arrays[value][sample] @ self._outside[name].T, -1, 0)
            else:
                continue
            shifts = self._shifts.get(name, [(0, 0)])
            rolled = [np.roll(p, s, axis=(0, 1)) for p, s in zip(planes, shifts, strict=True)]
            maps[name] = np.sum(rolled, axis=0) + np.float32(self._constants.get(name, 0))
        return maps

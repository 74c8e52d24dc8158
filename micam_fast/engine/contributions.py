"""Activations of a model to what their channels add to the maps."""

from __future__ import annotations

import threading
from dataclasses import replace

from micam_fast.core.choices import Projection
from micam_fast.engine.activations import LayerActivation
from micam_fast.maps.bounds import find_fitting_taps
from micam_fast.maps.contributions import contribute
from micam_fast.maps.taps import SummedKernel, counts_kernel, sum_kernel
from micam_fast.models.onnx import ModelGraph


class Contributions:
    """Turns activations of a model into what their channels add to the maps.

    The projection ``"transposed"`` needs the activations' ``source_shape``.
    """

    def __init__(self, graph: ModelGraph, projection: Projection) -> None:
        self._graph, self._projection = graph, projection
        self._kernels: dict[str, SummedKernel] = {}
        self._lock = threading.Lock()

    def split(self, found: LayerActivation) -> LayerActivation:
        """The same layer with what each channel adds, `contribute`; a flat one as it is.

        Raises
        ------
        SampleError
            If the layer's kernel does not fit its activation.
        """
        if found.flat:
            return found
        tap = self._graph.taps[found.layer]
        channels, *size = found.array.shape
        counts = counts_kernel(tap, self._projection)
        kernel = self._summed_kernel(found.layer) if counts else None
        taps = find_fitting_taps(
            found.layer, tap, tuple(size), channels, kernel, found.source_shape, self._projection
        )
        return replace(found, array=contribute(found.array, taps), whole=None)

    def _summed_kernel(self, name: str) -> SummedKernel:
        with self._lock:
            if name not in self._kernels:
                geometry = self._graph.taps[name].geometry
                assert geometry is not None
                self._kernels[name] = sum_kernel(*self._graph.weights(name), geometry)
            return self._kernels[name]

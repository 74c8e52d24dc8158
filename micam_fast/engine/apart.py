"""Layers that compute from activations that they are given, apart from the layers before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.activation_axes import ActivationAxes, single_batch_axis, view_activation
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.onnx_runtime import Extractor
from micam_fast.engine.sessions import open_part
from micam_fast.models.onnx import ModelGraph
from micam_fast.models.onnx.files import captured
from micam_fast.models.onnx.slices import give_out, whole_model
from micam_fast.samples import Arrays

_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


class LayersApart:
    """Runs layers on activations that they are given in place of what the layers before make.

    Parameters
    ----------
    model, graph
        The model, and its graph for the sample at hand.
    sample
        What `LoadedModel.fit` gives.
    names
        The layers whose activations are given. A layer is computed if all that it reads is given,
        or is computed from what is given.
    """

    def __init__(
        self, model: LoadedModel, graph: ModelGraph, sample: Arrays, names: Collection[str]
    ) -> None:
        taps, values = graph.taps, graph.graph
        times = Counter(taps[name].value for name in names)
        self._views: dict[str, ActivationAxes] = {}
        alone = Batching(graph).count([sample]) == 1
        for name in names if alone else ():
            tap = taps[name]
            shape = values.shape(tap.value) or (None,)
            sizes = tuple(size for size in shape if size is not None)
            # A value that two layers show is no place to cut.
            cut = values.element_type(tap.value) in _REAL and times[tap.value] == 1
            if cut and len(sizes) == len(shape):
                batch = single_batch_axis(sizes, tap.axes)
                self._views[name] = view_activation(sizes, tap.axes, tap.form, batch)
        self._inputs = {name: f"micam/given/{taps[name].value}" for name in self._views}
        proto = whole_model(model.file, [tap.value for tap in taps.values()]).proto
        types = {n: values.element_type(taps[n].value) for n in self._views}
        self._types = {n: onnx.helper.tensor_dtype_to_np_dtype(t) for n, t in types.items()}
        given = {taps[name].value: each for name, each in self._inputs.items()}
        known = {*given.values(), *(each.name for each in proto.graph.initializer)}
        for node in proto.graph.node:
            node.input[:] = [given.get(name, name) for name in node.input]
            if known.issuperset(captured(node)):
                known.update(node.output)
        self._values = {n: taps[n].value for n in self._views if taps[n].value in known}
        needed, nodes = set(self._values.values()), []
        for node in reversed(proto.graph.node):
            if not needed.isdisjoint(node.output):
                needed.update(captured(node))
                nodes.append(node)
        del proto.graph.node[:]
        proto.graph.node.extend(reversed(nodes))
        for name, each in self._inputs.items():
            shape = self._views[name].shape
            proto.graph.input.append(onnx.helper.make_tensor_value_info(each, types[name], shape))
        part = give_out(proto, list(self._values.values()))
        self._extractor: Extractor | None = None
        if self._values:
            # What ONNX Runtime refuses is not known.
            with suppress(ModelError):
                session = open_part(model.file, proto, threads=1, providers=model.providers)
                self._extractor = Extractor(session, part.inputs, part.outputs)

    def run(self, given: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """What each layer makes of what it is given to read.

        Parameters
        ----------
        given
            Activations ``(C, P)`` by layer, as `LayerActivation.values` has them.

        Returns
        -------
        dict
            The same of the layers that can be computed; in memory that the next run uses again.
        """
        if self._extractor is None:
            return {}
        feeds = {
            each: self._views[name].restore(given[name]).astype(self._types[name])
            for name, each in self._inputs.items()
            if each in self._extractor.inputs
        }
        try:
            arrays = self._extractor.run(feeds).arrays
        except SampleError:
            return {}
        found = {}
        for name, value in self._values.items():
            whole = self._views[name].arrange(arrays[value], 0)
            found[name] = np.moveaxis(whole, 0, 1).reshape(whole.shape[1], -1)
        return found

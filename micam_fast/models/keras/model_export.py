"""From a live Keras model to an annotated ONNX model, and Keras' own activations beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ExportError
from micam_fast.core.extras import import_extra
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.core.texts import describe_error
from micam_fast.models.keras import tidying
from micam_fast.models.keras.conversion import OPSET, convert, declare_value
from micam_fast.models.keras.describing import Initializers, describe
from micam_fast.models.keras.recording import Recording, record
from micam_fast.models.onnx.annotations import METADATA_KEY, LayerNote, write_notes

# The one that belongs to the operator set: older versions of ONNX Runtime open the file, too.
_IR_VERSION = 8


@dataclass(frozen=True, eq=False)
class KerasExport:
    """An exported model, and the Keras model that it must agree with.

    Attributes
    ----------
    proto
        The ONNX model: the outputs of the Keras model, then one for each layer.
    notes
        Of its layers.
    inputs
        In the order of Keras.
    """

    proto: onnx.ModelProto
    notes: tuple[LayerNote, ...]
    inputs: tuple[ModelInput, ...]
    _recording: Recording

    framework: ClassVar = "Keras"
    one_way: ClassVar = False
    sample: ClassVar = None
    remarks: ClassVar[tuple[str, ...]] = ()

    @property
    def layers(self) -> int:
        """Number of layers in the diagram."""
        return len(self.notes)

    @property
    def compared(self) -> dict[str, tuple[str, ...]]:
        """By layer: the value of its activation."""
        return {n.layer.name: (n.tap.value,) for n in self.notes if n.layer.inputs}

    def run(self, feeds: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Activations by Keras, in the layout of the ONNX values, by layer name.

        Each input is fed a batch, in the order of `inputs`.

        Raises
        ------
        ExportError
            If Keras cannot run the model on this machine.
        """
        try:
            found = self._recording.run(feeds)
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"Keras cannot run the model: {describe_error(error)}") from error
        activations = {}
        by_name = {c.name: a for c, a in zip(self._recording.calls, found, strict=True)}
        for note in self.notes:
            array, order = by_name[note.layer.name], note.tap.shown
            turned = array if order is None else array.transpose(np.argsort(order))
            activations[note.layer.name] = turned
        return activations


def export_model(model: Any) -> KerasExport:
    """Convert a live Keras model.

    Raises
    ------
    ExportError
        If it is no Keras model, or a layer cannot be converted.
    MissingExtraError
        If TensorFlow or tf2onnx is not installed.
    """
    tensorflow = import_extra("tensorflow", extra="tensorflow", purpose="the export")
    keras = import_extra("keras", extra="tensorflow", purpose="the export")
    tf2onnx = import_extra("tf2onnx", extra="tensorflow", purpose="the export")
    if not isinstance(model, keras.Model):
        raise ExportError(f"a keras.Model is expected, not a {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"Keras runs on {keras.backend.backend()!r}; the export needs KERAS_BACKEND=tensorflow"
        )
    recording = record(model)
    graph, arrays, stored = convert(recording)
    names = {call.name for call in recording.calls}
    # What stands for a layer is called like it.
    titles = {stored[c.output.name].value: c.name for c in recording.calls}
    tidying.rename_values(graph, titles)
    stored = {
        tensor: replace(found, value=titles.get(found.value, found.value))
        for tensor, found in stored.items()
    }
    fed = {value.name for value in graph.input}
    ends = [*recording.outputs, *(call.output for call in recording.calls)]
    for tensor in ends:
        found = stored[tensor.name]
        if found.value not in fed:
            fed.add(found.value)
            graph.output.append(declare_value(found, tensor))
    tidying.cancel_transposes(graph)
    tidying.fold_constants(graph, arrays)
    tidying.mend_gaps(graph)
    tidying.mend_resizes(graph, arrays)
    # A convolution may read what is no layer's activation: the second output of one.
    read = {tensor.name for call in recording.calls for tensor in call.inputs}
    kept = {stored[name].value for name in read if name in stored}
    tidying.drop_dead_nodes(graph, arrays, kept)
    initializers = Initializers(arrays, names)
    notes = _in_order(describe(recording.calls, stored, initializers), recording.order)
    tidying.rename_values(graph, initializers.names)
    proto = onnx.helper.make_model(
        graph,
        producer_name="micam-fast",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    for name, array in arrays.items():
        # With a single copy of its values: protocol buffers copy messages.
        proto.graph.initializer.add(
            name=initializers.names.get(name, name),
            data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            raw_data=array.tobytes(),
        )
    made_by = {each.__name__: each.__version__ for each in (keras, tensorflow, tf2onnx)}
    onnx.helper.set_model_props(proto, {METADATA_KEY: write_notes(notes, made_by)})
    taps = {note.layer.name: note.tap for note in notes}
    inputs = tuple(_describe_input(value, taps[value.name].axes) for value in graph.input)
    return KerasExport(proto, notes, inputs, recording)


def _describe_input(value: onnx.ValueInfoProto, axes: Axes) -> ModelInput:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind not in "biuf":
        raise ExportError(f"input {value.name!r} takes {dtype.name}; micam-fast feeds numbers only")
    return ModelInput(value.name, shape, axes, dtype.name)


def _in_order(notes: tuple[LayerNote, ...], order: Sequence[str]) -> tuple[LayerNote, ...]:
    """The order in which Keras lists the layers, which is the published one.

    Where Keras lists other nodes than there are (shared layers), or layers before what they read
    (subclassed models), the order in which they run.
    """
    places = {name: place for place, name in enumerate(order)}
    # A sequential model does not list its input.
    for note in notes:
        if not note.layer.inputs:
            places.setdefault(note.layer.name, -1)
    try:
        found = sorted(notes, key=lambda note: places[note.layer.name])
        is_late = any(
            places[each] >= places[n.layer.name] for n in found for each in n.layer.inputs
        )
    except KeyError:
        return notes
    return notes if is_late else tuple(found)

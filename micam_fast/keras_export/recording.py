"""A Keras model's layer calls, as TensorFlow traces them: who calls whom, with which tensors.

The model is traced once, for inference, with its large weights as inputs of the graph. Every call
of a layer that a model makes (not those that a layer makes of its own parts) is noted by a hook
around ``keras.Operation.__call__``; so functional, sequential, nested and subclassed models, shared
layers and plain operations all come out alike, in the order in which Keras runs them.
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.errors import ExportError

# Weights of at least this many elements stay out of the conversion.
_LARGE = 4096
_hooked = threading.Lock()


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer, which is one node of the diagram.

    Attributes
    ----------
    name
        By SPEC: the Keras name, ``OUTER/INNER`` in nested models, ``#2`` ... for further calls.
    layer
        The ``keras.layers.Layer``, or the ``keras.Operation``; ``None`` for a nested model's input.
    cluster
        Names of the nested models around the call, outermost first.
    inputs
        TensorFlow tensors that the call was given.
    outputs
        The tensors that it gave.
    parents
        Names of the calls whose outputs it reads.
    """

    name: str
    layer: Any
    cluster: tuple[str, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    parents: tuple[str, ...]

    @property
    def output(self) -> Any:
        """The first tensor that it gave: the layer's activation, by SPEC."""
        return self.outputs[0]


@dataclass(frozen=True, eq=False)
class Recording:
    """A traced model.

    Attributes
    ----------
    calls
        Inputs first, then in the order in which Keras runs them.
    outputs
        The model's own output tensors.
    function
        TensorFlow's concrete function; it gives the outputs of all `calls`.
    weights
        Values of the graph's inputs that hold weights, by tensor name.
    titles
        Keras' names of these weights, by tensor name.
    order
        Names of the layers as the model lists them, nested ones in place.
    """

    calls: tuple[LayerCall, ...]
    outputs: tuple[Any, ...]
    function: Any
    weights: dict[str, NDArray[Any]]
    titles: dict[str, str]
    order: tuple[str, ...]

    def run(self, feeds: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Activations of all calls by Keras itself, for a batch."""
        import tensorflow as tf

        inputs = [tf.constant(array) for array in feeds]
        weights = [tf.constant(self.weights[each.name]) for each in self._weight_inputs()]
        return [found.numpy() for found in self.function(inputs, weights)]

    def _weight_inputs(self) -> list[Any]:
        captured = {internal.name for _, internal in self.function.graph.captures}
        return [
            each
            for each in self.function.inputs
            if each.name in self.weights and each.name not in captured
        ]


def record(model: Any) -> Recording:
    """Trace a Keras model for inference.

    Parameters
    ----------
    model
        A built ``keras.Model``.

    Raises
    ------
    ExportError
        If the model has no known inputs, cannot be traced, or keeps what ONNX has no place for.
    """
    import tensorflow as tf

    inputs = _model_inputs(model)
    trainable, fixed = model.trainable_variables, model.non_trainable_variables
    values = {id(each): np.asarray(each.numpy()) for each in (*trainable, *fixed)}
    large = [each for each in (*trainable, *fixed) if values[id(each)].size >= _LARGE]
    places = {id(each): place for place, each in enumerate(large)}
    # A subclassed model need not take the argument; without it, Keras means inference.
    takes_mode = "training" in inspect.signature(model.call).parameters
    mode = {"training": False} if takes_mode else {}
    recorder = _Recorder()
    outputs: list[Any] = []

    def call(fed: list[Any], weights: list[Any]) -> list[Any]:
        def held(variables: Sequence[Any]) -> list[Any]:
            return [
                weights[places[id(v)]] if id(v) in places else tf.constant(values[id(v)])
                for v in variables
            ]

        for spec, tensor in zip(inputs, fed, strict=True):
            recorder.add_input(spec.name, tensor)
        with recorder.following(model), _inlined_functions():
            given = _as_called(model, fed)
            found, _ = model.stateless_call(held(trainable), held(fixed), given, **mode)
        outputs.extend(tf.nest.flatten(found))
        return [each.output for each in recorder.calls]

    specs = [tf.TensorSpec((None, *each.shape[1:]), each.dtype, each.name) for each in inputs]
    weight_specs = [tf.TensorSpec(each.shape, each.dtype) for each in large]
    try:
        function = tf.function(call, autograph=False).get_concrete_function(specs, weight_specs)
    except Exception as error:
        raise ExportError(
            f"Keras cannot run model {model.name!r}: {type(error).__name__}: {error}"
        ) from error
    weights = {}
    titles = {}
    for tensor, variable in zip(function.inputs[len(inputs) :], large, strict=False):
        weights[tensor.name] = values[id(variable)]
        titles[tensor.name] = variable.path
    for external, internal in function.graph.captures:
        if not hasattr(external, "numpy") or external.dtype == tf.resource:
            raise ExportError(
                f"model {model.name!r} holds {internal.name!r}, a TensorFlow resource that is no "
                "Keras weight (a lookup table or a tf.Variable); ONNX has no place for it"
            )
        weights[internal.name] = external.numpy()
        titles[internal.name] = f"constant/{internal.op.name}"
    order = tuple(_listed_names(model))
    return Recording(tuple(recorder.calls), tuple(outputs), function, weights, titles, order)


@contextmanager
def _inlined_functions() -> Iterator[None]:
    """Trace through functions that Keras compiles by themselves (its grouped convolutions)."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _listed_names(model: Any, prefix: str = "") -> Iterator[str]:
    import keras

    for each in getattr(model, "operations", None) or model.layers:
        if isinstance(each, keras.Model):
            yield from _listed_names(each, f"{prefix}{each.name}/")
        else:
            yield f"{prefix}{each.name}"


@dataclass(frozen=True)
class _InputSpec:
    name: str
    shape: tuple[int | None, ...]
    dtype: str


def _model_inputs(model: Any) -> list[_InputSpec]:
    """The model's inputs; of a subclassed one, as it was built with."""
    import keras

    known = getattr(model, "inputs", None)
    if known:
        return [_InputSpec(_layer_name(each), tuple(each.shape), each.dtype) for each in known]
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        raise ExportError(
            f"model {model.name!r} does not know the shape of its input: call it once on a sample "
            "before the export"
        )
    dtype = keras.config.floatx()
    return [
        _InputSpec(name.removesuffix("_shape"), tuple(shape), dtype)
        for name, shape in shapes.items()
    ]


def _as_called(model: Any, fed: list[Any]) -> Any:
    """Inputs as the model takes them: one tensor, or in the lists and mappings it was made with."""
    import keras

    structure = getattr(model, "_inputs_struct", None)
    if structure is not None:
        return keras.tree.pack_sequence_as(structure, fed)
    return fed[0] if len(fed) == 1 else fed


def _layer_name(tensor: Any) -> str:
    """Name of the input layer that made a Keras tensor."""
    history = getattr(tensor, "_keras_history", None)
    return str(tensor.name if history is None else history.operation.name)


@dataclass(eq=False)
class _Recorder:
    """Notes calls while a model is traced."""

    calls: list[LayerCall] = field(default_factory=list)
    # Which call made a tensor, by its name; all lie in one graph.
    _makers: dict[str, str] = field(default_factory=dict)
    _used: Counter[str] = field(default_factory=Counter)
    # Names of the nested models that run; None inside of a layer.
    _path: list[str | None] = field(default_factory=list)

    @contextmanager
    def following(self, model: Any) -> Iterator[None]:
        """Note what `model` calls."""
        import keras

        original = keras.Operation.__call__
        thread = threading.get_ident()
        recorder = self

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(operation, *args, **kwargs)
            return recorder._call(original, operation, args, kwargs)

        with _hooked:
            keras.Operation.__call__ = call
            try:
                yield
            finally:
                keras.Operation.__call__ = original

    def add_input(self, name: str, tensor: Any) -> None:
        """Note an input of the whole model."""
        unique = self._unique(name)
        self.calls.append(LayerCall(unique, None, (), (tensor,), (tensor,), ()))
        self._makers[tensor.name] = unique

    def _call(
        self, original: Callable[..., Any], operation: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        import keras
        import tensorflow as tf

        if None in self._path:
            return original(operation, *args, **kwargs)
        if isinstance(operation, keras.Model):
            self._path.append(self._unique(operation.name))
            try:
                args = self._add_nested_inputs(operation, args)
                return original(operation, *args, **kwargs)
            finally:
                self._path.pop()
        name = self._unique(operation.name)
        inputs = self._tensors(args, kwargs)
        self._path.append(None)
        try:
            found = original(operation, *args, **kwargs)
        finally:
            self._path.pop()
        found = tf.nest.map_structure(self._own, found)
        tensors = [each for each in tf.nest.flatten(found) if tf.is_tensor(each)]
        if tensors:
            self._add(name, operation, inputs, tensors)
        return found

    def _add_nested_inputs(self, model: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Note the input layers of a nested model, which Keras does not call."""
        import keras
        import tensorflow as tf

        layers = [each for each in model.layers if isinstance(each, keras.layers.InputLayer)]
        fed = tf.nest.flatten(args[:1])
        if not layers or len(fed) != len(layers):
            return args
        names = [_layer_name(each) for each in model.inputs]
        given = [self._own(tensor) for tensor in fed]
        for name, tensor, own in zip(names, fed, given, strict=True):
            self._add(self._unique(name), None, (tensor,), [own])
        return (tf.nest.pack_sequence_as(args[0], given), *args[1:])

    def _add(self, name: str, layer: Any, inputs: tuple[Any, ...], outputs: list[Any]) -> None:
        parents: dict[str, None] = {}
        for tensor in inputs:
            parents.update(dict.fromkeys(self._makers_of(tensor)))
        cluster = tuple(each for each in self._path if each is not None)
        cluster = tuple(each.rpartition("/")[2] for each in cluster)
        self.calls.append(LayerCall(name, layer, cluster, inputs, tuple(outputs), tuple(parents)))
        self._makers.update((tensor.name, name) for tensor in outputs)

    def _own(self, tensor: Any) -> Any:
        """A tensor of the call's own: a layer may hand on what it was given."""
        import tensorflow as tf

        if not tf.is_tensor(tensor) or not hasattr(tensor, "op"):
            return tensor
        if tensor.name in self._makers or tensor.op.type == "Placeholder":
            return tf.identity(tensor)
        return tensor

    def _unique(self, name: str) -> str:
        """The name of a call by SPEC section 1, unique in the model."""
        outer = next((each for each in reversed(self._path) if each is not None), None)
        full = name if outer is None else f"{outer}/{name}"
        self._used[full] += 1
        return full if self._used[full] == 1 else f"{full}#{self._used[full]}"

    def _tensors(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """What a call reads; masks that Keras hands on by itself are no edges of the diagram."""
        import tensorflow as tf

        found = [each for each in tf.nest.flatten(args) if hasattr(each, "op")]
        for name, value in sorted(kwargs.items()):
            for each in tf.nest.flatten(value):
                is_mask = name == "mask" or name.endswith("_mask")
                if hasattr(each, "op") and (not is_mask or each.name in self._makers):
                    found.append(each)
        return tuple(found)

    def _makers_of(self, tensor: Any) -> list[str]:
        """Calls that a tensor comes from, through whatever TensorFlow does in between."""
        found: dict[str, None] = {}
        waiting = [tensor]
        seen = set()
        while waiting:
            each = waiting.pop()
            if each.name in self._makers:
                found[self._makers[each.name]] = None
            elif each.name not in seen:
                seen.add(each.name)
                waiting.extend(reversed(each.op.inputs))
        return list(found)

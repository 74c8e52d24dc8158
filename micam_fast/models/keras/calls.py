"""Calls of layers, noted while Keras makes them.

A hook around ``keras.Operation.__call__`` notes every call of a layer that a model makes, and not
those that a layer makes of its own parts; so functional, sequential, nested and subclassed models,
shared layers and plain operations all come out alike.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_hooked = threading.Lock()
# TensorFlow's operations that read a shape alone.
_MEASURES = ("Rank", "Shape", "ShapeN", "Size")


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
    framed
        Whether it is of a model that a wrapper runs on each frame; then the batch axis of what it
        reads and gives holds the frames of each sample.
    """

    name: str
    layer: Any
    cluster: tuple[str, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    parents: tuple[str, ...]
    framed: bool = False

    @property
    def output(self) -> Any:
        """The first tensor that it gave: the layer's activation, by SPEC."""
        return self.outputs[0]


@dataclass(frozen=True, eq=False)
class FramesCall:
    """A call of a wrapper that runs a layer on each frame.

    Attributes
    ----------
    name, wrapper
        Of the call, and the ``keras.layers.TimeDistributed``.
    given, output
        TensorFlow tensors ``(batch, frames, ...)`` that it was given, and that the layer gave for
        all frames at once.
    mask
        Of the frames, a tensor or ``None``.
    """

    name: str
    wrapper: Any
    given: Any
    output: Any
    mask: Any


def framed_model(layer: Any) -> Any:
    """The model that a layer runs on each frame of a sample; ``None`` for any other layer."""
    import keras

    wraps = isinstance(layer, keras.layers.TimeDistributed)
    return layer.layer if wraps and isinstance(layer.layer, keras.Model) else None


def input_name(tensor: Any) -> str:
    """Name of the input layer that made a Keras tensor."""
    history = getattr(tensor, "_keras_history", None)
    return str(tensor.name if history is None else history.operation.name)


@dataclass(eq=False)
class Recorder:
    """Notes calls while a model is traced."""

    calls: list[LayerCall] = field(default_factory=list)
    frames_calls: list[FramesCall] = field(default_factory=list)
    # What models that run on each frame are given.
    folded: list[Any] = field(default_factory=list)
    # Which call made a tensor, by its name; all lie in one graph.
    _makers: dict[str, str] = field(default_factory=dict)
    # Tensors that a Keras layer gave, and not a plain operation.
    _of_layers: set[str] = field(default_factory=set)
    _used: Counter[str] = field(default_factory=Counter)
    # Names of the nested models that run; None inside of a layer.
    _path: list[str | None] = field(default_factory=list)
    # How many wrappers, one in the other, run what is called on each frame.
    _framed: int = 0

    @contextmanager
    def following(self) -> Iterator[None]:
        """Note the calls that this thread makes meanwhile."""
        import keras

        original = keras.Operation.__call__
        thread = threading.get_ident()

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(operation, *args, **kwargs)
            return self._call(original, operation, args, kwargs)

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
            return self._call_model(original, operation, self._unique(operation.name), args, kwargs)
        name = self._unique(operation.name)
        if framed_model(operation) is not None:
            return self._call_on_frames(original, operation, name, args, kwargs)
        inputs = self._tensors(args, kwargs)
        self._path.append(None)
        try:
            if isinstance(operation, keras.layers.TimeDistributed):
                found = self._call_on_frames(original, operation, name, args, kwargs)
            else:
                found = original(operation, *args, **kwargs)
        finally:
            self._path.pop()
        found = tf.nest.map_structure(self._own, found)
        tensors = [each for each in tf.nest.flatten(found) if tf.is_tensor(each)]
        if tensors:
            self._add(name, operation, inputs, tensors)
        return found

    def _call_model(
        self, original: Callable[..., Any], model: Any, name: str, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Run a nested model, whose layers are noted under the name."""
        self._path.append(name)
        try:
            args = self._add_nested_inputs(model, args)
            return original(model, *args, **kwargs)
        finally:
            self._path.pop()

    def _call_on_frames(
        self, original: Callable[..., Any], wrapper: Any, name: str, args: Any, kwargs: Any
    ) -> Any:
        """Run a wrapper's layer on all frames at once, in its batch axis.

        Keras runs it on one frame after the other, so that it would be there once for each frame;
        where their number is open, its graph gives one frame alone (Keras 3.15).
        """
        import tensorflow as tf

        inner = wrapper.layer
        given = args[0] if args else kwargs["inputs"]
        mask = kwargs.get("mask", getattr(given, "_keras_mask", None))
        more = {}
        if "training" in kwargs and inner._call_has_training_arg:
            more["training"] = kwargs["training"]
        frames = given.shape[1]
        # A Reshape to rows of a known size, and any number of them, makes boxes, not frames.
        rows = -1 if frames is not None else tf.shape(given)[0] * tf.shape(given)[1]
        if mask is not None and inner._call_has_mask_arg:
            more["mask"] = _reshaped(mask, [rows], [None], 2)
        folded = _reshaped(given, [rows], [None], 2)
        if framed_model(wrapper) is None:
            found = original(inner, folded, **more)
        else:
            self.folded.append(folded)
            self._framed += 1
            try:
                found = self._call_model(original, inner, name, (folded,), more)
            finally:
                self._framed -= 1
        if not tf.is_tensor(found):
            raise ValueError(f"the layer in {name!r} gives several outputs for each frame")
        count = tf.shape(given)[1] if frames is None else frames
        output = _reshaped(found, [-1, count], [None, frames], 1)
        if mask is not None:
            output._keras_mask = mask
        self.frames_calls.append(FramesCall(name, wrapper, given, output, mask))
        return output

    def _add_nested_inputs(self, model: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Note the input layers of a nested model, which Keras does not call."""
        import keras
        import tensorflow as tf

        layers = [each for each in model.layers if isinstance(each, keras.layers.InputLayer)]
        fed = tf.nest.flatten(args[:1])
        if not layers or len(fed) != len(layers):
            return args
        names = [input_name(each) for each in model.inputs]
        given = [self._own(tensor) for tensor in fed]
        for name, tensor, own in zip(names, fed, given, strict=True):
            self._add(self._unique(name), None, (tensor,), [own])
        return (tf.nest.pack_sequence_as(args[0], given), *args[1:])

    def _add(self, name: str, layer: Any, inputs: tuple[Any, ...], outputs: list[Any]) -> None:
        import keras

        read = _read_for_values(inputs, outputs)
        parents = dict.fromkeys(maker for tensor in read for maker in self._makers_of(tensor))
        cluster = tuple(each.rpartition("/")[2] for each in self._path if each is not None)
        self.calls.append(
            LayerCall(
                name, layer, cluster, inputs, tuple(outputs), tuple(parents), self._framed > 0
            )
        )
        self._makers.update((tensor.name, name) for tensor in outputs)
        if isinstance(layer, keras.Layer):
            self._of_layers.update(tensor.name for tensor in outputs)

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

    def drop_masks(self, shown: Collection[str]) -> None:
        """Forget operations that nothing reads or shows: those that make Keras' masks."""
        import keras

        read: set[str] = set()
        kept = []
        for call in reversed(self.calls):
            is_operation = call.layer is not None and not isinstance(call.layer, keras.Layer)
            if not is_operation or call.name in read or call.output.name in shown:
                kept.append(call)
                read.update(call.parents)
        self.calls = kept[::-1]

    def _tensors(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """What a call reads; masks that Keras hands on by itself are no edges of the diagram."""
        import tensorflow as tf

        found = [each for each in tf.nest.flatten(args) if hasattr(each, "op")]
        for name, value in sorted(kwargs.items()):
            is_mask = name == "mask" or name.endswith("_mask")
            for each in tf.nest.flatten(value):
                if hasattr(each, "op") and (not is_mask or each.name in self._of_layers):
                    found.append(each)
        return tuple(found)

    def _makers_of(self, tensor: Any) -> list[str]:
        """Calls that a tensor comes from, through whatever TensorFlow does in between."""
        return [self._makers[name] for name in _sources([tensor], self._makers)]


def _reshaped(tensor: Any, begin: list[Any], known: list[int | None], behind: int) -> Any:
    """A tensor whose first axes, as many as `behind` says, become others.

    These have the sizes `begin`, of which `known` says what is known when the model is traced.
    """
    import tensorflow as tf

    rest = tensor.shape[behind:]
    if rest.is_fully_defined():
        sizes = [*begin, *rest]
    else:
        sizes = tf.concat([begin, tf.shape(tensor)[behind:]], axis=0)
    found = tf.reshape(tensor, sizes)
    found.set_shape([*known, *rest])
    return found


def _read_for_values(inputs: Sequence[Any], outputs: Sequence[Any]) -> Sequence[Any]:
    """Those of the inputs of which not the shape alone is read; all where none is read at all."""
    reached = set(_sources(outputs, {tensor.name for tensor in inputs}))
    return [tensor for tensor in inputs if tensor.name in reached] or inputs


def _sources(tensors: Sequence[Any], ends: Container[str]) -> list[str]:
    """Names among the ends of the tensors that these are made of, other than by their shapes."""
    found: list[str] = []
    waiting, seen = list(tensors), set()
    while waiting:
        each = waiting.pop()
        if each.name in seen:
            continue
        seen.add(each.name)
        if each.name in ends:
            found.append(each.name)
        elif each.op.type not in _MEASURES:
            waiting.extend(reversed(each.op.inputs))
    return found

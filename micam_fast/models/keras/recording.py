"""A Keras model's layer calls, as TensorFlow traces them: who calls whom, with which tensors.

The model is traced once, for inference, with its large weights as inputs of the graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import ExportError
from micam_fast.core.texts import describe_error
from micam_fast.models.keras.calls import FramesCall, LayerCall, Recorder, framed_model, input_name

# Weights of at least this many elements stay out of the conversion.
_LARGE = 4096
# Of the largest value, between a model on all frames and on one after the other.
_TOLERANCE, _HALF_TOLERANCE, _SMALLEST_SCALE = 1e-3, 2e-2, 1e-4


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
    variables
        The Keras variables that `function` takes.
    order
        Names of the layers as the model lists them, nested ones in place.
    folded
        What models that a wrapper runs on each frame are given, all frames in the batch axis.
    frames_calls
        The calls of these wrappers, and of others; `function` gives what each was given, its output
        and its mask behind the outputs of all `calls`.
    """

    calls: tuple[LayerCall, ...]
    outputs: tuple[Any, ...]
    function: Any
    weights: dict[str, NDArray[Any]]
    titles: dict[str, str]
    variables: tuple[Any, ...]
    order: tuple[str, ...]
    folded: tuple[Any, ...] = ()
    frames_calls: tuple[FramesCall, ...] = ()

    def run(self, feeds: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Activations of all calls by Keras itself, for a batch.

        Raises
        ------
        ExportError
            If a layer gives other numbers for all frames at once than for one after the other.
        """
        import tensorflow as tf

        inputs = [tf.constant(array) for array in feeds]
        weights = [tf.convert_to_tensor(variable.value) for variable in self.variables]
        found = self.function(inputs, weights)
        count = len(self.calls)
        rest = iter(found[count:])
        for call in self.frames_calls:
            given, together = next(rest), next(rest)
            mask = {} if call.mask is None else {"mask": next(rest)}
            # Of arrays Keras knows the number of frames, and runs on one after the other.
            by_keras = call.wrapper(given, training=False, **mask)
            if not _agree(together.numpy(), np.asarray(by_keras)):
                raise ExportError(
                    f"the layer in {call.name!r} gives other numbers for all frames at once than "
                    "for one after the other: it mixes the samples of a batch"
                )
        return [each.numpy() for each in found[:count]]


def record(model: Any) -> Recording:
    """Trace a built ``keras.Model`` for inference.

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
    recorder = Recorder()
    outputs: list[Any] = []

    def call(fed: list[Any], weights: list[Any]) -> list[Any]:
        def held(variables: Sequence[Any]) -> list[Any]:
            return [
                weights[places[id(v)]] if id(v) in places else tf.constant(values[id(v)])
                for v in variables
            ]

        for spec, tensor in zip(inputs, fed, strict=True):
            recorder.add_input(spec.name, tensor)
        # Within a scope, a layer's name may begin with an underscore.
        with recorder.following(), _inlined_functions(), tf.name_scope("model"):
            given = _as_called(model, fed)
            found, _ = model.stateless_call(held(trainable), held(fixed), given, **mode)
        outputs.extend(tf.nest.flatten(found))
        recorder.drop_masks({tensor.name for tensor in outputs})
        frames = [(each.given, each.output, each.mask) for each in recorder.frames_calls]
        proofs = [tensor for each in frames for tensor in each if tensor is not None]
        return [*(each.output for each in recorder.calls), *proofs]

    specs = [tf.TensorSpec((None, *each.shape[1:]), each.dtype, each.name) for each in inputs]
    weight_specs = [tf.TensorSpec(each.shape, each.dtype) for each in large]
    try:
        function = tf.function(call, autograph=False).get_concrete_function(specs, weight_specs)
    except Exception as error:
        raise ExportError(
            f"Keras cannot run model {model.name!r}: {describe_error(error)}"
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
    return Recording(
        tuple(recorder.calls),
        tuple(outputs),
        function,
        weights,
        titles,
        tuple(large),
        order,
        tuple(recorder.folded),
        tuple(recorder.frames_calls),
    )


def _agree(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two arrays are the same numbers, up to rounding."""
    if one.shape != other.shape:
        return False
    a, b = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    tolerance = _HALF_TOLERANCE if one.dtype == np.float16 else _TOLERANCE
    scale = np.abs(b[finite]).max(initial=_SMALLEST_SCALE)
    close = np.abs(a[finite] - b[finite]).max(initial=0.0) <= tolerance * scale
    return bool(close and np.array_equal(np.isfinite(a), np.isfinite(b)))


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
        inner = each if isinstance(each, keras.Model) else framed_model(each)
        if inner is not None:
            yield from _listed_names(inner, f"{prefix}{each.name}/")
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
        return [_InputSpec(input_name(each), tuple(each.shape), each.dtype) for each in known]
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        raise ExportError(
            f"model {model.name!r} does not know the shape of its input: call it once on a sample "
            "before the export"
        )
    parameters = inspect.signature(model.call).parameters
    needed = [each for each in parameters.values() if each.default is each.empty]
    sizes = [size for shape in shapes.values() for size in shape]
    if len(needed) > 1 or not all(size is None or type(size) is int for size in sizes):
        raise ExportError(
            f"model {model.name!r} is subclassed and takes several inputs: export a functional "
            "model around it, keras.Model(inputs, model(inputs))"
        )
    # Whole numbers cannot be told from what Keras keeps.
    dtype = keras.config.floatx()
    return [
        _InputSpec(name.removesuffix("_shape"), tuple(shape), dtype)
        for name, shape in shapes.items()
    ]


def _as_called(model: Any, fed: list[Any]) -> Any:
    """What the model's call takes: a tensor, or the list or mapping that it was made with."""
    import keras

    structure = getattr(model, "_inputs_struct", None)
    return fed[0] if structure is None else keras.tree.pack_sequence_as(structure, fed)

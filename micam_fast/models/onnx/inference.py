"""Types and shapes of a model's values, as ONNX's shape inference finds them before a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Shape
from micam_fast.models.onnx.files import bodies
from micam_fast.models.onnx.limits import MOST_AXES, largest_value, shown
from micam_fast.models.onnx.operators import find_operator

# Sizes, axes, permutations: what is larger says nothing of shapes.
SMALL_TENSOR = 1024
# Numbers in a list of sizes; one has as many as a value has axes, or a few times that.
_LONGEST_LIST = 2**16

_TENSOR = "tensor_type"
_NORMALIZATIONS = ("batch norm", "group norm", "instance norm", "layer norm", "response norm")

InputShapes = Mapping[str, tuple[int, ...]]


def is_small(tensor: onnx.TensorProto) -> bool:
    """Tell whether `bare_model` keeps the values of an initializer."""
    inside = tensor.data_location != onnx.TensorProto.EXTERNAL
    return inside and math.prod(tensor.dims) <= SMALL_TENSOR


def bare_model(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the values of large initializers: all that inference looks at."""
    bare = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    bare.graph.node.extend(proto.graph.node)
    bare.graph.input.extend(proto.graph.input)
    bare.graph.output.extend(proto.graph.output)
    for each in proto.graph.initializer:
        if is_small(each):
            bare.graph.initializer.append(each)
        else:
            bare.graph.initializer.add(name=each.name, data_type=each.data_type, dims=each.dims)
    return bare


def infer_types(
    proto: onnx.ModelProto,
    input_shapes: InputShapes | None = None,
    numbers: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> dict[str, onnx.TypeProto]:
    """Types of the values; for inputs of these shapes, where some are given.

    Values of which the `numbers` are known count as constants.

    What the file declares of shapes that operators make is a claim, which ONNX Runtime does not
    hold the file to. It counts for the outputs alone, where inference knows nothing, and only
    before a run.
    """
    bare = bare_model(proto)
    _drop_claims(bare.graph)
    for node in bare.graph.node:
        if find_operator(node).field == "pool":
            _count_begun_windows(node)
    # Before version 4 a constant is to be a graph input, too, or inference overlooks it.
    bare.ir_version = max(bare.ir_version, 4)
    _set_numbers(bare.graph, numbers)
    if input_shapes:
        for value in bare.graph.input:
            if value.name in input_shapes:
                del value.type.tensor_type.shape.dim[:]
                for size in input_shapes[value.name]:
                    value.type.tensor_type.shape.dim.add().dim_value = size
    # Inference is a help, not a need: a run tells all shapes, and ONNX Runtime judges models.
    with contextlib.suppress(Exception):
        follows = _longest_list(bare.graph) <= _LONGEST_LIST
        bare = onnx.shape_inference.infer_shapes(bare, data_prop=follows)
        while _add_shapes(bare.graph):
            bare = onnx.shape_inference.infer_shapes(bare, data_prop=follows)
    if not input_shapes:
        for value, declared in zip(bare.graph.output, proto.graph.output, strict=True):
            _fill_in(value.type, declared.type)
    values = (*bare.graph.value_info, *bare.graph.output, *bare.graph.input)
    return {value.name: value.type for value in values if value.type.WhichOneof("value")}


def _count_begun_windows(node: onnx.NodeProto) -> None:
    """Give a pool with `ceil_mode` a window by which inference finds the size that a run has.

    Of a window that may begin behind all that is read, ONNX's inference counts such ones, ONNX
    Runtime does not. A window as long as its stride, without an end's pad, has as many as begin.
    """
    given = {each.name: each for each in node.attribute}
    padded = "auto_pad" in given and given["auto_pad"].s != b"NOTSET"
    if padded or "kernel_shape" not in given or not getattr(given.get("ceil_mode"), "i", 0):
        return
    window = given["kernel_shape"].ints
    rank = len(window)
    usual = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank}
    for name, numbers in usual.items():
        if name not in given:
            given[name] = node.attribute.add(name=name, type=onnx.AttributeProto.INTS, ints=numbers)
        if len(given[name].ints) != len(numbers):
            return
    strides, dilations, pads = (given[name].ints for name in usual)
    for axis, stride in enumerate(strides):
        length = (window[axis] - 1) * dilations[axis] + 1
        if length - pads[rank + axis] < stride:
            window[axis], dilations[axis], pads[rank + axis] = stride, 1, 0


def _set_numbers(graph: onnx.GraphProto, numbers: Mapping[str, NDArray[Any]]) -> None:
    """Put constants in the place of the nodes that make them."""
    for index in range(len(graph.node) - 1, -1, -1):
        made = [name for name in graph.node[index].output if name]
        if made and all(name in numbers for name in made):
            graph.initializer.extend(numpy_helper.from_array(numbers[n], n) for n in made)
            del graph.node[index]


def _add_shapes(graph: onnx.GraphProto) -> bool:
    """Tell shapes that inference leaves open, as far as operators do; tell if there are any."""
    types = {value.name: value.type for value in (*graph.value_info, *graph.output, *graph.input)}
    added = False
    for node in graph.node:
        name = next(iter(node.output), "")
        found = types.get(name)
        if not name or (found is not None and found.WhichOneof("value") not in (None, _TENSOR)):
            continue
        if found is not None and shape_of(found) is not None:
            continue
        told = _told_type(node, types)
        if told is None:
            continue
        if found is None:
            found = types[name] = graph.value_info.add(name=name).type
        if not found.tensor_type.elem_type:
            found.tensor_type.elem_type = told.tensor_type.elem_type
        found.tensor_type.shape.CopyFrom(told.tensor_type.shape)
        added = True
    return added


def _told_type(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> onnx.TypeProto | None:
    """The type of what an operator makes, if it is that of what it reads, or as long as a list."""
    operator = find_operator(node)
    if operator.sizes is not None and operator.field != "expand":
        # The numbers in the list need not be known for that. An Expand keeps further axes.
        listed = types.get(node.input[operator.sizes]) if operator.sizes < len(node.input) else None
        length = None if listed is None else shape_of(listed)
        if not length or length[0] is None or length[0] > MOST_AXES:
            return None
        made = onnx.TypeProto()
        for _ in range(length[0]):
            made.tensor_type.shape.dim.add()
        return made
    alone = operator.field == "elementwise" and len(node.input) == 1
    read = types.get(node.input[0]) if alone or operator.field in _NORMALIZATIONS else None
    return None if read is None or shape_of(read) is None else read


def _drop_claims(graph: onnx.GraphProto) -> None:
    """Take away the types that a bare graph declares of what its operators make, and of weights.

    Inference would believe their shapes rather than a kernel, and give up at a wrong element type.
    """
    held = {each.name: each for each in graph.initializer}
    for value in graph.input:
        if value.name in held:
            known = held[value.name]
            made = onnx.helper.make_tensor_type_proto(known.data_type, list(known.dims))
            value.type.CopyFrom(made)
    waiting: list[onnx.GraphProto] = [graph]
    while waiting:
        each = waiting.pop()
        for value in (*each.output, *each.value_info):
            value.ClearField("type")
        waiting.extend(body for node in each.node for body in bodies(node))


def _fill_in(found: onnx.TypeProto, declared: onnx.TypeProto) -> None:
    """Take what inference does not know from what is declared: sizes only of the same rank."""
    if not found.WhichOneof("value"):
        found.CopyFrom(declared)
    if shape_of(declared) is None or not found.HasField("tensor_type"):
        return
    inferred, claimed = found.tensor_type.shape.dim, declared.tensor_type.shape.dim
    if not found.tensor_type.HasField("shape"):
        found.tensor_type.shape.CopyFrom(declared.tensor_type.shape)
    elif len(inferred) == len(claimed):
        for own, other in zip(inferred, claimed, strict=True):
            if not own.HasField("dim_value") and other.HasField("dim_value"):
                own.CopyFrom(other)


def shape_of(found: onnx.TypeProto) -> Shape | None:
    """Shape of a tensor type, ``None`` where its rank is not known."""
    if not found.HasField("tensor_type") or not found.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in found.tensor_type.shape.dim
    )


def infer_sizes(proto: onnx.ModelProto, input_shapes: InputShapes) -> dict[str, int]:
    """Bytes of each value for inputs of these shapes, where inference can tell."""
    sizes = {}
    for name, found in infer_types(proto, input_shapes).items():
        shape = shape_of(found)
        if shape is not None and None not in shape:
            count = math.prod(size for size in shape if size is not None)
            sizes[name] = count * _item_size(found.tensor_type.elem_type)
    return sizes


def _longest_list(graph: onnx.GraphProto) -> int:
    """Most numbers that inference would follow in one value, when it follows lists of sizes.

    It holds each as a message of its own: a few Concats of a list with itself take all memory.
    """
    numbers = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    bounds: dict[str, int] = {}
    waiting: list[onnx.GraphProto | onnx.NodeProto] = [graph]
    while waiting:
        each = waiting.pop()
        if isinstance(each, onnx.GraphProto):
            for tensor in each.initializer:
                if tensor.data_type in numbers and is_small(tensor):
                    bounds[tensor.name] = math.prod(tensor.dims)
            waiting.extend(reversed(each.node))
            continue
        read = [bounds.get(name, 0) for name in each.input]
        operator = find_operator(each)
        if operator.measures:
            bound = MOST_AXES
        elif operator.name == "Constant":
            bound = max((_held_numbers(attribute) for attribute in each.attribute), default=0)
        else:
            bound = sum(read) if operator.name == "Concat" else max(read, default=0)
        bounds.update(dict.fromkeys(each.output, bound))
        waiting.extend(bodies(each))
    return max(bounds.values(), default=0)


def _held_numbers(attribute: onnx.AttributeProto) -> int:
    small = attribute.HasField("t") and is_small(attribute.t)
    return max(len(attribute.ints), math.prod(attribute.t.dims) if small else 0)


def promised_size(proto: onnx.ModelProto, names: Iterable[str]) -> float:
    """Bytes of some values together; infinite where inference cannot tell."""
    found = infer_types(proto)
    size = 0
    for name in names:
        shape = shape_of(found[name]) if name in found else None
        if shape is None:
            return math.inf
        # A size of 0 looks as one that is not known.
        if not all(d.HasField("dim_value") for d in found[name].tensor_type.shape.dim):
            return math.inf
        count = math.prod(each or 0 for each in shape)
        size += count * _item_size(found[name].tensor_type.elem_type)
    return size


def check_sizes(types: Mapping[str, onnx.TypeProto], name: str) -> None:
    """Raise if a value is larger than a machine holds, for one sample at least.

    Operators like Expand and ConstantOfShape make much from little, and ONNX Runtime may run them
    when it opens the model. Of types from `infer_types`, sizes that are open count as 1.

    Raises
    ------
    ModelError
        With the value, its shape and the bound.
    """
    bound = largest_value()
    for value, found in types.items():
        shape = shape_of(found)
        if shape is None:
            continue
        if len(shape) > MOST_AXES:
            raise ModelError(
                f"model {name!r}: value {value!r} has {len(shape):,} axes, and at most {MOST_AXES} "
                "are read"
            )
        size = math.prod(each or 1 for each in shape) * _item_size(found.tensor_type.elem_type)
        if size > bound:
            sizes = shown("x".join(str(each or "?") for each in shape))
            raise ModelError(
                f"model {name!r}: value {value!r} of {sizes} would take {size / 2**30:,.1f} GiB, "
                f"more than half of this machine's memory ({bound / 2**30:,.1f} GiB); use a larger "
                "machine, or give the model a smaller input when exporting it"
            )


def _item_size(element_type: int) -> int:
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize
    except KeyError:
        return 1

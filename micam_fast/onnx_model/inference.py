"""Types and shapes of a model's values, as ONNX's shape inference finds them before a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping

import onnx

from micam_fast.layers import Shape

# Sizes, axes, permutations: what is larger says nothing of shapes.
_SMALL_TENSOR = 1024

InputShapes = Mapping[str, tuple[int, ...]]


def is_small(tensor: onnx.TensorProto) -> bool:
    """Tell whether `bare_model` keeps the values of an initializer."""
    inside = tensor.data_location != onnx.TensorProto.EXTERNAL
    return inside and math.prod(tensor.dims) <= _SMALL_TENSOR


def bare_model(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the values of large initializers: all that inference looks at."""
    bare = onnx.ModelProto()
    bare.ir_version = proto.ir_version
    bare.opset_import.extend(proto.opset_import)
    bare.graph.node.extend(proto.graph.node)
    bare.graph.input.extend(proto.graph.input)
    bare.graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        light = bare.graph.initializer.add()
        if is_small(tensor):
            light.CopyFrom(tensor)
        else:
            light.name, light.data_type = tensor.name, tensor.data_type
            light.dims.extend(tensor.dims)
    return bare


def infer_types(
    proto: onnx.ModelProto, input_shapes: InputShapes | None = None
) -> dict[str, onnx.TypeProto]:
    """Types of the values; for inputs of these shapes, where some are given."""
    bare = bare_model(proto)
    if input_shapes:
        for value in bare.graph.input:
            if value.name in input_shapes:
                del value.type.tensor_type.shape.dim[:]
                for size in input_shapes[value.name]:
                    value.type.tensor_type.shape.dim.add().dim_value = size
        for value in bare.graph.output:
            value.type.tensor_type.ClearField("shape")
    # Inference is a help, not a need: a run tells all shapes, and ONNX Runtime judges models.
    with contextlib.suppress(Exception):
        bare = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    graph = bare.graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.output, *graph.value_info, *graph.input)
    return {value.name: value.type for value in values if value.HasField("type")}


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
            dtype = onnx.helper.tensor_dtype_to_np_dtype(found.tensor_type.elem_type)
            sizes[name] = count * dtype.itemsize
    return sizes

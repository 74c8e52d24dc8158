"""Values that nodes make of known ones, computed by ONNX Runtime before the model runs.

A stranger's file may make much from little. ONNX Runtime itself keeps to a bound here: what it
computes beforehand lies in memory of a limited size, and a node that needs more ends with an error.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.files import (
    OnnxFile,
    captured,
    node_tensors,
    promised_bytes,
    whole_tensor,
)
from micam_fast.models.onnx.inference import SMALL_TENSOR
from micam_fast.models.onnx.limits import largest_value, shown
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.runtime import quiet_options, words_of

# From this one on, initializers need not stand among the inputs.
_LEAST_IR = 4


def largest_folded() -> int:
    """Bytes that are computed at a time, and that a model's computed constants may take together.

    While results are copied both are there: together they are what one value may take.
    """
    return largest_value() // 2


def compute(
    model: OnnxFile, feeds: Mapping[str, NDArray[Any]], wanted: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Compute values of the outer graph from constants and from what is fed.

    They have the bits that ONNX Runtime gives them. It rewrites nothing before: each node runs as
    it stands there, in one thread.

    Parameters
    ----------
    feeds
        Values by name.
    wanted
        Names of what is asked for; nothing that they are made of needs a graph input.

    Raises
    ------
    ModelError
        If ONNX Runtime refuses a node, cannot run it, or needs more memory than `largest_folded`.
    """
    import onnxruntime

    nodes = _makers(model, wanted, feeds)
    read = {name for node in nodes for name in captured(node)}
    made = {name for node in nodes for name in node.output}
    known = _held_values(model, read - feeds.keys())
    known |= {name: array for name, array in feeds.items() if name in read - made}
    own = [each for node in nodes for each in _with_own_statistics(_with_data(node, model))]
    outputs = [onnx.ValueInfoProto(name=each) for each in wanted]
    proto = helper.make_model(
        helper.make_graph(own, "known", [], outputs), opset_imports=model.proto.opset_import
    )
    proto.ir_version = max(model.proto.ir_version, _LEAST_IR)
    fed = {}
    for name, array in known.items():
        if array.size > SMALL_TENSOR and _is_plain(array.dtype):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            proto.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
            fed[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
        else:
            # Some operators want sizes and units before they run.
            proto.graph.initializer.append(numpy_helper.from_array(array, name))
    idle = _bounded_session()
    try:
        session = _open(proto)
        values = session.run_with_ort_values(list(wanted), fed, _run_options())
    except Exception as error:
        maker = next((node.op_type for node in nodes if wanted[0] in node.output), "no operator")
        raise not_computed(model, wanted[0], maker, _words(error)) from error
    try:
        return {n: _copied(n, each) for n, each in zip(wanted, values, strict=True)}
    finally:
        del values
        idle.run(None, {}, _run_options())


def not_computed(model: OnnxFile, name: str, op_type: str, why: str) -> ModelError:
    """An error that names a value and the operator that makes it."""
    return ModelError(f"model {model.name!r}: cannot compute {name!r} ({op_type}): {shown(why)}")


def dense_array(held: onnx.TensorProto | onnx.SparseTensorProto, model: OnnxFile) -> NDArray[Any]:
    """The numbers of an initializer, those in a file beside the model, too."""
    if isinstance(held, onnx.TensorProto):
        return numpy_helper.to_array(whole_tensor(held, model))
    parts = (held.values, held.indices)
    values, indices = (numpy_helper.to_array(whole_tensor(part, model)) for part in parts)
    dense = np.zeros(tuple(held.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def _held_values(model: OnnxFile, names: Container[str]) -> dict[str, NDArray[Any]]:
    graph = model.proto.graph
    held = {each.name: each for each in graph.initializer if each.name in names}
    sparse = (each for each in graph.sparse_initializer if each.values.name in names)
    return {
        **{name: dense_array(each, model) for name, each in held.items()},
        **{each.values.name: dense_array(each, model) for each in sparse},
    }


def _makers(model: OnnxFile, wanted: Iterable[str], fed: Container[str]) -> list[onnx.NodeProto]:
    """Nodes that lead from what is fed and from constants to what is wanted."""
    nodes = model.proto.graph.node
    producer = {name: at for at, node in enumerate(nodes) for name in node.output if name}
    chosen: set[int] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        index = producer.get(name)
        if index is not None and index not in chosen and name not in fed:
            chosen.add(index)
            waiting.extend(captured(nodes[index]))
    return [nodes[index] for index in sorted(chosen)]


def _with_data(node: onnx.NodeProto, model: OnnxFile) -> onnx.NodeProto:
    """The node with the data of its tensors in it."""
    if all(each.data_location != onnx.TensorProto.EXTERNAL for each in node_tensors(node)):
        return node
    whole = copy.deepcopy(node)
    for tensor in node_tensors(whole):
        tensor.CopyFrom(whole_tensor(tensor, model))
    return whole


def _with_own_statistics(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A node, and before a batch normalization in training mode what copies its mean and variance.

    ONNX Runtime writes the new ones in their place, though others read the same constant.
    """
    trains = any(each.name == "training_mode" and each.i for each in node.attribute)
    if not trains or find_operator(node).name != "BatchNormalization":
        yield node
        return
    node = copy.deepcopy(node)
    for place in (3, 4):
        turned, own = (f"micam/{node.output[0]}/{place}/{part}" for part in ("turned", "own"))
        yield helper.make_node("Neg", [node.input[place]], [turned])
        yield helper.make_node("Neg", [turned], [own])
        node.input[place] = own
    yield node


def _open(proto: onnx.ModelProto) -> Any:
    import onnxruntime

    options = quiet_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    content, providers = proto.SerializeToString(), ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(
        content, options, providers=providers, enable_fallback=False
    )


def _words(error: Exception) -> str:
    text = str(error)
    if "Available memory of" in text:
        return f"it takes more than {largest_folded() / 2**30:,.1f} GiB"
    return words_of(error)


def _copied(name: str, value: Any) -> NDArray[Any]:
    """The numbers of a value; ONNX Runtime's memory is not held."""
    if not value.is_tensor():
        raise ModelError(f"{name!r}, made of constants, is no tensor")
    kind = value.element_type()
    if kind == onnx.TensorProto.STRING:
        return np.asarray(value.numpy())
    if _is_plain(helper.tensor_dtype_to_np_dtype(kind)):
        return np.array(value.numpy())
    # For types that NumPy has not itself, it has no name here.
    tensor = onnx.TensorProto(data_type=kind, dims=value.shape())
    tensor.raw_data = ctypes.string_at(value.data_ptr(), promised_bytes(tensor))
    return numpy_helper.to_array(tensor)


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Tell whether NumPy itself has such numbers, and ONNX Runtime takes them from arrays."""
    return dtype.isbuiltin == 1 and dtype.kind in "biuf"


def _run_options() -> Any:
    """Free memory goes back to the machine at the end of a run."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


@functools.cache
def _bounded_session() -> Any:
    """Give the sessions of this file memory of a limited size.

    Returns a session that does nothing: at the end of its run the memory of earlier results goes
    back to the machine.
    """
    import onnxruntime

    kind, use = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    # Strategy 1 sets aside what is asked for, and no power of two.
    limits = onnxruntime.OrtArenaCfg({"max_mem": largest_folded(), "arena_extend_strategy": 1})
    # A program that shares such memory among sessions of its own has set its bound.
    with contextlib.suppress(Exception):
        memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, use)
        onnxruntime.create_and_register_allocator(memory, limits)
    # Its result is empty: one of any size might take a place in a region that is to go back.
    nothing = numpy_helper.from_array(np.empty(0, np.float32), "nothing")
    node, output = helper.make_node("Neg", ["nothing"], ["o"]), onnx.ValueInfoProto(name="o")
    idle = helper.make_graph([node], "idle", [], [output], [nothing])
    return _open(helper.make_model(idle, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))

"""ONNX files: what they hold, and weights beside them, which lie within their folder."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.limits import shown

# Bytes from which on a model's are sampled; odd, so that all bytes of a number are met.
_SAMPLED, _SAMPLED_STEP = 2**20, 509
# Several of them share a byte.
_PACKED = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An opened model.

    Attributes
    ----------
    proto
        As this project reads and runs it; weights in external files are still there.
    name
        The file's stem, or the graph's name.
    folder
        Where external files are; ``None`` for a model that came in memory.
    mark
        Tells the model from one of the same graph with other weights, see `make_mark`; ``None``
        where nobody has made one.
    original
        Where `proto` was rewritten, what the file says itself, without its weights.
    """

    proto: onnx.ModelProto
    name: str
    folder: Path | None
    mark: str | None = None
    original: onnx.ModelProto | None = None


def make_mark(content: bytes, beside: Sequence[Path]) -> str:
    """A digest of samples of a model's bytes, and of size and time of the files beside it.

    A training changes weights all over: one byte of some hundred finds it out, and is read in a
    hundredth of the time.
    """
    step = 1 if len(content) < _SAMPLED else _SAMPLED_STEP
    digest = hashlib.sha256(np.frombuffer(content, np.uint8)[::step].tobytes())
    for path in beside:
        stat = path.stat()
        digest.update(repr((path.name, stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a graph and its subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from node_tensors(node)


def node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a node, those of its subgraphs included."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in sparse_tensors(attribute):
            yield from (sparse.values, sparse.indices)
        for subgraph in subgraphs(attribute):
            yield from tensors(subgraph)


def sparse_tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.SparseTensorProto]:
    """The sparse tensors that an attribute holds."""
    if attribute.HasField("sparse_tensor"):
        yield attribute.sparse_tensor
    yield from attribute.sparse_tensors


def subgraphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that an attribute holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node holds."""
    return (graph for attribute in node.attribute for graph in subgraphs(attribute))


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the outer graph that a node reads, directly or inside its subgraphs."""
    yield from (name for name in node.input if name)
    # Not by `bodies`: this runs most of all, and a generator more takes its time.
    for attribute in node.attribute:
        for body in subgraphs(attribute):
            yield from _free_names(body)


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    bound = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        yield from (name for name in captured(node) if name not in bound)
        bound.update(node.output)
    yield from (value.name for value in graph.output if value.name not in bound)


def external_path(tensor: onnx.TensorProto, model: OnnxFile) -> tuple[Path, int, int]:
    """File, offset and length in bytes of a tensor's external data.

    Raises
    ------
    ModelError
        If the data lies outside the model's folder (through a link, too), is not there, or is not
        as long as the tensor's shape says.
    """
    about = f"model {model.name!r}: tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) < len(tensor.external_data):
        raise ModelError(f"{about} says twice where its external data is; the file is damaged")
    if not all(type(each) is str for pair in entries.items() for each in pair):
        raise ModelError(f"{about} has its data in a place that is no UTF-8 text")
    location = entries.get("location", "")
    if model.folder is None:
        raise ModelError(
            f"{about} has its data in the file {shown(location)!r}, "
            "but a ModelProto has no folder; load it with onnx.load, or pass the model's path"
        )
    path = _resolved(model.folder, location)
    if path is None or not path.is_relative_to(model.folder):
        raise ModelError(
            f"{about} has its data in {shown(location)!r}, outside "
            "the model's own folder; external weights are read only from there"
        )
    if not path.is_file():
        raise ModelError(
            f"model {model.name!r}: the file {location!r} with the weights of tensor "
            f"{tensor.name!r} is missing beside the model"
        )
    promised = promised_bytes(tensor)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", promised))
    except ValueError as error:
        raise ModelError(f"{about} has a bad external data entry: {shown(str(error))}") from None
    if length != promised:
        raise ModelError(
            f"{about} of shape {shown(str(list(tensor.dims)))} takes {promised} bytes, and its "
            f"external data has {length}; the file is damaged"
        )
    if offset < 0 or offset + length > path.stat().st_size:
        raise ModelError(
            f"{about} ends beyond its file {location!r} "
            f"({path.stat().st_size} bytes); the file is truncated or belongs to another model"
        )
    return path, offset, length


def _resolved(folder: Path, location: str) -> Path | None:
    """The place with all its links followed; ``None`` where there can be none."""
    # ONNX Runtime takes this one for an address in its own memory.
    if not location or "_ORT_MEM_ADDR_" in location:
        return None
    try:
        path = (folder / location).resolve()
        path.is_file()
        return path
    except (OSError, ValueError, RuntimeError):
        # Too long, with a zero in it, or links in a circle.
        return None


def settle_external_data(tensor: onnx.TensorProto, model: OnnxFile) -> None:
    """Write where a tensor's external data is so that all who read it find what was checked.

    Raises
    ------
    ModelError
        As `external_path` does.
    """
    path, offset, length = external_path(tensor, model)
    assert model.folder is not None
    place = path.relative_to(model.folder).as_posix()
    del tensor.external_data[:]
    for key, value in (("location", place), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def promised_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's data by its shape and element type."""
    return -(-math.prod(tensor.dims) * element_bits(tensor.data_type) // 8)


def element_bits(data_type: int) -> int:
    """Bits of a number in a file; a text counts as one byte."""
    name = onnx.TensorProto.DataType.Name(data_type)
    if name in _PACKED:
        return _PACKED[name]
    if data_type == onnx.TensorProto.STRING:
        return 8
    return 8 * onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize


def external_files(model: OnnxFile) -> list[Path]:
    """The files beside the model that hold its weights, each once.

    Raises
    ------
    ModelError
        As `external_path` does.
    """
    held = tensors(model.proto.graph)
    outside = (each for each in held if each.data_location == onnx.TensorProto.EXTERNAL)
    return sorted({external_path(each, model)[0] for each in outside})


def whole_tensor(tensor: onnx.TensorProto, model: OnnxFile) -> onnx.TensorProto:
    """The tensor with its data in it, also where that lies in an external file.

    Raises
    ------
    ModelError
        As `external_path` does.
    """
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    path, offset, length = external_path(tensor, model)
    whole = copy.deepcopy(tensor)
    del whole.external_data[:]
    whole.data_location = onnx.TensorProto.DEFAULT
    with path.open("rb") as file:
        file.seek(offset)
        whole.raw_data = file.read(length)
    return whole

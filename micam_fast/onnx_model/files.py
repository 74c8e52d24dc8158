"""ONNX files: opening them, and keeping their weights within their folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from micam_fast.errors import ModelError


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An opened model: weights in external files are still there, not in `proto`."""

    proto: onnx.ModelProto
    name: str
    folder: Path | None


def open_model(source: str | Path | onnx.ModelProto) -> OnnxFile:
    """Open an ONNX file or take a model that is already in memory.

    Model-local functions are inlined. The caller's ``ModelProto`` is copied, not changed.

    Raises
    ------
    ModelError
        If there is no such file, it is no ONNX file, or its external weights are missing or lie
        outside its own folder.
    """
    if isinstance(source, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
        model = OnnxFile(proto, proto.graph.name or "model", None)
    else:
        path = Path(source)
        model = OnnxFile(_parse(path), path.stem, path.resolve().parent)
    _check_external_data(model)
    if model.proto.functions:
        from onnx import inliner

        inlined = inliner.inline_local_functions(model.proto)
        model = OnnxFile(inlined, model.name, model.folder)
    return model


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a graph and its subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for subgraph in subgraphs(attribute):
                yield from tensors(subgraph)


def subgraphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that an attribute holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def external_path(tensor: onnx.TensorProto, model: OnnxFile) -> tuple[Path, int, int | None]:
    """File, offset and length in bytes of a tensor's external data.

    Raises
    ------
    ModelError
        If the data lies outside the model's folder (through a link, too) or is not there.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if model.folder is None:
        raise ModelError(
            f"model {model.name!r}: tensor {tensor.name!r} has its data in the file {location!r}, "
            "but a ModelProto has no folder; load it with onnx.load, or pass the model's path"
        )
    path = (model.folder / location).resolve()
    if not location or not path.is_relative_to(model.folder):
        raise ModelError(
            f"model {model.name!r}: tensor {tensor.name!r} has its data in {location!r}, outside "
            "the model's own folder; external weights are read only from there"
        )
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries["length"]) if "length" in entries else None
    except ValueError as error:
        raise ModelError(
            f"model {model.name!r}: tensor {tensor.name!r} has a bad external data entry: {error}"
        ) from None
    if not path.is_file():
        raise ModelError(
            f"model {model.name!r}: the file {location!r} with the weights of tensor "
            f"{tensor.name!r} is missing beside the model"
        )
    if offset < 0 or (length or 0) < 0 or offset + (length or 0) > path.stat().st_size:
        raise ModelError(
            f"model {model.name!r}: tensor {tensor.name!r} ends beyond its file {location!r} "
            f"({path.stat().st_size} bytes); the file is truncated or belongs to another model"
        )
    return path, offset, length


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
    whole = onnx.TensorProto()
    whole.CopyFrom(tensor)
    del whole.external_data[:]
    whole.data_location = onnx.TensorProto.DEFAULT
    with path.open("rb") as file:
        file.seek(offset)
        whole.raw_data = file.read(-1 if length is None else length)
    return whole


def _parse(path: Path) -> onnx.ModelProto:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror or error}") from None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError:
        raise ModelError(
            f"{path} is not an ONNX file ({len(content)} bytes, no ModelProto)"
        ) from None
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"{path} is not an ONNX file: it holds no graph with operators")
    return proto


def _check_external_data(model: OnnxFile) -> None:
    for tensor in tensors(model.proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            external_path(tensor, model)

"""Opening ONNX files, whoever wrote them."""

from __future__ import annotations

import copy
import stat
from dataclasses import replace
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.annotations import METADATA_KEY
from micam_fast.models.onnx.files import (
    OnnxFile,
    external_files,
    make_mark,
    node_tensors,
    settle_external_data,
    tensors,
)
from micam_fast.models.onnx.functions import inline_functions
from micam_fast.models.onnx.inference import infer_types
from micam_fast.models.onnx.limits import LARGEST_FILE, reading
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.quantization import is_quantized, write_pairs
from micam_fast.models.onnx.reader import find_text
from micam_fast.models.onnx.real_units import write_real_units
from micam_fast.models.onnx.untouched import without_weights
from micam_fast.models.onnx.validity import check_structure
from micam_fast.models.other_files import describe_other


def open_model(source: str | Path | onnx.ModelProto) -> OnnxFile:
    """Open an ONNX file or take a model that is already in memory.

    Model-local functions are inlined. The caller's ``ModelProto`` is copied, not changed.

    Raises
    ------
    ModelError
        If there is no such file, it is no ONNX file, its graph is not as ONNX defines it or larger
        than what is read, or its external weights are missing or lie outside its own folder.
    """
    if isinstance(source, onnx.ModelProto):
        proto = copy.deepcopy(source)
        name = proto.graph.name
        model = OnnxFile(proto, name if name and type(name) is str else "model", None)
        content = None
    else:
        path = Path(source)
        content = _read(path)
        model = OnnxFile(_parse(path, content), path.stem, path.resolve().parent)
    with reading(model.name):
        # Graphs of a training are not run, and may read files, too.
        model.proto.ClearField("training_info")
        check_structure(model)
        _settle_external_data(model)
        if content is None and model.proto.ByteSize() < LARGEST_FILE:
            content = model.proto.SerializeToString(deterministic=True)
        if content is not None:
            model = replace(model, mark=make_mark(content, external_files(model)))
        return _rewrite(model)


def _rewrite(model: OnnxFile) -> OnnxFile:
    """The model with what layers are read from; it keeps what the file says itself."""
    proto = model.proto
    rewritten = (
        proto.functions
        or is_quantized(proto)
        or _has_units(proto)
        or _is_nameless(model)
        or any(map(_is_cast_like, proto.graph.node))
    )
    if not rewritten:
        return model
    original = without_weights(proto)
    if proto.functions:
        model = replace(model, proto=inline_functions(model))
        check_structure(model)
    _name_types(model.proto)
    write_pairs(model)
    write_real_units(model)
    _name_unused_outputs(model)
    return replace(model, original=original)


def _has_units(proto: onnx.ModelProto) -> bool:
    """Tell whether an operator makes codes of other codes."""
    return any(find_operator(node).units for node in proto.graph.node)


def _is_nameless(model: OnnxFile) -> bool:
    """Tell whether an operator has no name for its first output.

    An exported model has names for all that its layers need.
    """
    nodes = model.proto.graph.node
    nameless = any(node.output and not node.output[0] for node in nodes)
    return nameless and find_text(model, METADATA_KEY) is None


def _name_types(proto: onnx.ModelProto) -> None:
    """Write the type out that a CastLike takes from another value: it reads no number of that.

    Else what it makes of a constant would seem to follow from an activation.
    """
    found = [node for node in proto.graph.node if _is_cast_like(node)]
    types = infer_types(proto) if found else {}
    held = {each.name: each.data_type for each in proto.graph.initializer}
    for node in found:
        like = node.input[1]
        kind = types[like].tensor_type.elem_type if like in types else held.get(like)
        if kind:
            del node.input[1:]
            node.op_type = "Cast"
            node.attribute.append(onnx.helper.make_attribute("to", kind))


def _is_cast_like(node: onnx.NodeProto) -> bool:
    return find_operator(node).name == "CastLike" and len(node.input) == 2


def _name_unused_outputs(model: OnnxFile) -> None:
    """Name first outputs that have no name.

    A recurrent layer whose ``Y`` the model does not use needs one, for its activation to be
    fetched.
    """
    if not _is_nameless(model):
        return
    for index, node in enumerate(model.proto.graph.node):
        if node.output and not node.output[0]:
            node.output[0] = f"micam/{node.name or index}/first"


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise ModelError(f"cannot read model {path}: it is a pipe or a device, not a file")
        if found.st_size > LARGEST_FILE:
            raise ModelError(
                describe_other(path)
                or f"{path} is not an ONNX file: it has {found.st_size:,} bytes, and one ends at "
                f"{LARGEST_FILE:,}; larger weights lie in files beside it (external data)"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read model {path}: {said}") from None


def _parse(path: Path, content: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError:
        what = f"{path} is not an ONNX file ({len(content)} bytes, no ModelProto)"
        raise ModelError(describe_other(path) or what) from None
    if not proto.graph.node or not proto.opset_import:
        what = f"{path} is not an ONNX file: it holds no graph with operators"
        raise ModelError(describe_other(path) or what)
    return proto


def _settle_external_data(model: OnnxFile) -> None:
    bodies = (node for function in model.proto.functions for node in function.node)
    found = [*tensors(model.proto.graph), *(each for node in bodies for each in node_tensors(node))]
    for tensor in found:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            settle_external_data(tensor, model)

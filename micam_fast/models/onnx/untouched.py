"""A model as its file has it, where this project rewrites its nodes for reading and running.

Weights are held once: what a file says is kept without them, and gets them when it is to run.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS
from micam_fast.models.onnx.slices import Slice, give_out, whole_model


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """What a model says, without its constants: neither initializers nor Constant nodes."""
    bare = onnx.ModelProto(
        ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions
    )
    bare.graph.name = proto.graph.name
    bare.graph.node.extend(node for node in proto.graph.node if not _is_constant(node))
    return bare


def untouched_model(model: OnnxFile, wanted: Sequence[str]) -> Slice:
    """The model as its file has it, for values that the file names.

    Sizes that the file declares are left out: they are claims, and no part of what it computes.
    """
    if model.original is None:
        return whole_model(model, wanted, fixed_weights=False)
    proto, graph = onnx.ModelProto(), model.proto.graph
    proto.CopyFrom(model.original)
    del proto.graph.node[:]
    # They read nothing, so they may stand first.
    proto.graph.node.extend(node for node in graph.node if _is_constant(node))
    proto.graph.node.extend(model.original.graph.node)
    proto.graph.input.extend(graph.input)
    proto.graph.initializer.extend(graph.initializer)
    proto.graph.sparse_initializer.extend(graph.sparse_initializer)
    return give_out(proto, wanted, fixed_weights=False)


def _is_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.domain in ONNX_DOMAINS

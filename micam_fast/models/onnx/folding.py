"""Constants that nodes compute, by ONNX Runtime itself."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.core.texts import first_line_of
from micam_fast.models.onnx.constants import captured
from micam_fast.models.onnx.files import OnnxFile, whole_tensor


def compute(
    model: OnnxFile,
    feeds: Mapping[str, NDArray[Any]],
    wanted: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Compute values of the outer graph from constants and from what is fed.

    Parameters
    ----------
    feeds
        Values by name.
    wanted
        Names of what is asked for; nothing that they are made of needs a graph input.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot run them.
    """
    import onnxruntime

    source = model.proto
    proto = onnx.ModelProto(ir_version=max(source.ir_version, 4), opset_import=source.opset_import)
    proto.graph.name = "constants"
    proto.graph.node.extend(_makers(model, wanted, feeds))
    used = {name for node in proto.graph.node for name in captured(node)}
    proto.graph.initializer.extend(
        whole_tensor(t, model) for t in source.graph.initializer if t.name in used - feeds.keys()
    )
    sparse = source.graph.sparse_initializer
    proto.graph.sparse_initializer.extend(t for t in sparse if t.values.name in used)
    proto.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in feeds.items() if name in used
    )
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return dict(zip(wanted, session.run(list(wanted), {}), strict=True))
    except Exception as error:
        raise ModelError(
            f"model {model.name!r}: cannot compute {wanted[0]!r}: {first_line_of(error)}"
        ) from error


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

"""Values of a model by ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnxruntime

from tests.helpers.models import Array


def run(
    model: onnx.ModelProto, feeds: Mapping[str, Array], *names: str, optimized: bool = False
) -> list[Array]:
    """Values of the model by a session of ONNX Runtime's that micam-fast knows nothing of."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), options)
    return list(session.run(list(names), dict(feeds)))

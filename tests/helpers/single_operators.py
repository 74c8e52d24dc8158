"""Models of one operator, and the bits that ONNX Runtime computes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from tests.helpers.models import make_model, random_array

COUNT = 11


def single(op: str, shape: Sequence[int], *constants: Any, **given: Any) -> onnx.ModelProto:
    """A model of one operator, which reads ``x`` and constants."""
    return after([], op, shape, *constants, **given)


def after(
    first: Sequence[onnx.NodeProto],
    op: str,
    shape: Sequence[int],
    *constants: Any,
    reads: str = "x",
    then: Sequence[onnx.NodeProto] = (),
    held: Mapping[str, Any] | None = None,
    opset: int = 17,
    domain: str = "",
    **given: Any,
) -> onnx.ModelProto:
    """A model of an operator that reads some values, and constants ``c0`` and so on.

    Parameters
    ----------
    first, then
        Other nodes around it; the last of `then` makes ``o`` where there is one.
    op, domain, opset, shape, given
        The operator, the shape of a sample of ``x``, and attributes.
    constants
        What it reads besides.
    reads
        Names of values that it reads before those, with spaces in between.
    held
        Constants of the other nodes.
    """
    names = [f"c{index}" for index in range(len(constants))]
    made = "made" if then else "o"
    nodes = [
        *first,
        helper.make_node(op, [*reads.split(), *names], [made], name="one", **given),
        *then,
    ]
    all_held = {**dict(zip(names, constants, strict=True)), **(held or {})}
    model = make_model(nodes, {"x": ["N", *shape]}, ["o"], all_held, opset=opset)
    if domain:
        model.graph.node[len(first)].domain = domain
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def bits_of(session: onnxruntime.InferenceSession, batch_size: int) -> list[bytes]:
    """Bytes of each output of samples that run in batches."""
    feeds = {
        each.name: random_array(i, COUNT, *each.shape[1:])
        for i, each in enumerate(session.get_inputs())
    }
    runs = [
        session.run(None, {name: array[at : at + batch_size] for name, array in feeds.items()})
        for at in range(0, COUNT, batch_size)
    ]
    return [np.concatenate(parts).tobytes() for parts in zip(*runs, strict=True)]


def session_of(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime, where so many threads share each operator."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # More threads than cores would keep each other waiting.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options)

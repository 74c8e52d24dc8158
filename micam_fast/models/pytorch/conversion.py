"""From PyTorch to an ONNX graph whose nodes say what module they come from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import numpy_helper

from micam_fast.core.errors import ExportError
from micam_fast.core.texts import describe_error
from micam_fast.models.onnx.files import captured
from micam_fast.models.pytorch.programs import call_of
from micam_fast.models.pytorch.running import Call, Calling, evaluating, quiet
from micam_fast.models.pytorch.translations import translations


@dataclass(frozen=True)
class Converted:
    """An ONNX model of a module or program.

    Attributes
    ----------
    proto
        The model.
    values
        By call of a module: the values made in it, first ones first. Empty where the exporter
        does not tell.
    remarks
        What a user should know of it.
    """

    proto: onnx.ModelProto
    values: dict[Call, list[str]]
    remarks: tuple[str, ...]


def convert_module(calling: Calling) -> Converted:
    """Export a module in eval mode; its batch stays open where it can.

    Batch normalizations stay: the exporters' own optimization would fold them into convolutions.

    Raises
    ------
    ExportError
        If no exporter of PyTorch can.
    """
    remarks: list[str] = []
    with evaluating(calling.module), quiet():
        try:
            return _by_tracing_graph(calling, open_batch=True)
        except Exception as error:
            refused = _reason(error)
        try:
            found = _by_tracing_graph(calling, open_batch=False)
            remarks.append(f"the batch is fixed to 1; torch.export cannot leave it open: {refused}")
            return Converted(found.proto, found.values, tuple(remarks))
        except Exception as error:
            # An open batch may be refused for another reason, which is none with a batch of 1.
            refused = _reason(error)
        try:
            proto = _by_running(calling)
        except Exception as error:
            raise ExportError(
                f"PyTorch cannot export the module: {refused}; its older exporter: {_reason(error)}"
            ) from error
    remarks.append(f"torch.export cannot trace it ({refused}); PyTorch's older exporter wrote it")
    return Converted(proto, {}, tuple(remarks))


def convert_program(program: Any) -> Converted:
    """Export a program as it is: its own sizes stay open, and its batch normalizations stay.

    Raises
    ------
    ExportError
        If PyTorch's exporter cannot.
    """
    with quiet():
        try:
            return _write(program)
        except Exception as error:
            raise ExportError(f"PyTorch cannot export the program: {_reason(error)}") from error


def _by_tracing_graph(calling: Calling, *, open_batch: bool) -> Converted:
    import torch

    args, shapes = calling.args, None
    if open_batch:
        # Of a batch of 1, torch.export concludes that it is always 1.
        args = tuple(torch.cat([each, each]) for each in args)
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in args)
    names = list(calling.names)
    return _write(calling.module, args, dynamic_shapes=shapes, input_names=names)


def _write(source: Any, *args: Any, **given: Any) -> Converted:
    import torch

    written = torch.onnx.export(
        source,
        *args,
        dynamo=True,
        optimize=False,
        verbose=False,
        custom_translation_table=translations(),
        **given,
    )
    _tidy(written.model)
    proto = written.model_proto
    drop_made_biases(proto)
    made = {name for node in proto.graph.node for name in node.output}
    values: dict[Call, list[str]] = {}
    for node in written.exported_program.graph.nodes:
        call = call_of(node)
        if call is not None and node.name in made:
            values.setdefault(call, []).append(node.name)
    return Converted(proto, values, ())


def _reason(error: BaseException) -> str:
    """What was wrong: PyTorch's exporter says at which of its steps, and keeps the cause."""
    while type(error).__module__.startswith("torch.onnx") and error.__cause__ is not None:
        error = error.__cause__
    return describe_error(error)


def _tidy(model: Any) -> None:
    """Inline functions, compute what follows from constants alone, drop what nothing reads."""
    from onnx_ir.passes import common
    from onnxscript import optimizer

    common.InlinePass()(model)
    optimizer.fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedFunctionsPass()(model)
    common.NameFixPass()(model)


def drop_made_biases(proto: onnx.ModelProto) -> None:
    """Take the zeros away that the exporter gives to a convolution whose module has no bias.

    A map is weighted by the bias that there is, and a count of parameters would be too high.
    """
    held = {each.name: each for each in proto.graph.initializer}
    taken = set()
    for node in proto.graph.node:
        bias = held.get(node.input[2]) if len(node.input) == 3 else None
        if node.op_type not in ("Conv", "ConvTranspose") or bias is None:
            continue
        if not bias.name.endswith("bias") and not numpy_helper.to_array(bias).any():
            taken.add(node.input.pop())
    # What is within an If reads constants of the graph, too.
    taken -= {name for node in proto.graph.node for name in captured(node)}
    taken -= {value.name for value in proto.graph.output}
    for place in reversed(range(len(proto.graph.initializer))):
        if proto.graph.initializer[place].name in taken:
            del proto.graph.initializer[place]


def _by_running(calling: Calling) -> onnx.ModelProto:
    import torch

    file = io.BytesIO()
    torch.onnx.export(
        calling.module,
        calling.args,
        file,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=list(calling.names),
    )
    return onnx.load_model_from_string(file.getvalue())

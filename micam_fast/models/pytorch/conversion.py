"""From a live PyTorch module to an ONNX graph whose nodes say what module they come from."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from micam_fast.core.errors import ExportError
from micam_fast.core.texts import describe_error
from micam_fast.models.pytorch.running import Call, Calling, evaluating
from micam_fast.models.pytorch.translations import translations


@dataclass(frozen=True)
class Converted:
    """An ONNX model of a module.

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


def convert(calling: Calling) -> Converted:
    """Export a module in eval mode; its batch stays open where it can.

    Batch normalizations stay: the exporters' own optimization would fold them into convolutions.

    Raises
    ------
    ExportError
        If no exporter of PyTorch can.
    """
    remarks: list[str] = []
    with evaluating(calling.module), _quiet():
        try:
            return _by_tracing_graph(calling, open_batch=True)
        except Exception as error:
            refused = describe_error(error)
        with contextlib.suppress(Exception):
            found = _by_tracing_graph(calling, open_batch=False)
            remarks.append(f"the batch is fixed to 1; torch.export cannot leave it open: {refused}")
            return Converted(found.proto, found.values, tuple(remarks))
        try:
            proto = _by_running(calling)
        except Exception as error:
            raise ExportError(
                f"PyTorch cannot export the module: {refused}; its older exporter: "
                f"{describe_error(error)}"
            ) from error
    remarks.append(f"torch.export cannot trace it ({refused}); PyTorch's older exporter wrote it")
    return Converted(proto, {}, tuple(remarks))


def _by_tracing_graph(calling: Calling, *, open_batch: bool) -> Converted:
    import torch

    args, shapes = calling.args, None
    if open_batch:
        # Of a batch of 1, torch.export concludes that it is always 1.
        args = tuple(torch.cat([each, each]) for each in args)
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in args)
    program = torch.onnx.export(
        calling.module,
        args,
        dynamo=True,
        optimize=False,
        verbose=False,
        dynamic_shapes=shapes,
        input_names=list(calling.names),
        custom_translation_table=translations(),
    )
    _tidy(program.model)
    proto = program.model_proto
    made = {name for node in proto.graph.node for name in node.output}
    values: dict[Call, list[str]] = {}
    for node in program.exported_program.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if node.op != "call_function" or not stack or node.name not in made:
            continue
        key, (path, _) = next(reversed(stack.items()))
        _, _, number = key.rpartition("@")
        values.setdefault(Call(path, int(number) if number.isdigit() else 0), []).append(node.name)
    return Converted(proto, values, ())


def _tidy(model: Any) -> None:
    """Inline functions, compute what follows from constants alone, drop what nothing reads."""
    from onnx_ir.passes import common
    from onnxscript import optimizer

    common.InlinePass()(model)
    optimizer.fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedFunctionsPass()(model)
    common.NameFixPass()(model)


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what the exporters print, warn and log; remarks say what a user should know."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

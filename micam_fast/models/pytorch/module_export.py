"""From a live module or program to an ONNX model, and PyTorch's own activations beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ExportError, MicamError
from micam_fast.core.extras import import_extra
from micam_fast.core.layers import ModelInput
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.layer_names import MODULES_KEY, write_modules
from micam_fast.models.pytorch.conversion import Converted, convert_module, convert_program
from micam_fast.models.pytorch.programs import (
    ProgramCalling,
    find_program_calling,
    module_classes,
    refuse_training,
)
from micam_fast.models.pytorch.running import WHOLE, Call, Calling, find_calling


@dataclass(frozen=True, eq=False)
class ModuleExport:
    """An exported module or program, and what it must agree with.

    Attributes
    ----------
    proto
        The ONNX model.
    inputs
        In the order of the arguments.
    compared
        By module, in the order of their calls: the values that are made in it. The last of the
        shape that the module gives is what it gives.
    layers
        Number of layers in the diagram.
    remarks
        What a user should know of the export.
    one_way
        Whether it is the record of one run: a way that depends on numbers is that of its sample.
    """

    proto: onnx.ModelProto
    inputs: tuple[ModelInput, ...]
    compared: Mapping[str, Sequence[str]]
    layers: int
    remarks: tuple[str, ...]
    one_way: bool
    _calling: Calling | ProgramCalling

    framework: ClassVar = "PyTorch"

    @property
    def sample(self) -> list[NDArray[Any]] | None:
        """The batch that it was exported with, by input; a program need not have one."""
        return self._calling.sample

    def run(self, feeds: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the modules give by PyTorch; each input is fed a batch, in the order of `inputs`."""
        found = self._calling.fed(feeds).run()
        return {_label(call): array for call, array in found.items()}


def is_module(model: Any) -> bool:
    """Tell whether this is a PyTorch module; PyTorch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def unwrapped(model: Any) -> Any:
    """The module within the wrappers of ``torch.compile`` and ``DataParallel``; else what is given.

    They only run it otherwise, and its owner knows its modules without them.
    """
    while is_module(model):
        torch = sys.modules["torch"]
        parallel = torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel
        if isinstance(model, parallel):
            model = model.module
        elif type(model).__name__ == "OptimizedModule" and "_orig_mod" in model._modules:
            model = model._orig_mod
        else:
            break
    return model


def refuse_weights(model: Any, kind: type[MicamError]) -> None:
    """Raise an error of this kind for weights without their module, and for TorchScript."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.jit.ScriptModule):
        raise kind(
            "a TorchScript module tells nothing of the modules within; export it with "
            "torch.onnx.export(module, inputs, 'model.onnx', dynamo=False), or the module that it "
            "was made from"
        )
    if isinstance(model, Mapping):
        raise kind(
            "a dictionary of weights is no model; build its module and load them into it: "
            "module.load_state_dict(weights)"
        )


def export_module(module: Any, sample: Any) -> ModuleExport:
    """Convert a live PyTorch module, in eval mode, with one sample.

    Raises
    ------
    ExportError
        If there is no sample, the module cannot be run with it, or be converted.
    MissingExtraError
        If PyTorch or onnxscript is not installed.
    """
    _import_exporter()
    if sample is None:
        raise ExportError(
            "a PyTorch module does not tell the sizes of its input; give a sample of them: "
            "sample=torch.randn(1, 3, 224, 224)"
        )
    calling = find_calling(module, sample)
    found = convert_module(calling)
    classes = [
        (path, f"{type(each).__module__}.{type(each).__qualname__}")
        for path, each in module.named_modules()
    ]
    return _finish(found, calling, classes, calling.run())


def export_program(program: Any) -> ModuleExport:
    """Convert a live program of ``torch.export``.

    Raises
    ------
    ExportError
        If it was exported in training mode, or cannot be converted.
    MissingExtraError
        If onnxscript is not installed.
    """
    _import_exporter()
    refuse_training(program)
    found = convert_program(program)
    calling = find_program_calling(program)
    return _finish(found, calling, module_classes(program).items(), calling.calls())


def _import_exporter() -> None:
    for name in ("torch", "onnxscript"):
        import_extra(name, extra="torch", purpose="the export")


def _finish(
    found: Converted,
    calling: Calling | ProgramCalling,
    classes: Iterable[tuple[str, str]],
    calls: Iterable[Call],
) -> ModuleExport:
    import torch

    made_by = {"torch": torch.__version__}
    onnx.helper.set_model_props(found.proto, {MODULES_KEY: write_modules(classes, made_by)})
    graph = read_layers(open_model(found.proto))
    values: dict[Call, Sequence[str]] = dict(found.values)
    if not values:
        for layer in graph.layers:
            if layer.module is not None and layer.name == layer.module:
                values[Call(layer.module, 0)] = [graph.taps[layer.name].value]
    values[WHOLE] = [each.name for each in found.proto.graph.output[:1]]
    return ModuleExport(
        found.proto,
        graph.inputs,
        {_label(call): values[call] for call in calls if call in values},
        len(graph.layers),
        found.remarks,
        not found.values,
        calling,
    )


def _label(call: Call) -> str:
    path = call.path or "the module itself"
    return f"{path}#{call.number + 1}" if call.number else path

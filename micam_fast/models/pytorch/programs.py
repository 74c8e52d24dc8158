"""Programs of ``torch.export``: what they are fed, and what each module within gives."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from micam_fast.core.errors import ExportError
from micam_fast.core.texts import describe_error
from micam_fast.models.modules import NO_SCOPE
from micam_fast.models.pytorch.running import WHOLE, Call, quiet, tensor_like, to_numpy

# By operator: where it says that it trains. A batch normalization without running statistics
# (its fourth argument) normalizes by its batch in eval mode, too.
_TRAINS_AT = {
    "batch_norm": 5,
    "_native_batch_norm_legit": 5,
    "_native_batch_norm_legit_functional": 5,
    "native_batch_norm": 5,
    "cudnn_batch_norm": 5,
    "dropout": 2,
    "native_dropout": 2,
    "feature_dropout": 2,
    "alpha_dropout": 2,
}


class ProgramCalling:
    """A program, and the tensors of one batch that it is fed, if there are any.

    The graph is interpreted node by node: its nodes name the module that they were traced in.
    """

    def __init__(self, program: Any, args: Sequence[Any] | None) -> None:
        self.program, self.args = program, args

    @property
    def sample(self) -> list[NDArray[Any]] | None:
        """The batch, by input."""
        return None if self.args is None else [to_numpy(each) for each in self.args]

    def fed(self, feeds: Sequence[NDArray[Any]]) -> ProgramCalling:
        """The same, for a batch of arrays."""
        given = zip(feeds, _input_tensors(self.program), strict=True)
        return ProgramCalling(self.program, [tensor_like(*each) for each in given])

    def calls(self) -> list[Call]:
        """The calls of modules in which no other one is called, and whose tensors others read.

        The last one is the program's own, if what it gives first are real numbers.
        """
        found = list(_results(self.program.graph).values())
        given = self.program.graph_signature.user_outputs[:1]
        nodes = {node.name: node for node in self.program.graph.nodes}
        real = any(_is_real(nodes[name].meta.get("val")) for name in given if name in nodes)
        return [*found, WHOLE] if real and WHOLE not in found else found

    def run(self) -> dict[Call, NDArray[Any]]:
        """What each of `calls` gives; the last tensor, where there are several.

        Raises
        ------
        ExportError
            If the program cannot be run.
        """
        import torch

        class Reading(torch.fx.Interpreter):  # type: ignore[misc]
            def run_node(self, n: Any) -> Any:
                value = super().run_node(n)
                if n in results and isinstance(value, torch.Tensor):
                    found[results[n]] = to_numpy(value)
                if n.op == "output":
                    given = torch.utils._pytree.tree_leaves(value)[:1]
                    found.update((WHOLE, to_numpy(each)) for each in given if _is_real(each))
                return value

        found: dict[Call, NDArray[Any]] = {}
        tensors = iter(self.args or ())
        args = [
            next(tensors, None) if isinstance(each, torch.Tensor) else each
            for each in _inputs(self.program)
        ]
        try:
            with quiet(), torch.no_grad():
                module = _unguarded(self.program)
                results = _results(module.graph)
                Reading(module).run(*args, enable_io_processing=False)
        except Exception as error:
            raise ExportError(f"PyTorch cannot run the program: {describe_error(error)}") from error
        return found


def _is_real(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point()


def is_program(model: Any) -> bool:
    """Tell whether this is an ``ExportedProgram``; PyTorch is not imported for that."""
    export = sys.modules.get("torch.export")
    return export is not None and isinstance(model, export.ExportedProgram)


def class_of(model: Any) -> str:
    """The class of a module, or of the module that a program was made of, where it tells."""
    name = module_classes(model).get("") if is_program(model) else None
    return (name or type(model).__name__).rpartition(".")[2]


def find_program_calling(program: Any) -> ProgramCalling:
    """How a program is fed: with one sample of its own example inputs, where it has some."""
    import torch

    specs = _input_tensors(program)
    if program.example_inputs is None:
        return ProgramCalling(program, None)
    leaves = torch.utils._pytree.tree_leaves(program.example_inputs)
    tensors = [each.detach() for each in leaves if isinstance(each, torch.Tensor)]
    if len(tensors) != len(specs):
        return ProgramCalling(program, None)
    # A batch is an axis of any size; PyTorch wants two samples to leave it open.
    open_batch = [spec.dim() and not isinstance(spec.shape[0], int) for spec in specs]
    return ProgramCalling(
        program, [each[:1] if cut else each for each, cut in zip(tensors, open_batch, strict=True)]
    )


def refuse_training(program: Any) -> None:
    """Raise an ExportError for a program that normalizes by its batch, or drops at random.

    Such a program answers otherwise than the trained model, and nothing can change that.
    """
    for node in program.graph.nodes:
        name = str(getattr(node.target, "_opname", ""))
        place = _TRAINS_AT.get(name)
        if place is None or len(node.args) <= place or node.args[place] is not True:
            continue
        if "batch_norm" in name and node.args[3] is None:
            continue
        call = call_of(node)
        where = "" if call is None or not call.path else f" of module {call.path!r}"
        raise ExportError(
            f"the program was exported in training mode ({name}{where}): export it again with "
            "torch.export.export(module.eval(), ...)"
        )


def call_of(node: Any) -> Call | None:
    """The innermost call of a module that a node of a graph stands in."""
    stack = _stack_of(node)
    if not stack:
        return None
    key, (path, _) = next(reversed(stack.items()))
    _, _, number = key.partition("@")
    return Call(path, int(number) if number.isdigit() else 0)


def module_classes(program: Any) -> dict[str, str]:
    """By path of a module: its class, as far as nodes stand in it."""
    return {
        path: kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        for node in program.graph.nodes
        for path, kind in _stack_of(node).values()
    }


def _stack_of(node: Any) -> dict[str, Any]:
    if node.op != "call_function":
        return {}
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    return {} if NO_SCOPE in stack else stack


def _inputs(program: Any) -> Iterator[Any]:
    """What the program is fed, in order: a tensor without numbers, or a constant."""
    import torch

    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name in program.graph_signature.user_inputs:
        node = placeholders.get(name) if isinstance(name, str) else None
        given = name if node is None else node.meta["val"]
        if isinstance(given, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            raise ExportError(
                f"the program's input {name!r} is a number that it leaves open; an input of a "
                "diagram is an array: export the program again with that number fixed"
            )
        yield given


def _input_tensors(program: Any) -> list[Any]:
    import torch

    return [each for each in _inputs(program) if isinstance(each, torch.Tensor)]


def _results(graph: Any) -> dict[Any, Call]:
    """The node that each innermost call gives: the last one that is read outside of it."""
    outer: set[str] = set()
    last: dict[str, tuple[Any, Call]] = {}
    for node in graph.nodes:
        outer.update(list(_stack_of(node))[:-1])
        call = call_of(node)
        if call is not None and any(call_of(user) != call for user in node.users):
            last[next(reversed(_stack_of(node)))] = node, call
    return {node: call for key, (node, call) in last.items() if key not in outer}


def _unguarded(program: Any) -> Any:
    """A program as a graph to interpret, with buffers of its own, as it may write into them.

    Guards hold a batch to the sizes that the program was traced for, and ONNX has none.
    """
    known = inspect.signature(program.module).parameters
    module = program.module(**({"check_guards": False} if "check_guards" in known else {}))
    for each in module.modules():
        for name, buffer in each.named_buffers(recurse=False):
            setattr(each, name, buffer.clone())
    return module

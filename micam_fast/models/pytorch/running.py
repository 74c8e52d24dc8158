"""A PyTorch module run by PyTorch: how it is called, and what each module within gives."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import ExportError
from micam_fast.core.texts import describe_error

# Axes of what a layer reads that has a batch, by what its class is called.
_AXES_OF = {"1d": 3, "2d": 4, "3d": 5}


@dataclass(frozen=True)
class Call:
    """A call of a module in which no other one is called.

    Attributes
    ----------
    path
        Of the module.
    number
        How many calls of it came before.
    """

    path: str
    number: int


WHOLE = Call("", 0)
"""The module itself."""


class Calling:
    """A module, and the arguments of one batch that it is called with."""

    def __init__(self, module: Any, args: tuple[Any, ...], names: tuple[str, ...]) -> None:
        self.module, self.args, self.names = module, args, names

    def run(self) -> dict[Call, NDArray[Any]]:
        """The first output of each call of a module in which no other one is called, and its own.

        Raises
        ------
        ExportError
            If the module cannot be run.
        """
        found, _ = self._run()
        return found

    @property
    def sample(self) -> list[NDArray[Any]]:
        """The batch, by input."""
        return [to_numpy(each) for each in self.args]

    def fed(self, feeds: Sequence[NDArray[Any]]) -> Calling:
        """The same, for a batch of arrays."""
        return self.with_batch(
            tuple(tensor_like(*each) for each in zip(feeds, self.args, strict=True))
        )

    def with_batch(self, args: tuple[Any, ...]) -> Calling:
        """The same, for other arguments."""
        return Calling(self.module, args, self.names)

    def misses_batch(self) -> bool:
        """Tell whether a convolution, pool or normalization reads an array without a batch axis."""
        return self._run()[1]

    def _run(self) -> tuple[dict[Call, NDArray[Any]], bool]:
        import torch

        found: dict[Call, NDArray[Any]] = {}
        counts: Counter[str] = Counter()
        inner: list[bool] = []
        misses = False

        def before(module: Any, args: tuple[Any, ...]) -> None:
            nonlocal misses
            if inner:
                inner[-1] = True
            inner.append(False)
            axes = _AXES_OF.get(type(module).__name__[-2:])
            if axes and args and isinstance(args[0], torch.Tensor) and args[0].dim() < axes:
                misses = True

        def after(path: str, output: Any) -> None:
            number, counts[path] = counts[path], counts[path] + 1
            tensor = _first_tensor(output)
            holds = inner.pop()
            # Functions of the module itself, between those within, show in what it gives.
            whole = not inner and tensor is not None and tensor.is_floating_point()
            if tensor is not None and (whole or not holds):
                found[Call(path, number)] = to_numpy(tensor)

        handles = []
        for path, each in self.module.named_modules():
            handles.append(each.register_forward_pre_hook(before))
            handles.append(
                each.register_forward_hook(lambda _m, _a, output, path=path: after(path, output))
            )
        try:
            with evaluating(self.module), torch.no_grad():
                self.module(*self.args)
        except Exception as error:
            raise ExportError(f"PyTorch cannot run the module: {describe_error(error)}") from error
        finally:
            for handle in handles:
                handle.remove()
        return found, misses


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """The module in eval mode, and then each of its modules as it was, with its buffers."""
    import torch

    before = {each: each.training for each in module.modules()}
    buffers = list(_buffers(module))
    module.eval()
    try:
        yield
    finally:
        for each, training in before.items():
            each.training = training
        for each, name, buffer, values in buffers:
            each._buffers[name] = buffer
            if not torch.equal(buffer, values):
                with torch.no_grad():
                    buffer.copy_(values)


def _buffers(module: Any) -> Iterator[tuple[Any, str, Any, Any]]:
    """The buffers of all modules, and copies of their values: some modules count their calls."""
    import torch

    for each in module.modules():
        for name, buffer in each._buffers.items():
            held = buffer is not None and not torch.nn.parameter.is_lazy(buffer)
            if held and not buffer.is_meta:
                yield each, name, buffer, buffer.detach().clone()


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what PyTorch prints, warns and logs; remarks say what a user should know."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def find_calling(module: Any, sample: Any) -> Calling:
    """How a module is called with one sample.

    Each array is taken with a batch axis of 1 in front as it is, and with one added else. Where its
    first size is 1, a run decides: with one added if a convolution would miss it. Of a batch of
    several, the first sample is taken.

    Parameters
    ----------
    sample
        A tensor or array; several in a tuple or list, or by the names of the module's arguments.

    Raises
    ------
    ExportError
        If the module cannot be run with it.
    """
    named = dict(sample) if isinstance(sample, Mapping) else {}
    arrays = list(named.values()) or (
        list(sample) if isinstance(sample, (tuple, list)) else [sample]
    )
    tensors = tuple(_to_tensor(each, module) for each in arrays)
    names = tuple(map(str, named)) or _argument_names(module, len(tensors))
    if named:
        tensors = _in_order(module, dict(zip(names, tensors, strict=True)))
        names = _argument_names(module, len(tensors))
    given = Calling(module, tensors, names)
    added = given.with_batch(tuple(each.unsqueeze(0) for each in tensors))
    if any(not each.dim() or each.shape[0] != 1 for each in tensors):
        try:
            added.run()
        except ExportError:
            if not _is_batch(given):
                raise
            return given.with_batch(tuple(each[:1] for each in tensors))
        return added
    try:
        if not given.misses_batch():
            return given
    except ExportError as error:
        try:
            added.run()
        except ExportError:
            raise error from error.__cause__
    return added


def _is_batch(calling: Calling) -> bool:
    """Tell whether the arrays are as many samples each, with which the module runs."""
    sizes = {each.shape[0] if each.dim() else None for each in calling.args}
    if len(sizes) != 1 or None in sizes:
        return False
    try:
        calling.run()
    except ExportError:
        return False
    return True


def _in_order(module: Any, named: Mapping[str, Any]) -> tuple[Any, ...]:
    import inspect

    known = list(inspect.signature(module.forward).parameters)
    strangers = [name for name in named if name not in known]
    first = known[: len(named)]
    if strangers or set(first) != set(named):
        raise ExportError(
            f"the sample names {', '.join(named)}; the module's arguments are {', '.join(known)}"
        )
    return tuple(named[name] for name in first)


def _argument_names(module: Any, count: int) -> tuple[str, ...]:
    import inspect

    try:
        names = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        names = []
    plain = [each.name for each in names if each.kind is each.POSITIONAL_OR_KEYWORD]
    return tuple([*plain, *(f"input_{n}" for n in range(count))][:count])


def _to_tensor(array: Any, module: Any) -> Any:
    """An array of the module's kind, on its device: float64 is what NumPy makes of anything."""
    import torch

    held = next(iter(module.parameters()), None)
    if isinstance(array, torch.Tensor):
        tensor = array.detach()
    else:
        try:
            tensor = torch.as_tensor(np.asarray(array))
        except (TypeError, ValueError) as error:
            raise ExportError(
                f"the sample holds no numbers that PyTorch takes: {describe_error(error)}"
            ) from error
        if held is None and tensor.is_floating_point():
            tensor = tensor.float()
    if held is None:
        return tensor
    floating = tensor.is_floating_point() and held.is_floating_point()
    return tensor.to(held.device, held.dtype if floating else tensor.dtype)


def tensor_like(array: NDArray[Any], own: Any) -> Any:
    """An array as a tensor of the kind of another one, on its device."""
    import torch

    return torch.as_tensor(array).to(own.device, own.dtype)


def to_numpy(tensor: Any) -> NDArray[Any]:
    """A tensor of any device as an array; bfloat16, which NumPy does not know, as float32."""
    import torch

    tensor = tensor.detach().cpu()
    found: NDArray[Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return found.copy()


def _first_tensor(output: Any) -> Any:
    import torch

    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)) and output:
        return _first_tensor(output[0])
    return None

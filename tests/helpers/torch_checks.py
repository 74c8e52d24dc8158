"""What an exported network must keep of its module: names of layers, maps, pairs with other files.

Everything on PyTorch's side is read from the module itself, by hooks of this file's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import micam_fast
from micam_fast.core.layers import Layer
from micam_fast.models.onnx import open_model, read_layers
from tests.helpers import reference

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
nn = torch.nn

Float64 = NDArray[np.float64]
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.MultiheadAttention)
_CHANNELS_FIRST = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.Upsample, nn.Softmax,
)  # fmt: skip
_NO_LAYERS = ("Dropout", "Identity", "Flatten", "Permute", "StochasticDepth")
"""Classes of modules that compute nothing at inference, or only move or rename axes."""


@dataclass(frozen=True)
class Call:
    """A call of a module in which no other one is called.

    Attributes
    ----------
    name
        What its layer must be called: the module's path, from the second call on with a number.
    module
        The module.
    output
        What it gave.
    channel
        The axis of the channels in the output.
    """

    name: str
    module: Any
    output: NDArray[Any]
    channel: int

    @property
    def path(self) -> str:
        """The module's path."""
        return self.name.partition("#")[0]

    @property
    def computes(self) -> bool:
        """Whether the module does more than move or rename axes at inference."""
        return type(self.module).__name__ not in _NO_LAYERS


def leaf_calls(module: Any, sample: Any) -> list[Call]:
    """The calls of all modules in which no other one is called, in their order."""
    found: list[Call] = []
    counts: Counter[str] = Counter()
    holding: list[bool] = []

    def before(*_: Any) -> None:
        if holding:
            holding[-1] = True
        holding.append(False)

    def after(path: str, each: Any, output: Any) -> None:
        counts[path] += 1
        if holding.pop():
            return
        name = path if counts[path] == 1 else f"{path}#{counts[path]}"
        tensor = output[0] if isinstance(output, tuple) else output
        channel = _channel(each, found[-1].channel if found else 1)
        found.append(Call(name, each, tensor.detach().clone().numpy(), channel))

    handles = []
    for path, each in module.named_modules():
        handles.append(each.register_forward_pre_hook(before))
        handles.append(each.register_forward_hook(lambda m, _, out, path=path: after(path, m, out)))
    with torch.no_grad():
        module(sample)
    for handle in handles:
        handle.remove()
    return found


def _channel(module: Any, before: int) -> int:
    """The axis of the channels; an activation keeps that of the module before."""
    if type(module).__name__ == "Permute":
        return 1 if before == -1 else -1
    if type(module).__name__ == "LayerNorm2d":
        return 1
    if isinstance(module, _CHANNELS_LAST):
        return -1
    return 1 if isinstance(module, _CHANNELS_FIRST) else before


def expected_map(call: Call, size: tuple[int, int]) -> Float64:
    """SPEC section 2 for what PyTorch gave; the mean over what is folded into the batch axis."""
    return np.asarray(np.mean([_map(call, each, size) for each in call.output], axis=0))


def _map(call: Call, activation: NDArray[Any], size: tuple[int, int]) -> Float64:
    if activation.ndim < 2 or isinstance(call.module, nn.AdaptiveAvgPool2d):
        return reference.flat_map(activation, *size)
    last = np.moveaxis(activation, call.channel - (call.channel > 0), -1)
    if not isinstance(call.module, (nn.Conv2d, nn.ConvTranspose2d)):
        return reference.mean_map(last)
    kernel = call.module.weight.detach().numpy()
    bias = None if call.module.bias is None else call.module.bias.detach().numpy()
    if isinstance(call.module, nn.ConvTranspose2d):
        return reference.published_conv_transpose(last, kernel, bias, call.module.groups)
    return reference.published_conv(last, np.moveaxis(kernel, (0, 1), (-1, -2)), bias)


def slack(call: Call, cam: Float64) -> float:
    """How far a map may be off: 1e-4 of it, and the rounding of the numbers that it sums."""
    weight = 1.0
    if isinstance(call.module, (nn.Conv2d, nn.ConvTranspose2d)):
        weight = float(call.module.weight.detach().abs().sum())
    parts = float(np.abs(call.output).max(initial=0)) * weight
    return 1e-4 * float(np.abs(cam).max(initial=0)) + 1e-6 * parts + 1e-30


def layers_of(path: Path) -> tuple[Layer, ...]:
    return read_layers(open_model(path)).layers


def is_named_after(layer: Layer, paths: Collection[str]) -> bool:
    """Whether a layer bears a module's path, with its operator and a number where needed."""
    if layer.module is None or layer.module not in paths:
        return False
    path = layer.module
    names = rf"{re.escape(path)}(\.[a-z0-9]+)?" if path else "[a-z0-9]+"
    return re.fullmatch(rf"({names})(#\d+)?(:\d+)?", layer.name) is not None


def strangers(module: Any, layers: Collection[Layer]) -> list[str]:
    """Names of the layers that bear no module's path."""
    paths = {path for path, _ in module.named_modules()}
    return [e.name for e in layers if e.op_type != "Input" and not is_named_after(e, paths)]


def missing(calls: Collection[Call], layers: Collection[Layer]) -> Iterator[Call]:
    """The calls of modules that compute, and that no layer is called after."""
    held = {layer.module for layer in layers}
    names = {layer.name for layer in layers}
    for call in calls:
        if not call.computes or call.name in names:
            continue
        whole = any(n.startswith(f"{call.path}.") for n in names) and call.path in held
        if not whole:
            yield call


def map_differences(
    calls: Collection[Call], cams: Mapping[str, NDArray[Any]], size: tuple[int, int]
) -> dict[str, float]:
    """By layer that is called like a call: its map's largest difference by what is allowed.

    Above 1 the map is wrong; infinite where it has another shape.
    """
    found: dict[str, float] = {}
    for call in calls:
        if call.name in cams and call.computes:
            wanted, given = expected_map(call, size), cams[call.name]
            if wanted.shape != given.shape:
                found[call.name] = float("inf")
                continue
            found[call.name] = float(np.abs(wanted - given).max(initial=0)) / slack(call, wanted)
    return found


def compare_files(one: Path, other: Path, sample: NDArray[Any]) -> Any:
    """What `diff` says of two exports of one module."""
    models = [micam_fast.load_model(path) for path in (one, other)]
    return micam_fast.diff(*(model.explain(sample) for model in models))

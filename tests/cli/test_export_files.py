"""``micam-fast export`` of files that it does not open: a line each, and nothing written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from micam_fast import cli


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.pt", "net.pt is a file of torch.save, weights or a pickled module, no ONNX file; "),
        ("net.ckpt", "net.ckpt is a checkpoint of a training, no ONNX file; build the module"),
        ("net.tflite", "net.tflite is a TensorFlow Lite model, no ONNX file; import tf2onnx"),
        ("net.foo", "net.foo is no model to export by its name (must end in one of .keras, .h5, "),
        ("net.pt2", "net.pt2 is a program of torch.export; PyTorch runs code that such a file may"),
        ("gone.pt2", "cannot read gone.pt2: no such file"),
        ("gone.pt", "cannot read Keras model gone.pt: no such file"),
        ("saved", "saved is a folder; a SavedModel is not taken: load it where it was made"),
    ],
)
def test_a_line_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "saved":
        (tmp_path / "saved").mkdir()
    elif name == "net.pt2":
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("net/models/model.json", "{}")
    elif not name.startswith("gone"):
        Path(name).write_bytes(b"\x80\x02}q\0.")
    done = CliRunner().invoke(cli.main, ["export", name, "out.onnx"])
    assert done.stderr.startswith(f"micam-fast: error: {said}")
    assert done.stderr.count("\n") == 1
    assert done.exit_code
    assert not Path("out.onnx").exists()

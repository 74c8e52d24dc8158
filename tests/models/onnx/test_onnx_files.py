"""Opening ONNX files, and the limits of external data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.core.errors import ModelError
from micam_fast.engine import sessions
from micam_fast.models.onnx import open_model
from tests.helpers.models import conv_net, random_array


def save_external(path: Path) -> onnx.ModelProto:
    model = conv_net()
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return conv_net()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "holds no graph with operators"),
        (b"PK\x03\x04 certainly no protocol buffer", "is not an ONNX file"),
        (conv_net().SerializeToString()[:200], "is not an ONNX file"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=match):
        open_model(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read model .*: No such file"):
        open_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match=r"cannot read model .*: Is a directory"):
        open_model(tmp_path)


def test_names_come_from_the_file_or_the_graph(tmp_path: Path) -> None:
    onnx.save(conv_net(), tmp_path / "my net.onnx")
    assert open_model(tmp_path / "my net.onnx").name == "my net"
    assert open_model(conv_net()).name == "conv_net"


def test_external_weights_beside_the_model(tmp_path: Path) -> None:
    model = save_external(tmp_path / "net.onnx")
    sample = random_array(1, 1, 8, 6)
    inside = micam_fast.explain(model, sample)
    outside = micam_fast.explain(tmp_path / "net.onnx", sample)
    for name, cam in inside.cams.items():
        np.testing.assert_array_equal(cam, outside.cams[name])


def move_location(path: Path, location: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("way", ["parent", "absolute", "link"])
def test_external_weights_elsewhere_are_refused(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_external(folder / "net.onnx")
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    if way == "link":
        (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    else:
        location = "../weights.bin" if way == "parent" else str(tmp_path / "weights.bin")
        move_location(folder / "net.onnx", location)
    with pytest.raises(ModelError, match="outside the model's own folder"):
        micam_fast.load_model(folder / "net.onnx")


def test_external_weights_that_are_missing_or_cut(tmp_path: Path) -> None:
    save_external(tmp_path / "net.onnx")
    os.truncate(tmp_path / "weights.bin", 10)
    with pytest.raises(ModelError, match=r"ends beyond its file 'weights.bin' \(10 bytes\)"):
        micam_fast.load_model(tmp_path / "net.onnx")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"'weights.bin' .* is missing beside the model"):
        micam_fast.load_model(tmp_path / "net.onnx")


def test_a_model_in_memory_has_no_folder_for_external_weights(tmp_path: Path) -> None:
    save_external(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    with pytest.raises(ModelError, match="a ModelProto has no folder"):
        open_model(model)


def test_weights_of_a_model_too_large_for_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sample = conv_net(), random_array(1, 1, 8, 6)
    expected = micam_fast.explain(model, sample)
    monkeypatch.setattr(sessions, "LARGEST_MESSAGE", 100)
    monkeypatch.setattr(sessions, "LARGE_WEIGHT", 16)
    found = micam_fast.explain(model, sample)
    for name, cam in expected.cams.items():
        np.testing.assert_array_equal(cam, found.cams[name])


@pytest.mark.heavy
def test_a_model_over_2_gib_opens(tmp_path: Path) -> None:
    """2.1 GiB of zeros in a sparse file, as the weights of a dense layer."""
    rows, columns = 2**15, 17 * 2**10
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Relu", ["x"], ["r"], name="relu"),
                helper.make_node("MatMul", ["r", "w"], ["y"], name="dense"),
            ],
            "large",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    model.ir_version = 8
    weights = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT)
    weights.dims.extend([rows, columns])
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "large.bin"
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(rows * columns * 4)
    (tmp_path / "large.onnx").write_bytes(model.SerializeToString())
    assert rows * columns * 4 > 2**31
    found = micam_fast.explain(tmp_path / "large.onnx", np.ones(rows, np.float32))
    assert not found.cams["dense"].any()
    assert found.cams["relu"].all()

"""Keras files from anyone: no code of theirs runs without --trust, and no other file is read."""

from __future__ import annotations

import base64
import json
import marshal
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import micam_fast
from micam_fast import cli
from micam_fast.core.errors import ExportError
from micam_fast.models.keras import open_keras
from tests.helpers import keras_models
from tests.helpers.keras_layers import needs_tensorflow

pytestmark = needs_tensorflow
REFUSED = r"layer 'double' is a Lambda layer, which holds Python code; --trust"


def lambda_code(marker: Path) -> str:
    """A marshalled function that doubles, and leaves a file where it ran."""
    source = f"lambda x: (open({str(marker)!r}, 'a').close(), x * 2.0)[1]"
    return base64.b64encode(marshal.dumps(eval(source).__code__)).decode()


def write_lambda(folder: Path, suffix: str) -> tuple[Path, Path]:
    """A model with a Lambda layer, as Keras 3 and Keras 2 write it, and the file that it leaves."""
    marker = folder / "it ran"
    double = {"name": "double", "trainable": True, "dtype": "float32"}
    if suffix == ".keras":
        import keras

        path = folder / "net.keras"
        model = keras.Sequential(
            [keras.Input((4, 4, 1)), keras.layers.Lambda(lambda x: x * 2.0, name="double")]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(path)
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(entries["config.json"])
        (found,) = [
            each for each in config["config"]["layers"] if each["config"]["name"] == "double"
        ]
        found["config"]["function"]["config"]["code"] = lambda_code(marker)
        entries["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        return path, marker
    path = folder / "net.h5"
    layers = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 4, 4, 1], "dtype": "float32", "name": "x"},
        },
        {
            "class_name": "Lambda",
            "config": {
                **double,
                "function": {
                    "class_name": "__lambda__",
                    "config": {"code": lambda_code(marker), "defaults": None, "closure": None},
                },
            }
            if suffix == ".h5"
            else {
                **double,
                "function": [lambda_code(marker), None, None],
                "function_type": "lambda",
                "module": "__main__",
                "output_shape": None,
                "output_shape_type": "raw",
                "arguments": {},
            },
        },
    ]
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["backend"] = "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = []
        weights.attrs["keras_version"] = "2.15.0"
    return path, marker


@pytest.mark.parametrize("suffix", [".keras", ".h5", "keras 2"])
def test_code_runs_with_trust_alone(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, marker = write_lambda(tmp_path, suffix)
    with pytest.raises(ExportError, match=REFUSED):
        micam_fast.load_model(path)
    with pytest.raises(ExportError, match=REFUSED):
        micam_fast.export(path, tmp_path / "net.onnx")
    assert not marker.exists()
    assert not list(tmp_path.rglob("*.onnx"))
    if suffix == "keras 2":
        # What Keras 2 marshalled, Keras 3 does not take, trusted or not.
        return
    model = micam_fast.load_model(path, trust=True)
    assert marker.exists()
    ones = np.ones((4, 4, 1), np.float32)
    found = model.explain(ones).output
    assert found is not None
    np.testing.assert_array_equal(found.ravel(), np.full(16, 2))
    # The export is kept, but whoever does not trust the file is not given it.
    marker.unlink()
    with pytest.raises(ExportError, match=REFUSED):
        micam_fast.load_model(path)
    assert micam_fast.load_model(path, trust=True).name == "net"
    assert not marker.exists()


@pytest.mark.parametrize(
    "words",
    [["layers", "net.h5"], ["export", "net.h5", "net.onnx"], ["plot", "net.h5", "one.npy"]],
)
def test_commands_know_trust(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    _, marker = write_lambda(tmp_path, ".h5")
    np.save("one.npy", np.ones((4, 4, 1), np.float32))
    refused = CliRunner().invoke(cli.main, words, prog_name="micam-fast")
    assert refused.exit_code == 2
    assert REFUSED.split(";")[0] in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("micam-fast: error: net.h5: layer 'double'")
    assert "Traceback" not in refused.stderr
    assert not marker.exists()
    taken = CliRunner().invoke(cli.main, [*words, "--trust"], prog_name="micam-fast")
    assert taken.exit_code == 0, taken.stderr
    assert marker.exists()


GADGETS: dict[str, dict[str, Any]] = {
    "os.system": {"module": "os", "class_name": "system", "config": "touch RAN"},
    "eval": {
        "module": "builtins",
        "class_name": "function",
        "config": "eval",
        "registered_name": "function",
    },
    "get_file": {
        "module": "keras.utils",
        "class_name": "get_file",
        "config": {"fname": "RAN", "origin": "file:///etc/hostname"},
    },
    "Popen": {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "RAN"]}},
    "an own package": {
        "module": "evil",
        "class_name": "Layer",
        "config": {},
        "registered_name": "evil>Layer",
    },
}


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("gadget", GADGETS)
def test_nothing_else_is_called(
    gadget: str, trust: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('RAN', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "net.keras"
    layer = {"registered_name": None, "build_config": {}, **GADGETS[gadget]}
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "net", "layers": [layer]},
        "registered_name": None,
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.12.0"}))
        archive.writestr("config.json", json.dumps(config))
    with pytest.raises(ExportError, match=r"cannot open net\.keras: "):
        open_keras(path, trust=trust)
    assert not (tmp_path / "RAN").exists()


# --- Ways to other files, and promises ---------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in both formats."""
    folder = tmp_path_factory.mktemp("plain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("net.keras", "net.h5"):
            keras_models.sequential().save(folder / name)
    return folder


def first_dataset(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(lambda name, each: found.append(name) if hasattr(each, "shape") else None)
    return found[0]


def external_link(file: h5py.File, secret: Path) -> None:
    name = first_dataset(file)
    del file[name]
    file[name] = h5py.ExternalLink(str(secret), "/x")


def external_storage(file: h5py.File, secret: Path) -> None:
    name = first_dataset(file)
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, secret: Path) -> None:
    name = first_dataset(file)
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(str(secret), "x", shape)
    file.create_virtual_dataset(name, layout)


def huge(file: h5py.File, secret: Path) -> None:
    name = first_dataset(file)
    del file[name]
    file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000))


WAYS: dict[Callable[[h5py.File, Path], None], str] = {
    external_link: "lies in another file",
    external_storage: "lies in another file",
    virtual: "lies in another file",
    huge: r"of shape \(1000000, 1000000\) would take 4,000,000,000,000 bytes, and 0 are in",
}


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", ["net.h5", "net.keras"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_weights_elsewhere_or_nowhere(
    way: Callable[[h5py.File, Path], None], name: str, trust: bool, plain: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    shutil.copy(plain / name, path)
    if name == "net.h5":
        with h5py.File(path, "r+") as file:
            way(file, tmp_path / "secret.h5")
    else:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
        with h5py.File(tmp_path / "model.weights.h5", "r+") as file:
            way(file, tmp_path / "secret.h5")
        with zipfile.ZipFile(path, "w") as archive:
            for each in ("metadata.json", "config.json", "model.weights.h5"):
                archive.write(tmp_path / each, each)
    with pytest.raises(ExportError, match=WAYS[way]):
        open_keras(path, trust=trust)


def test_a_zip_behind_hdf5_does_not_hide_it(plain: Path, tmp_path: Path) -> None:
    """Keras goes by the name; what is looked at must be what it reads."""
    path, marker = write_lambda(tmp_path, ".h5")
    path.write_bytes(path.read_bytes() + (plain / "net.keras").read_bytes())
    assert zipfile.is_zipfile(path)
    with pytest.raises(ExportError, match=REFUSED):
        open_keras(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("../evil.txt", b"x", "would lie outside its folder"),
        ("/evil.txt", b"x", "would lie outside its folder"),
        ("assets/..\\..\\evil.txt", b"x", "would lie outside its folder"),
        ("assets/zeros", bytes(2**27), "would unpack to"),
        ("config.json", b"[" * 100_000, "maximum recursion depth|nest"),
        ("config.json", b"\xff\xfe", "decode|JSON|Expecting"),
    ],
    ids=["up", "absolute", "backslash", "bomb", "deep", "no text"],
)
def test_archives_that_keras_does_not_write(
    name: str, content: bytes, match: str, plain: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(plain / "net.keras") as archive:
        entries = {each: archive.read(each) for each in archive.namelist()}
    entries[name] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, held in entries.items():
            archive.writestr(each, held)
    with pytest.raises(ExportError, match=match):
        open_keras(path)
    assert [each.name for each in tmp_path.iterdir()] == ["net.keras"]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_ways_of_files_that_are_none(suffix: str, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / f"pipe{suffix}")
    with pytest.raises(ExportError, match=r"cannot read Keras model .*: no such file"):
        micam_fast.load_model(tmp_path / f"pipe{suffix}")

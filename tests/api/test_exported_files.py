"""Files that are exported first: which are taken, how they are opened, and the cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.api import exported_files
from micam_fast.api.export_report import ExportReport, LayerError
from micam_fast.api.exported_files import exported_file, is_keras_file
from micam_fast.core.errors import ExportError, OutputError
from micam_fast.models.keras import open_keras
from tests.helpers import keras_models
from tests.helpers.comparing import assert_close
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.models import random_array

# --- Names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("net.keras", True),
        ("net.h5", True),
        ("net.hdf5", True),
        ("NET.H5", True),
        ("net.weights.h5", True),
        ("net.onnx", False),
        ("net", False),
        ("h5", False),
        ("net.h5.txt", False),
    ],
)
def test_files_are_known_by_their_names(name: str, taken: bool, tmp_path: Path) -> None:
    assert is_keras_file(tmp_path / name) is taken


def test_saved_model_folders_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    assert not is_keras_file(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert is_keras_file(tmp_path)


# --- The cache -------------------------------------------------------------------------------


class Cache:
    """A cache folder of its own, an export that only notes that it was asked, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exported: list[str] = []
        self.said: list[str] = []

    def export(self, model: Path, path: Path, **_: Any) -> ExportReport:
        """In the place of the real one."""
        if model.is_dir():
            raise ExportError("a SavedModel is not taken")
        if not model.exists():
            raise ExportError("cannot read Keras model")
        content = model.read_bytes()
        if content == b"broken":
            raise ExportError("cannot be opened")
        self.exported.append(model.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"onnx of " + content)
        differences = (LayerError("random", "a", 1e-8), LayerError("given", "b", 2e-7))
        return ExportReport(path, 3, path.stat().st_size, differences, 1.25, "Keras", 3)

    def get(self, path: Path) -> Path:
        """The ONNX file of a Keras file."""
        return exported_file(path, self.said.append)

    def kept(self) -> list[Path]:
        """All files of the cache."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    made = Cache(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.folder))
    monkeypatch.setattr("micam_fast.api.export.export", made.export)
    return made


def write(path: Path, content: bytes = b"weights") -> Path:
    path.write_bytes(content)
    return path


def test_a_file_is_exported_once(cache: Cache, tmp_path: Path) -> None:
    path = write(tmp_path / "net.keras")
    first = cache.get(path)
    assert first.is_relative_to(cache.folder)
    assert first.read_bytes() == b"onnx of weights"
    assert cache.said == [
        f"exporting net.keras to ONNX, once; it is kept in {first.parent}",
        "exported 3 layers in 1.2 s; largest relative difference to Keras 2.0e-07 (layer b)",
    ]
    assert cache.get(path) == first
    assert cache.exported == ["net.keras"]
    assert len(cache.said) == 2
    assert cache.kept() == [first]


def test_other_content_is_another_export(cache: Cache, tmp_path: Path) -> None:
    path = write(tmp_path / "net.keras")
    first = cache.get(path)
    assert cache.get(write(path, b"other weights")) != first
    assert cache.get(write(path)) == first
    assert cache.exported == ["net.keras", "net.keras"]


def test_a_copy_elsewhere_is_the_same_export(cache: Cache, tmp_path: Path) -> None:
    first = cache.get(write(tmp_path / "net.keras"))
    (tmp_path / "folder").mkdir()
    assert cache.get(write(tmp_path / "folder" / "net.keras")) == first
    assert cache.exported == ["net.keras"]


def test_a_renamed_file_is_the_same_export(cache: Cache, tmp_path: Path) -> None:
    cache.get(write(tmp_path / "net.keras"))
    found = cache.get(write(tmp_path / "renamed.keras"))
    assert found.read_bytes() == b"onnx of weights"
    assert cache.exported == ["net.keras"]


def test_another_format_is_another_export(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "net.keras")
    cache.get(path)
    monkeypatch.setattr(exported_files, "FORMAT", 99)
    cache.get(path)
    assert len(cache.exported) == 2


def test_what_fails_is_not_kept(cache: Cache, tmp_path: Path) -> None:
    path = write(tmp_path / "net.keras", b"broken")
    for _ in range(2):
        with pytest.raises(ExportError, match="cannot be opened"):
            cache.get(path)
    assert cache.kept() == []


@pytest.mark.parametrize("name", ["net.keras", "folder"])
def test_nothing_is_announced_that_is_not_there(name: str, cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match=r"cannot read Keras model|SavedModel"):
        cache.get(tmp_path / name)
    assert cache.said == []


# --- Opening ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small model in each format, and files that are broken in some way."""
    import logging

    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * 2

    folder = tmp_path_factory.mktemp("keras")
    x = keras.Input((8, 6, 2), name="x")
    y = keras.layers.Lambda(lambda x: x * 2)(x)
    models = {
        "net": keras_models.sequential(),
        "own": keras.Sequential([keras.Input((4,)), Own()]),
        "lambda": keras.Model(x, y),
    }
    logging.getLogger("absl").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in models.items():
            for suffix in (".keras", ".h5"):
                model.save(folder / f"{name}{suffix}")
        models["net"].save_weights(folder / "net.weights.h5")
    logging.getLogger("absl").disabled = False
    shutil.copy(folder / "net.h5", folder / "net.hdf5")
    for suffix in (".keras", ".h5"):
        whole = (folder / f"net{suffix}").read_bytes()
        (folder / f"half{suffix}").write_bytes(whole[: len(whole) // 2])
        (folder / f"empty{suffix}").touch()
        (folder / f"text{suffix}").write_text("hello, I am no model")
        shutil.copy(folder / f"net{suffix}", folder / f"LOUD{suffix.upper()}")
    with zipfile.ZipFile(folder / "hollow.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    (folder / "net.txt").touch()
    (folder / "folder").mkdir()
    (folder / "folder" / "saved_model.pb").touch()
    return folder


@needs_tensorflow
@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5"])
def test_every_format_is_opened(name: str, saved: Path) -> None:
    model = open_keras(saved / name)
    assert [layer.name for layer in model.layers] == ["conv", "pool", "drop", "flat", "dense"]


OLD_FILES: dict[str, tuple[str | bytes | None, dict[str, Any], str]] = {
    "bytes": (b"1.2.2", {"class_name": "Dense", "config": {"output_dim": 3}}, "1.2.2"),
    "text": ("1.0.8", {"class_name": "Dense", "config": {"output_dim": 3}}, "1.0.8"),
    "no_version": (
        None, {"class_name": "Convolution2D", "config": {"nb_filter": 3}}, "Convolution2D"
    ),
    "nested": (
        None, {"class_name": "Sequential", "config": [{"class_name": "Merge"}]}, "Merge"
    ),
}  # fmt: skip


@needs_tensorflow
@pytest.mark.parametrize("name", OLD_FILES)
def test_files_of_keras_1_are_called_so(name: str, tmp_path: Path) -> None:
    import h5py

    version, layer, said = OLD_FILES[name]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [layer]})
        if version is not None:
            file.attrs["keras_version"] = version
    with pytest.raises(
        ExportError, match=rf"old\.h5 is a file of Keras 1 \({said}\), .* save it again"
    ):
        open_keras(tmp_path / "old.h5")


NOT_OPENED = {
    "missing.keras": r"cannot read Keras model .*missing\.keras: no such file",
    "folder": r"a SavedModel is not taken: .*model\.save\('model\.keras'\)",
    "net.txt": r"is no Keras file by its name \(must end in one of \.keras, \.h5, \.hdf5\)",
    "LOUD.KERAS": r"is no Keras file by its name",
    "LOUD.H5": r"is no Keras file by its name",
    "half.keras": r"cannot open half\.keras: it is no archive .* bytes\); the file is cut",
    "empty.keras": r"cannot open empty\.keras: it is no archive of Keras \(0 bytes\)",
    "text.keras": r"cannot open text\.keras: it is no archive of Keras \(20 bytes\)",
    "half.h5": r"cannot open half\.h5: .*truncated file",
    "empty.h5": r"cannot open empty\.h5: ",
    "text.h5": r"cannot open text\.h5: .*file signature not found",
    "net.weights.h5": r"cannot open net\.weights\.h5: No model config found",
    "hollow.keras": r"cannot open hollow\.keras: .*config\.json",
    "own.keras": r"cannot open own\.keras: Could not locate class 'Own'",
    "own.h5": r"cannot open own\.h5: Unknown layer: 'Own'",
    "lambda.keras": r"lambda\.keras: layer 'lambda\w*' is a Lambda layer, which holds Python",
    "lambda.h5": r"lambda\.h5: layer 'lambda\w*' is a Lambda layer, which holds Python",
}


@needs_tensorflow
@pytest.mark.parametrize("name", NOT_OPENED)
def test_files_that_cannot_be_opened(name: str, saved: Path) -> None:
    with pytest.raises(ExportError, match=NOT_OPENED[name]) as raised:
        open_keras(saved / name)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


# --- Plotting a Keras file -------------------------------------------------------------------


@needs_tensorflow
def test_a_cut_off_file_of_the_cache_is_made_anew(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    for _ in range(2):
        assert micam_fast.load_model(saved / "net.keras", say=said.append).name == "net"
        (kept,) = tmp_path.rglob("*.onnx")
        kept.write_bytes(kept.read_bytes()[:1000])
    assert len(said) == 4


@needs_tensorflow
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_keras_file_is_a_model(
    name: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    sample = random_array(1, 8, 6, 2)
    model = micam_fast.load_model(saved / name, say=said.append)
    assert len(said) == 2
    assert model.name == "net"
    assert [layer.name for layer in model.layers][1:] == ["conv", "pool", "drop", "flat", "dense"]
    shutil.copy(saved / name, tmp_path / f"renamed{Path(name).suffix}")
    renamed = micam_fast.load_model(tmp_path / f"renamed{Path(name).suffix}", say=said.append)
    assert renamed.name == "renamed"
    found = model.explain(sample)
    again = micam_fast.load_model(str(saved / name), say=said.append).explain(sample)
    assert len(said) == 2
    for layer, cam in found.cams.items():
        assert_close(again.cams[layer], cam, 1e-6)
    by_keras = np.asarray(open_keras(saved / name)(sample[np.newaxis]))[0]
    assert found.output is not None
    np.testing.assert_allclose(found.output.ravel(), by_keras, rtol=1e-4, atol=1e-6)


@needs_tensorflow
def test_an_export_is_checked_with_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sizes that are tried, none is large enough."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = keras_models.save_tall(tmp_path / "tall.keras")
    with pytest.raises(ExportError, match="give a sample to check the export with"):
        micam_fast.load_model(path)
    given = random_array(1, 310, 3, 1)
    model = micam_fast.load_model(path, sample=given)
    assert model.explain(given).cams["conv"].shape == (11, 3)
    (kept,) = tmp_path.rglob("*.onnx")
    kept.unlink()
    asked: list[Any] = []

    def first(inputs: Any) -> Any:
        asked.extend(spec.shape for spec in inputs)
        return {inputs[0].name: given}

    micam_fast.load_model(path, sample=first)
    micam_fast.load_model(path, sample=first)
    assert asked == [(None, None, 3, 1)]


@needs_tensorflow
def test_tensorflow_is_needed_once(saved: Path, tmp_path: Path) -> None:
    """A second process does without; a file that is not in the cache says what it lacks."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tf2onnx']))\n"
        "import micam_fast, numpy as np\n"
        "print(len(micam_fast.explain('net.keras', np.ones((8, 6, 2))).maps))\n"
        "try:\n"
        "    micam_fast.load_model('net.h5')\n"
        "except micam_fast.MicamError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        micam_fast.load_model(saved / "net.keras")
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=saved,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count, refusal = shown.stdout.splitlines()
    assert count == "6"
    assert refusal.startswith("MissingExtraError ")
    assert "pip install 'micam-fast[tensorflow]'" in refusal
    assert shown.stderr == ""


@needs_tensorflow
def test_a_cache_that_cannot_be_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write to folder .*file is a file"):
        micam_fast.load_model(saved / "net.keras")

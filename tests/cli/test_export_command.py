"""``micam-fast export``, and ``plot`` of Keras files: what they print, write and refuse."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from tests.helpers import keras_layers, keras_models
from tests.helpers.commands import COMMAND, arrays, failure_line, names, only, succeeded
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.models import random_array

pytestmark = needs_tensorflow

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keras files and samples; tests only read there."""
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * 2

    folder = tmp_path_factory.mktemp("keras")
    word = keras.Input((1,), dtype="string", name="word")
    code = keras.Input((1,), dtype="int64", name="code")
    twice = keras.layers.Lambda(lambda x: x * 2)
    models = {
        "net": keras_models.functional(),
        "two": keras_models.several(),
        "own": keras.Sequential([keras.Input((4,)), Own()]),
        "lambda": keras.Sequential([keras.Input((4,)), twice]),
        "text": keras.Model(word, keras.layers.Identity(name="same")(word)),
        "lookup": keras.Model(code, keras.layers.IntegerLookup(vocabulary=[1, 5])(code)),
        "hashing": keras.Model(code, keras.layers.Hashing(3, name="hash")(code)),
        "loud": keras_layers.layer_model("gru"),
        "unbuilt": keras.Sequential([keras.layers.Dense(2)], name="fresh"),
    }
    logging.getLogger("absl").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in models.items():
            model.save(folder / f"{name}.keras")
        models["net"].save(folder / "net.h5")
    logging.getLogger("absl").disabled = False
    np.save(folder / "one.npy", random_array(1, 8, 6, 3))
    np.save(folder / "small.npy", random_array(1, 5, 5))
    np.save(folder / "words.npy", np.full((8, 6, 3), "a"))
    np.savez(folder / "two.npz", picture=random_array(1, 8, 6, 1), age=random_array(2, 3))
    (folder / "noise.h5").write_bytes(b"no model" * 99)
    (folder / "noise.keras").write_bytes(b"no model" * 99)
    (folder / "net.txt").touch()
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").touch()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where exports are kept."""
    return tmp_path / "cache"


@pytest.fixture
def run(files: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process, in the folder of the files."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def run_it(*words: str | Path) -> Result:
        return CliRunner().invoke(cli.main, [str(word) for word in words], prog_name="micam-fast")

    return run_it


# --- Export ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_export(name: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "net.onnx"
    result = succeeded(run("export", name, path))
    assert result.stderr == ""
    size = path.stat().st_size / 1e6
    (line,) = result.stdout.splitlines()
    assert re.fullmatch(
        rf"wrote {path}: 8 layers, {size:.1f} MB, in \d+\.\d s; largest relative difference to "
        r"Keras \d\.\de-0\d on the random sample \(layer \w+\)",
        line,
    )
    onnx.checker.check_model(path)
    assert names(path.parent) == ["net.onnx"]


@pytest.mark.parametrize(("model", "sample"), [("net.keras", "one.npy"), ("two.keras", "two.npz")])
def test_export_checked_by_a_sample(model: str, sample: str, run: Run, tmp_path: Path) -> None:
    result = succeeded(run("export", model, tmp_path / "net.onnx", "--sample", sample))
    assert re.search(r"on the random sample .*, \d\.\de[-+]\d\d on the given sample", result.stdout)


FAILURES = {
    "missing.keras": r"cannot read Keras model missing\.keras: no such file",
    "saved": r"saved is a folder; a SavedModel is not taken: .*save\('model\.keras'\)",
    "net.txt": r"net\.txt is no model to export by its name",
    "noise.h5": r"Keras cannot open noise\.h5: ",
    "noise.keras": r"Keras cannot open noise\.keras: ",
    "own.keras": r"Keras \d.* cannot open own\.keras: ",
    "lambda.keras": r"lambda\.keras: layer 'lambda.*' is a Lambda layer, .* --trust",
    "text.keras": r"input 'word' takes .*; micam-fast feeds numbers only",
    "lookup.keras": r"a lookup table or a tf\.Variable",
    "hashing.keras": r"tf2onnx has no ONNX operator for TensorFlow's .*, in layer 'hash'",
    "unbuilt.keras": r"model 'fresh' does not know the shape of its input: call it once",
}


@pytest.mark.parametrize("name", FAILURES)
def test_models_that_cannot_be_exported(name: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "net.onnx"
    line = failure_line(run("export", name, path))
    assert re.search(FAILURES[name], line)
    assert len(line) < 500
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("small.npy", r"shape \(5, 5\) does not fit input 'picture' of shape \(8, 6, 3\)"),
        ("two.npz", "inputs picture, age was given; the model's inputs are picture"),
        ("nothing.npy", r"cannot read nothing\.npy"),
        ("words.npy", "numbers are expected"),
    ],
)
def test_samples_that_do_not_fit(sample: str, said: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert re.search(said, failure_line(run("export", "net.keras", path, "--sample", sample)))
    assert not path.exists()


@pytest.mark.parametrize("name", ["net.txt", "net", "net.keras", "net.onnx.gz"])
def test_other_suffixes_are_not_written(name: str, run: Run, tmp_path: Path) -> None:
    line = failure_line(run("export", "net.keras", tmp_path / name))
    assert f"the file to write must end in .onnx, not '{name}'" in line


def test_places_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    assert "it is a folder" in failure_line(run("export", "net.keras", tmp_path / "net.onnx"))
    (tmp_path / "file").touch()
    line = failure_line(run("export", "net.keras", tmp_path / "file" / "net.onnx"))
    assert "cannot write to folder" in line


# --- Plot and layers -------------------------------------------------------------------------


def notes_of(result: Result) -> list[str]:
    """What was said of exports."""
    notes = [line for line in result.stderr.splitlines() if "export" in line]
    assert all(line.startswith("micam-fast: note: export") for line in notes)
    return notes


def test_plot_exports_once_and_says_so(run: Run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["one.npy", "--format", "npz,svg", "--look", "flat", "--output-dir", out]
    first = succeeded(run("plot", "net.keras", *words))
    started, ended = notes_of(first)
    assert re.search(rf"exporting net\.keras to ONNX, once; it is kept in {cache}/", started)
    assert re.search(r"exported 8 layers in \d+\.\d s; largest relative difference to Keras", ended)
    written = arrays(only(out, "*.npz"))
    picture = only(out, "*.svg").read_text()
    shutil.rmtree(out)
    assert notes_of(succeeded(run("plot", "net.keras", *words))) == []
    for name, array in arrays(only(out, "*.npz")).items():
        np.testing.assert_array_equal(array, written[name])
    for layer in ("picture", "first", "norm", "act", "second", "sum", "mean", "classes"):
        assert f"cam/{layer}" in written
        assert layer in picture
    assert "Conv2D" in picture
    assert "(3, 3, 3, 4) + (4,)" in picture
    assert only(out, "*.npz").name.startswith("net_")


def test_layers_of_a_keras_file(run: Run) -> None:
    result = succeeded(run("layers", "net.keras"))
    assert len(notes_of(result)) == 2
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows[1:]] == [
        "picture", "first", "norm", "act", "second", "sum", "mean", "classes",
    ]  # fmt: skip
    assert notes_of(succeeded(run("layers", "net.keras"))) == []


@pytest.mark.parametrize("name", FAILURES.keys() - {"net.txt", "missing.keras", "saved"})
def test_plot_of_models_that_cannot_be_exported(
    name: str, run: Run, cache: Path, tmp_path: Path
) -> None:
    """The error is one line, behind the note that an export begins."""
    result = run("plot", name, "one.npy", "--output-dir", tmp_path / "out")
    assert result.exit_code == 2
    note, line = result.stderr.splitlines()
    assert note.startswith(f"micam-fast: note: exporting {name} to ONNX")
    assert re.match(rf"micam-fast: error: .*{FAILURES[name]}", line)
    assert not (tmp_path / "out").exists()
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["missing.keras", "saved"])
def test_plot_of_what_is_not_there(name: str, run: Run, tmp_path: Path) -> None:
    result = run("plot", name, "one.npy", "--output-dir", tmp_path / "out")
    assert re.search(FAILURES[name], failure_line(result))


@pytest.mark.parametrize("samples", [["tall.npy"], ["away.npy", "tall.npy"]])
def test_plot_checks_the_export_with_the_first_sample_that_can_be_read(
    samples: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sizes that would be tried, none is large enough."""
    keras_models.save_tall(tmp_path / "tall.keras")
    np.save(tmp_path / "tall.npy", random_array(1, 310, 3, 1))
    monkeypatch.chdir(tmp_path)
    result = run("plot", "tall.keras", *samples, "--format", "npz", "--output-dir", "out")
    assert "largest relative difference to Keras" in result.stderr
    assert arrays(only(tmp_path / "out", "*.npz"))["cam/conv"].shape == (11, 3)
    # A list can be read only once.
    result = run("plot", "tall.keras", "-", "--output-dir", "again")
    assert "no sample in -" in result.stderr


def test_plot_without_a_place_for_the_cache(run: Run, cache: Path, tmp_path: Path) -> None:
    cache.touch()
    line = failure_line(run("plot", "net.keras", "one.npy", "--output-dir", tmp_path / "out"))
    assert re.search("cannot write to folder .*cache is a file", line)


# --- In a process of its own -----------------------------------------------------------------


def process(
    files: Path, *words: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The installed command, without the variables that silence TensorFlow."""
    loud = {"TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS"}
    kept = {name: value for name, value in os.environ.items() if name not in loud}
    return subprocess.run(
        [COMMAND, *words],
        cwd=files,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["net.h5", "loud.keras"])
def test_nothing_of_tensorflow_s_is_printed(name: str, files: Path, tmp_path: Path) -> None:
    done = process(files, "export", name, tmp_path / "net.onnx")
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.returncode == 0


def test_plot_without_tensorflow(files: Path, cache: Path, tmp_path: Path) -> None:
    """After one export; before it, the extra is named."""
    blocked = tmp_path / "blocked"
    for name in ("tensorflow", "keras", "tf2onnx"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    words: list[str | Path] = [
        "plot",
        "net.h5",
        "one.npy",
        "--format",
        "npz",
        "--output-dir",
        tmp_path / "out",
    ]
    without = {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(blocked)}
    refused = process(files, *words, **without)
    assert refused.returncode == 2
    assert "needs tensorflow, which is not installed: pip install 'micam-fast[te" in refused.stderr
    assert "Traceback" not in refused.stderr
    made = process(files, *words, XDG_CACHE_HOME=str(cache))
    assert made.returncode == 0, made.stderr
    assert all(line.startswith("micam-fast: note: ") for line in made.stderr.splitlines())
    before = arrays(only(tmp_path / "out", "*.npz"))
    done = process(files, *words, **without)
    assert done.returncode == 0, done.stderr
    for name, array in arrays(only(tmp_path / "out", "*.npz")).items():
        np.testing.assert_array_equal(array, before[name])


def test_the_help_does_not_load_tensorflow() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from micam_fast import cli\n"
        "shown = CliRunner().invoke(cli.main, ['export', '--help']).output\n"
        "assert 'extra [tensorflow]' in shown, shown\n"
        "print({'tensorflow', 'keras', 'onnx', 'numpy'} & set(sys.modules))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown == "set()\n"

"""Files of ``torch.export.save``: none runs without trust, and then in another process."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import micam_fast
from micam_fast import cli
from micam_fast.core.errors import ExportError, MissingExtraError, OutputError
from micam_fast.models.pytorch import open_program
from tests.helpers.torch_modules import LAYERS, Residual, nn, seeded, torch
from tests.helpers.torch_programs import rewrite, traced


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "net.pt2"
    torch.export.save(traced(seeded(Residual), torch.randn(2, 3, 10, 9)), path)
    return path


@pytest.fixture
def net(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a file in an empty folder, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copy(saved, tmp_path))


class Canary:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def block(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Let a library be missing, in this process and in those that it starts."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    monkeypatch.syspath_prepend(folder)


def test_a_file_is_exported_once_and_needs_no_pytorch_then(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    model = micam_fast.load_model(net, trust=True, say=said.append)
    assert [layer.name for layer in model.layers] == LAYERS
    assert model.name == "net"
    assert said[0].startswith("exporting net.pt2 to ONNX, once; it is kept in ")
    assert [line.partition(" in ")[0] for line in said[1:]] == ["exported 31 layers"]
    block(monkeypatch, tmp_path / "blocked", "torch")
    again = micam_fast.load_model(net, trust=True, say=said.append)
    assert len(said) == 2
    sample = np.random.default_rng(0).random((3, 10, 9), np.float32)
    np.testing.assert_array_equal(
        again.explain(sample).cams["fc"], model.explain(sample).cams["fc"]
    )
    with pytest.raises(ExportError, match=r"is a program of torch\.export"):
        micam_fast.load_model(net)


@pytest.mark.heavy
def test_the_export_is_that_of_the_live_program(net: Path, tmp_path: Path) -> None:
    by_file = micam_fast.export(str(net), tmp_path / "file.onnx", trust=True)
    alive = micam_fast.export(open_program(net), tmp_path / "alive.onnx")
    assert by_file.path == tmp_path / "file.onnx"
    assert (by_file.layers, by_file.compared) == (alive.layers, alive.compared) == (31, 24)
    assert by_file.worst.relative < 1e-5
    sample = np.random.default_rng(0).random((3, 10, 9), np.float32)
    for layer, cam in micam_fast.explain(alive.path, sample).cams.items():
        found = micam_fast.explain(by_file.path, sample).cams[layer]
        np.testing.assert_allclose(found, cam, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entry", ["sample_inputs/model.pt", "model_weights_config.json"])
def test_nothing_in_a_file_runs_without_trust(net: Path, tmp_path: Path, entry: str) -> None:
    marker = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save(Canary(marker), buffer)
    content = buffer.getvalue()
    if entry.endswith(".json"):
        rewrite(net, "weights/weight_0", content)
        config: dict[str, Any] = {}
        for name in seeded(Residual).state_dict():
            payload = {"path_name": "weight_0", "is_param": True, "use_pickle": True}
            config[name] = {**payload, "tensor_meta": None}
        content = json.dumps({"config": config}).encode()
    rewrite(net, entry, content)
    run = CliRunner().invoke
    for words in (["export", net, tmp_path / "x.onnx"], ["layers", net], ["evaluate", net, net]):
        assert run(cli.main, [str(word) for word in words]).exit_code
    for load in (micam_fast.load_model, lambda path: micam_fast.export(path, tmp_path / "x.onnx")):
        with pytest.raises(ExportError, match=r"not opened; --trust \(trust=True\) opens it"):
            load(net)
    assert not marker.exists()
    with pytest.raises(ExportError, match=r"PyTorch 2\.\S+ cannot load net\.pt2: "):
        micam_fast.export(net, tmp_path / "x.onnx", trust=True)
    # The canary is a real one.
    assert marker.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pt2"])
def test_no_pickle_of_torch_save_is_opened(tmp_path: Path, suffix: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / f"net{suffix}"
    torch.save({"a": Canary(marker)}, path)
    for trust in (False, True):
        with pytest.raises(ExportError, match=r"is a (file of torch\.save|checkpoint)"):
            micam_fast.export(path, tmp_path / "x.onnx", trust=trust)
        with pytest.raises(micam_fast.MicamError, match=r"is a (file of torch\.save|checkpoint)"):
            micam_fast.load_model(path, trust=trust)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_under_this_name_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.jit.trace(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.ones(1, 1, 5, 5)).save(path)
    with pytest.raises(ExportError, match=r"is a TorchScript module.*torch.jit.load"):
        micam_fast.load_model(path, trust=True)


@pytest.mark.parametrize(
    ("entry", "content", "said"),
    [
        ("archive_version", b"99", "version 99 does not match"),
        ("models/model.json", b"{}", "cannot load"),
        ("models/model.json", b"[", "JSONDecodeError"),
        ("model_weights_config.json", b'{"config": {}}', "cannot load"),
    ],
)
def test_what_pytorch_cannot_load_says_why_in_a_line(
    net: Path, tmp_path: Path, entry: str, content: bytes, said: str
) -> None:
    rewrite(net, entry, content)
    with pytest.raises(ExportError, match=r"PyTorch 2\.\S+ cannot load net\.pt2: .*") as told:
        micam_fast.export(net, tmp_path / "x.onnx", trust=True)
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert "warnings above" not in str(told.value)


@pytest.mark.parametrize("name", ["torch", "onnxscript"])
def test_a_missing_library_names_its_extra(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    block(monkeypatch, tmp_path / "blocked", name)
    with pytest.raises(
        MissingExtraError, match=rf"needs {name}, .*pip install 'micam-fast\[torch\]'"
    ):
        micam_fast.load_model(net, trust=True)


def test_where_nothing_can_be_written_nothing_is_opened(net: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"net\.pt2 is a file"):
        micam_fast.export(net, net / "x.onnx", trust=True)
    with pytest.raises(OutputError, match="it is a folder"):
        micam_fast.export(net, tmp_path, trust=True)


@pytest.mark.heavy
def test_the_command_takes_a_sample(net: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "sample.npy", np.ones((3, 10, 9), np.float32))
    np.savez(tmp_path / "wrong.npz", y=np.ones((3, 10, 9), np.float32))
    words = ["export", str(net), str(tmp_path / "x.onnx"), "--trust", "--sample"]
    done = CliRunner().invoke(cli.main, [*words, str(tmp_path / "sample.npy")])
    assert done.exit_code == 0, done.output
    assert "largest relative difference to PyTorch" in done.stdout
    assert "on the given sample (module " in done.stdout
    done = CliRunner().invoke(cli.main, [*words, str(tmp_path / "wrong.npz")])
    assert done.stderr == (
        "micam-fast: error: a sample for the inputs y was given; the model's inputs are x\n"
    )


@pytest.mark.heavy
def test_this_process_does_not_load_the_file(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "load", lambda path: pytest.fail("loaded here"))
    assert micam_fast.export(net, tmp_path / "x.onnx", trust=True).layers == 31

"""PyTorch modules to ONNX: names, classes, batch, numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import micam_fast
from micam_fast.core.errors import ExportError
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.pytorch import export_module, is_module, running
from tests.helpers.torch_modules import LAYERS, Branching, Residual, nn, seeded, torch


@pytest.fixture(scope="module")
def found() -> micam_fast.models.pytorch.ModuleExport:
    return export_module(seeded(Residual), torch.randn(3, 10, 9))


def test_layers_bear_the_paths_and_classes_of_modules(found) -> None:  # type: ignore[no-untyped-def]
    layers = read_layers(open_model(found.proto)).layers
    assert [layer.name for layer in layers] == LAYERS
    classes = {layer.name: layer.module_class for layer in layers}
    assert classes["stem.1"] == "torch.nn.modules.batchnorm.BatchNorm2d"
    assert classes["layer1.0.add"] == f"{Residual.__module__}.Block"
    clusters = {layer.name: layer.cluster for layer in layers}
    assert clusters["layer1.1.add#2"] == ("layer1", "layer1.1")
    assert clusters["fc"] == ()


def test_the_batch_is_open(found) -> None:  # type: ignore[no-untyped-def]
    assert [each.shape for each in found.inputs] == [(None, 3, 10, 9)]
    onnx.checker.check_model(found.proto)


def test_every_module_is_compared(found) -> None:  # type: ignore[no-untyped-def]
    assert list(found.run(found.sample)) == list(found.compared)
    functions = ("add", "add#2", "gelu", "reshape")
    modules = [name for name in LAYERS[1:] if name.rpartition(".")[2] not in functions]
    assert list(found.compared) == [*modules, "the module itself"]


def test_no_sample_says_what_to_give() -> None:
    with pytest.raises(ExportError, match=r"give a sample of them: sample=torch\.randn\("):
        export_module(seeded(Residual), None)


def test_a_module_whose_way_depends_on_numbers_is_written_by_the_older_exporter() -> None:
    found = export_module(seeded(Branching), torch.ones(1, 1, 5, 5))
    assert [each.partition(" (")[0] for each in found.remarks] == ["torch.export cannot trace it"]
    assert [layer.name for layer in read_layers(open_model(found.proto)).layers][1:] == ["conv"]
    assert list(found.compared) == ["conv", "the module itself"]


def test_the_reason_is_that_of_a_batch_of_1() -> None:
    """An open batch is refused for another reason, which nobody could act upon."""

    class Single(Branching):
        def forward(self, x):  # type: ignore[no-untyped-def]
            if x.shape[0] != 1:
                raise ValueError("one at a time")
            return super().forward(x)

    (remark,) = export_module(seeded(Single), torch.ones(1, 1, 5, 5)).remarks
    assert remark.startswith("torch.export cannot trace it (GuardOnDataDependentSymNode: Could not")
    assert "one at a time" not in remark


def test_only_modules_are_modules() -> None:
    assert is_module(nn.ReLU())
    assert not any(map(is_module, (torch.zeros(1), "model.pt", {"conv.weight": 1}, nn.ReLU)))


def test_maps_are_those_of_pytorch_s_activations(found) -> None:  # type: ignore[no-untyped-def]
    sample = np.random.default_rng(1).random((3, 10, 9), np.float32)
    cams = micam_fast.explain(found.proto, sample).cams
    for name, array in found.run([sample[np.newaxis]]).items():
        if name in ("stem.1", "stem.2", "layer1.1.relu#2", "more.1"):
            np.testing.assert_allclose(cams[name], array[0].mean(0), atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "gradient", "half", "bfloat16", "float64"])
def test_tensors_are_samples(found, kind: str) -> None:  # type: ignore[no-untyped-def]
    array = np.random.default_rng(2).integers(0, 9, (3, 10, 9)).astype(np.float32)
    tensor = torch.tensor(array, requires_grad=kind == "gradient")
    if kind in ("half", "bfloat16", "float64"):
        tensor = tensor.to(getattr(torch, kind))
    model = micam_fast.load_model(found.proto)
    given, wanted = model.explain(tensor), model.explain(array)
    np.testing.assert_array_equal(given.cams["fc"], wanted.cams["fc"])


def test_a_batch_says_how_to_hand_it_over(found) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(micam_fast.SampleError, match="use explain_many"):
        micam_fast.explain(found.proto, torch.zeros(2, 3, 10, 9))
    model = micam_fast.load_model(found.proto)
    assert len(list(model.explain_many(torch.zeros(2, 3, 10, 9)))) == 2


def test_weights_alone_say_what_to_do(tmp_path: Path) -> None:
    weights = seeded(Residual).state_dict()
    with pytest.raises(micam_fast.ModelError, match=r"build its module and .*load_state_dict"):
        micam_fast.load_model(weights)
    with pytest.raises(micam_fast.ExportError, match=r"build its module and .*load_state_dict"):
        micam_fast.export(weights, tmp_path / "x.onnx")


def test_a_module_in_training_mode_is_exported_as_it_answers(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.9)).train()
    report = micam_fast.export(module, tmp_path / "x.onnx", sample=torch.ones(1, 1, 5, 5))
    assert report.worst.relative < 1e-5
    assert module.training
    assert module[1].num_batches_tracked == 0


def test_nothing_is_written_where_a_module_gives_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = running.Calling.run

    def spoiled(self):  # type: ignore[no-untyped-def]
        return {c: a + 0.5 * (c.path == "more.0") for c, a in own(self).items()}

    monkeypatch.setattr(running.Calling, "run", spoiled)
    with pytest.raises(micam_fast.ExportError, match=r"'more.0' differs between PyTorch and ONNX"):
        micam_fast.export(seeded(Residual), tmp_path / "x.onnx", sample=torch.ones(3, 9, 9))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        (".pt", "a file of torch.save"), (".pth", "a file of torch.save"),
        (".ckpt", "a checkpoint of a training"),
    ],
)  # fmt: skip
def test_files_of_pytorch_say_what_they_are(tmp_path: Path, suffix: str, said: str) -> None:
    path = tmp_path / f"net{suffix}"
    torch.save(seeded(Residual).state_dict(), path)
    with pytest.raises(micam_fast.ModelError, match=f"is {said}.*micam_fast.export") as told:
        micam_fast.load_model(path)
    assert "\n" not in str(told.value)
    assert "net.onnx" in str(told.value)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Malicious:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (marker,))

    torch.save({"a": Malicious()}, tmp_path / "net.pt")
    with pytest.raises(micam_fast.ModelError, match=r"a file of torch\.save"):
        micam_fast.load_model(tmp_path / "net.pt")
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_module_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.trace(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.ones(1, 1, 5, 5)).save(path)
    with pytest.raises(micam_fast.ModelError, match=r"is a TorchScript module.*torch.jit.load"):
        micam_fast.load_model(path)


def test_a_data_loader_gives_samples_and_labels(found) -> None:  # type: ignore[no-untyped-def]
    pictures, classes = torch.rand(5, 3, 10, 9), torch.tensor([4, 0, 3, 1, 2])
    data = torch.utils.data.TensorDataset(pictures, classes)
    model = micam_fast.load_model(found.proto)
    for given in (torch.utils.data.DataLoader(data, batch_size=2), data):
        explained = list(model.explain_many(given))
        assert [each.label for each in explained] == ["4", "0", "3", "1", "2"]
        for each, picture in zip(explained, pictures, strict=True):
            wanted = model.explain(picture)
            np.testing.assert_allclose(each.cams["fc"], wanted.cams["fc"], atol=1e-5)


def test_a_tensor_without_values_is_no_sample(found) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(micam_fast.SampleError, match=r"a sample is no array: .*meta"):
        micam_fast.explain(found.proto, torch.zeros(3, 10, 9, device="meta"))

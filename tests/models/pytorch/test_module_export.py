"""PyTorch modules to ONNX: names, classes, batch, numbers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import micam_fast
from micam_fast.core.errors import ExportError
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.pytorch import export_module, is_module
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
    assert list(found.compared) == modules


def test_no_sample_says_what_to_give() -> None:
    with pytest.raises(ExportError, match=r"give a sample: export\(module, path, sample=torch"):
        export_module(seeded(Residual), None)


def test_a_module_whose_way_depends_on_numbers_is_written_by_the_older_exporter() -> None:
    found = export_module(seeded(Branching), torch.ones(1, 1, 5, 5))
    assert [each.partition(" (")[0] for each in found.remarks] == ["torch.export cannot trace it"]
    assert [layer.name for layer in read_layers(open_model(found.proto)).layers][1:] == ["conv"]
    assert list(found.compared) == ["conv"]


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

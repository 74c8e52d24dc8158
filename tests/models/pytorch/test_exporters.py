"""Files of PyTorch's own exporters: the same names, whoever wrote them, and what was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import micam_fast
from micam_fast.core.layers import Layer
from micam_fast.models.onnx import open_model, read_layers
from tests.helpers.torch_modules import LAYERS, Residual, exported_by_torch, seeded, torch

WAYS: dict[str, dict[str, Any]] = {
    "dynamo": {"dynamo": True, "verbose": False},
    "dynamo, kept": {"dynamo": True, "optimize": False, "verbose": False},
    "traced": {"dynamo": False},
    "traced, kept": {
        "dynamo": False, "do_constant_folding": False,
        "training": torch.onnx.TrainingMode.PRESERVE,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    paths = {}
    for way, given in WAYS.items():
        paths[way] = folder / f"{way}.onnx"
        sample = torch.randn(1, 3, 10, 9)
        exported_by_torch(seeded(Residual), paths[way], sample, input_names=["x"], **given)
    return paths


def layers_of(path: Path) -> tuple[Layer, ...]:
    return read_layers(open_model(path)).layers


@pytest.mark.parametrize("way", WAYS)
def test_every_layer_bears_its_module_s_path(files: dict[str, Path], way: str) -> None:
    lost = {name for name in LAYERS if name == "stem.1" or name.endswith((".bn1", ".bn2"))}
    wanted = [name for name in LAYERS if "kept" in way or name not in lost]
    names = [layer.name.replace("flatten", "reshape") for layer in layers_of(files[way])]
    assert names == wanted


def test_clusters_are_the_same(files: dict[str, Path]) -> None:
    found = [{layer.name: layer.cluster for layer in layers_of(path)} for path in files.values()]
    assert found[0]["layer1.1.add#2"] == ("layer1", "layer1.1")
    for other in found[1:]:
        shared = found[0].keys() & other.keys()
        assert {name: found[0][name] for name in shared} == {name: other[name] for name in shared}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_lost_its_batch_normalizations_says_so(
    files: dict[str, Path], way: str
) -> None:
    said: list[str] = []
    micam_fast.load_model(files[way], say=said.append)
    if "kept" in way:
        assert said == []
    else:
        assert len(said) == 1
        assert said[0].startswith("batch normalizations were folded into 5 convolutions by the exp")


def test_onnx_names_stay_usable(files: dict[str, Path]) -> None:
    sample = torch.randn(3, 10, 9)
    by_node = micam_fast.load_model(files["traced"], layers="/layer1/layer1.1/conv*")
    by_path = micam_fast.load_model(files["traced"], layers="layer1.1.conv*")
    maps = [list(each.explain(sample).cams) for each in (by_node, by_path)]
    assert maps == [["layer1.1.conv1", "layer1.1.conv2"]] * 2


def test_two_exports_of_one_module_are_paired(files: dict[str, Path]) -> None:
    one, other = (micam_fast.load_model(files[way]) for way in ("dynamo, kept", "traced, kept"))
    sample = torch.randn(3, 10, 9).numpy()
    found = micam_fast.diff(one.explain(sample), other.explain(sample))
    assert len(found.compared) == len(LAYERS)
    assert max(each.relative_l2 for each in found.compared) < 1e-4

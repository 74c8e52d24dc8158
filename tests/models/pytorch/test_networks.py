"""Networks that people train, exported by us and by PyTorch's own exporters: names, maps, pairs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.core.layers import Layer
from tests.helpers import torch_attention, torch_networks
from tests.helpers.torch_checks import (
    Call,
    compare_files,
    layers_of,
    leaf_calls,
    map_differences,
    missing,
    strangers,
)
from tests.helpers.torch_modules import exported_by_torch, nn, seeded, torch

pytestmark = pytest.mark.heavy(by="exported")

NETWORKS: dict[str, tuple[type, tuple[int, int]]] = {
    "resnet": (torch_networks.ResNet, (48, 40)),
    "densenet": (torch_networks.DenseNet, (48, 40)),
    "mobilenet_v3": (torch_networks.MobileNetV3, (48, 40)),
    "efficientnet": (torch_networks.EfficientNet, (48, 40)),
    "convnext": (torch_networks.ConvNeXt, (48, 40)),
    "swin": (torch_attention.Swin, (48, 48)),
    "vit": (torch_attention.ViT, (48, 48)),
    "unet": (torch_attention.UNet, (42, 38)),
    "yolo": (torch_networks.YOLO, (48, 40)),
}
"""The module, and the size of its sample."""
THEIRS: dict[str, dict[str, Any]] = {
    "traced": {"dynamo": False},
    "dynamo": {"dynamo": True, "verbose": False},
}
MANY_OPERATORS = {"encoder.0.self_attention"}
"""Attention by PyTorch's own module: it calls no module within, and computes some ten layers."""
MOVED = re.compile(
    # One Split stands for three slices; where the batch is open, there is a Reshape more. The
    # tracing exporter joins a list of one to itself.
    r"(.*\.)?((slice|split|gather|reshape|flatten|transpose)([#:]\d+)*|denselayer1\.concat)"
    r"( \(B\))?"
)
"""Layers that compute nothing, and are not the same ones in the files of all exporters."""
OTHER_AXES = {
    # In the middle of PyTorch's own attention, tokens and samples share an axis, in an order that
    # depends on whether the batch is open.
    "vit": {
        f"encoder.0.self_attention.{name}"
        for name in (
            "out_proj", "transpose#2", "reshape#2", "reshape#3", "reshape#4", "reshape#8",
            "reshape#10",
        )
    },
    # PyTorch's exporter writes strides behind a pool as a gather, in which the batch is lost.
    "convnext": {"classifier.1"},
    "swin": {"reshape"},
}  # fmt: skip
"""By network: layers whose values two exporters lay out otherwise, or in another order."""


@dataclass
class Exported:
    """A network in files of all exporters."""

    name: str
    module: Any
    sample: Any
    paths: dict[str, Path]

    @cached_property
    def calls(self) -> list[Call]:
        return leaf_calls(self.module, self.sample)

    @cached_property
    def layers(self) -> dict[str, tuple[Layer, ...]]:
        return {way: layers_of(path) for way, path in self.paths.items()}

    @property
    def array(self) -> Any:
        return self.sample[0].numpy()

    @property
    def computing(self) -> set[str]:
        """Names of the calls that make a layer."""
        return {call.name for call in self.calls if call.computes}

    @property
    def folded(self) -> set[str]:
        """The batch normalizations behind a convolution that nothing else reads."""
        found = set()
        for before, call in zip(self.calls, self.calls[1:], strict=False):
            follows = isinstance(before.module, (nn.Conv2d, nn.ConvTranspose2d))
            same = before.path.rpartition(".")[0] == call.path.rpartition(".")[0]
            if follows and same and isinstance(call.module, nn.BatchNorm2d):
                found.add(call.name)
        return found


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    kind, size = NETWORKS[request.param]
    module, sample = seeded(kind).eval(), torch.randn(1, 3, *size)
    folder = tmp_path_factory.mktemp(request.param)
    paths = {way: folder / f"{way}.onnx" for way in ("ours", *THEIRS)}
    report = micam_fast.export(module, paths["ours"], sample=sample)
    assert report.remarks == ()
    assert report.worst.relative < 1e-5
    for way, given in THEIRS.items():
        exported_by_torch(module, paths[way], sample, input_names=["x"], **given)
    return Exported(request.param, module, sample, paths)


@pytest.mark.parametrize("way", ["ours", *THEIRS])
def test_every_layer_bears_its_module_s_path(exported: Exported, way: str) -> None:
    assert strangers(exported.module, exported.layers[way]) == []
    names = [layer.name for layer in exported.layers[way]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("way", ["ours", *THEIRS])
def test_every_module_that_computes_has_its_layer(exported: Exported, way: str) -> None:
    left = {call.name for call in missing(exported.calls, exported.layers[way])}
    assert left == (set() if way == "ours" else exported.folded)
    said: list[str] = []
    micam_fast.load_model(exported.paths[way], say=said.append)
    wanted = [f"batch normalizations were folded into {len(left)} convolutions"] if left else []
    assert [each.partition(" by ")[0] for each in said] == wanted


def test_a_module_that_computes_one_thing_is_one_layer(exported: Exported) -> None:
    names = {layer.name for layer in exported.layers["ours"]}
    assert exported.computing - names <= MANY_OPERATORS


def test_maps_are_those_of_pytorch_s_activations(exported: Exported) -> None:
    cams = micam_fast.explain(exported.paths["ours"], exported.array).cams
    found = map_differences(exported.calls, cams, exported.array.shape[1:])
    assert found.keys() == exported.computing - MANY_OPERATORS
    assert {name: by for name, by in found.items() if not by <= 1} == {}


@pytest.mark.parametrize("way", THEIRS)
def test_two_exports_of_one_module_are_paired(exported: Exported, way: str) -> None:
    found = compare_files(exported.paths["ours"], exported.paths[way], exported.array)
    left = [name for name in (*found.only_a, *found.only_b) if not MOVED.fullmatch(name)]
    assert left == []
    # A convolution with its normalization is paired with the one that holds both.
    assert set(found.within) <= _kernels(exported)
    assert len(found.within) == len(exported.folded)
    assert found.other_types == []
    apart = {each.layer.name for each in found.compared if not each.relative_l2 < 1e-4}
    assert (apart | set(found.mismatched)) - OTHER_AXES.get(exported.name, set()) == set()


def _kernels(exported: Exported) -> set[str]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return {call.name for call in exported.calls if isinstance(call.module, kinds)}


def test_a_batch_gives_what_its_samples_give(exported: Exported) -> None:
    model = micam_fast.load_model(exported.paths["ours"])
    batch = torch.randn(2, *exported.sample.shape[1:])
    together = list(model.explain_many(batch))
    for sample, found in zip(batch, together, strict=True):
        alone = model.explain(sample)
        for name, cam in alone.cams.items():
            np.testing.assert_array_equal(found.cams[name], cam, err_msg=name)

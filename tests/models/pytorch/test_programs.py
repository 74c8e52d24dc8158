"""Live programs of ``torch.export`` to ONNX: names, classes, batch, numbers, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.core.errors import ExportError
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.pytorch import ModuleExport, export_module, export_program, is_program
from micam_fast.models.pytorch.programs import find_program_calling
from micam_fast.models.pytorch.running import Call
from tests.helpers.torch_modules import LAYERS, Block, Residual, Tokens, nn, seeded, torch
from tests.helpers.torch_programs import quietly, traced


class Recurrent(nn.Module):
    """Of what its LSTM gives, it reads the first alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.fc(self.lstm(x)[0])


class Several(nn.Module):
    """Inputs in a dictionary, by name, and a number; it counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Any, scale: Any, *, extra: Any, k: int = 3) -> Any:
        self.calls.add_(1)
        return (self.conv(x["a"]) * scale + extra) * k


@pytest.fixture(scope="module")
def program() -> Any:
    return traced(seeded(Residual), torch.randn(2, 3, 10, 9))


@pytest.fixture(scope="module")
def found(program: Any) -> ModuleExport:
    return export_program(program)


def several() -> Any:
    args = ({"a": torch.randn(1, 3, 8, 8)}, torch.ones(1, 1, 1, 1))
    return torch.export.export(Several().eval(), args, {"extra": torch.ones(1, 4, 6, 6), "k": 5})


def test_only_programs_are_programs(program: Any) -> None:
    assert is_program(program)
    assert not any(map(is_program, (nn.ReLU(), "model.pt2", torch.zeros(1), program.graph_module)))


def test_layers_bear_the_paths_and_classes_of_modules(found: ModuleExport) -> None:
    layers = read_layers(open_model(found.proto)).layers
    assert [layer.name for layer in layers] == LAYERS
    classes = {layer.name: layer.module_class for layer in layers}
    assert classes["stem.1"] == "torch.nn.modules.batchnorm.BatchNorm2d"
    assert classes["layer1.0.add"] == f"{Residual.__module__}.Block"
    assert found.remarks == ()


def test_the_batch_is_open_and_its_own_example_is_one_sample(found: ModuleExport) -> None:
    assert [each.shape for each in found.inputs] == [(None, 3, 10, 9)]
    assert found.sample is not None
    assert [each.shape for each in found.sample] == [(1, 3, 10, 9)]


@pytest.mark.heavy
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("decomposed", [False, True])
def test_modules_give_what_they_give_alive(strict: bool, decomposed: bool) -> None:
    module = seeded(Residual)
    wanted = export_module(module, torch.randn(1, 3, 10, 9))
    program = traced(module, torch.randn(2, 3, 10, 9), strict=strict)
    found = export_program(quietly(program.run_decompositions) if decomposed else program)
    assert list(found.compared) == list(wanted.compared)
    feeds = [np.random.default_rng(0).random((1, 3, 10, 9), np.float32)]
    arrays = found.run(feeds)
    assert list(arrays) == list(found.compared)
    for name, array in wanted.run(feeds).items():
        np.testing.assert_allclose(arrays[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (lambda: traced(Tokens(), torch.randn(2, 3, 8, 8)), ["patches", "attn", "norm", "fc"]),
        (lambda: traced(Recurrent(), torch.randn(1, 6, 4), open_batch=False), ["lstm", "fc"]),
        (several, ["conv"]),
    ],
)
def test_what_others_read_of_a_module_is_compared(
    make: Callable[[], Any], calls: list[str], tmp_path: Path
) -> None:
    program = make()
    assert find_program_calling(program).calls() == [Call(path, 0) for path in [*calls, ""]]
    report = micam_fast.export(program, tmp_path / "x.onnx")
    assert report.compared == len(calls) + 1
    assert report.worst.relative < 1e-5


def test_a_check_leaves_the_program_as_it_was() -> None:
    program = several()
    find_program_calling(program).run()
    assert program.state_dict["calls"] == 0


def test_samples_are_its_own_or_the_given_one(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    reports = [
        micam_fast.export(program, path, sample=sample)
        for sample in (None, torch.ones(3, 10, 9), np.ones((1, 3, 10, 9)), lambda inputs: None)
    ]
    assert [[each.sample for each in found.differences] for found in reports] == [
        ["random", "given"]
    ] * 4
    given = (torch.ones(3, 8, 8), torch.ones(1, 1, 1), torch.ones(4, 6, 6))
    assert micam_fast.export(several(), path, sample=given).compared == 2
    with pytest.raises(micam_fast.SampleError, match=r"shape \(3, 9, 9\) does not fit input 'x'"):
        micam_fast.export(program, path, sample=torch.ones(3, 9, 9))


def test_a_program_without_examples_is_checked_with_random_values(tmp_path: Path) -> None:
    program = traced(seeded(Residual), torch.randn(2, 3, 10, 9))
    program.example_inputs = None
    report = micam_fast.export(program, tmp_path / "x.onnx")
    assert [each.sample for each in report.differences] == ["random"]
    assert report.compared == 24


def test_a_batch_of_a_fixed_number_is_run_as_one(tmp_path: Path) -> None:
    program = traced(seeded(Residual), torch.randn(4, 3, 10, 9), open_batch=False)
    micam_fast.export(program, tmp_path / "x.onnx", sample=torch.ones(3, 10, 9))
    cams = micam_fast.explain(tmp_path / "x.onnx", torch.ones(3, 10, 9)).cams
    assert cams["stem.0"].shape == (8, 7)


def test_a_program_is_a_model(program: Any) -> None:
    said: list[str] = []
    model = micam_fast.load_model(program, say=said.append)
    assert model.name == "Residual"
    assert [each.partition(" in ")[0] for each in said] == ["exported 31 layers"]
    assert "(module " in said[0]
    assert [layer.name for layer in model.layers] == LAYERS


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize(
    ("module", "said"),
    [
        (lambda: seeded(Block, 3), r"batch_norm\w* of module 'bn1'"),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.5)), "dropout of module '1'"),
    ],
)
def test_a_program_of_training_is_refused(
    module: Callable[[], Any], said: str, decomposed: bool, tmp_path: Path
) -> None:
    program = torch.export.export(module().train(), (torch.randn(2, 3, 6, 6),))
    program = quietly(program.run_decompositions) if decomposed else program
    with pytest.raises(ExportError, match=rf"in training mode \(.*{said}\): .*module\.eval\(\)"):
        micam_fast.export(program, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_normalizations_by_the_batch_in_eval_mode_are_no_training(tmp_path: Path) -> None:
    norms = nn.InstanceNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False)
    program = traced(nn.Sequential(*norms), torch.randn(1, 2, 6, 6), open_batch=False)
    assert micam_fast.export(program, tmp_path / "x.onnx").compared == 3


def test_a_number_left_open_is_refused(tmp_path: Path) -> None:
    class Times(nn.Module):
        def forward(self, x: Any, k: int) -> Any:
            return x * k

    program = torch.export.export(
        Times(), (torch.ones(1, 2), 4), dynamic_shapes=(None, torch.export.Dim.DYNAMIC)
    )
    with pytest.raises(ExportError, match="input 'k' is a number that it leaves open"):
        micam_fast.export(program, tmp_path / "x.onnx")


def test_a_program_that_names_no_module_is_compared_as_a_whole(tmp_path: Path) -> None:
    program = traced(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.ones(2, 1, 5, 5))
    for node in program.graph.nodes:
        node.meta.pop("nn_module_stack", None)
    report = micam_fast.export(program, tmp_path / "x.onnx")
    assert (report.compared, report.worst.layer) == (1, "the module itself")

"""Modules that are not as most are: exported as they answer, or refused in a line."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import micam_fast
from tests.helpers.torch_modules import Branching, nn, seeded, torch

PICTURE = (1, 3, 8, 8)
Pair = namedtuple("Pair", "scores hidden")  # as people write it


class Around(nn.Module):
    """A module whose forward pass is a function of its own module and what it reads."""

    def __init__(self, function: Callable[[Any, Any], Any], inner: Any) -> None:
        super().__init__()
        self.function, self.inner = function, inner

    def forward(self, x: Any) -> Any:
        return self.function(self.inner, x)


def small() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip


def convolution() -> Any:
    return nn.Conv2d(3, 3, 3, padding=1)


def tensors(output: Any) -> Iterator[Any]:
    """What an output holds, in its order."""
    if isinstance(output, torch.Tensor):
        yield output
        return
    for each in output.values() if isinstance(output, dict) else output:
        yield from tensors(each)


def exported(module: Any, sample: Any, path: Path) -> list[str]:
    """Names of the layers of an export that gives what the module gives."""
    micam_fast.export(module, path, sample=sample)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: sample.numpy()})
    held = next((each.dtype for each in module.parameters()), sample.dtype)
    given = sample.to(held) if sample.is_floating_point() else sample
    with torch.no_grad():
        wanted = [each.float().numpy() for each in tensors(copy.deepcopy(module).eval()(given))]
    tolerance = 2e-2 if held is torch.float16 else 1e-4
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    return [layer.name for layer in micam_fast.load_model(path).layers][1:]


@pytest.mark.parametrize(
    "function",
    [
        lambda inner, x: {"out": inner(x), "mean": inner(x).mean((2, 3))},
        lambda inner, x: (inner(x), (inner(x) * 2, [inner(x)])),
        lambda inner, x: Pair(inner(x).mean((2, 3)), inner(x)),
    ],
    ids=["dict", "nested tuple", "named tuple"],
)
def test_whatever_holds_the_outputs(function: Any, tmp_path: Path) -> None:
    names = exported(Around(function, convolution()), torch.randn(PICTURE), tmp_path / "x.onnx")
    assert "inner" in names


def test_a_loop_as_long_as_numbers_say_is_that_of_the_sample(tmp_path: Path) -> None:
    def repeated(inner: Any, x: Any) -> Any:
        for _ in range(2 + int(x.mean() > 5)):
            x = inner(x)
        return x

    path = tmp_path / "x.onnx"
    module = Around(repeated, convolution())
    assert exported(module, torch.randn(PICTURE), path) == ["inner", "inner#2"]
    report = micam_fast.export(module, path, sample=torch.randn(PICTURE))
    assert report.remarks[0].startswith("torch.export cannot trace it")


def test_half_precision_is_exported_as_it_is(tmp_path: Path) -> None:
    sample = torch.randn(PICTURE).half()
    names = exported(small().half(), sample, tmp_path / "x.onnx")
    assert names == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_numbers_that_onnx_runtime_cannot_convolve_are_refused(dtype: str, tmp_path: Path) -> None:
    module = small().to(getattr(torch, dtype))
    with pytest.raises(micam_fast.ExportError, match="the converted model does not run"):
        micam_fast.export(module, tmp_path / "x.onnx", sample=torch.randn(PICTURE))
    assert list(tmp_path.iterdir()) == []


def test_a_module_without_parameters(tmp_path: Path) -> None:
    module = nn.Sequential(nn.ReLU(), nn.AvgPool2d(2))
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == ["0", "1"]


def test_whole_numbers_are_read_as_they_are(tmp_path: Path) -> None:
    table = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 4))
    assert exported(table, torch.tensor([[5, 7, 9, 1]]), tmp_path / "x.onnx") == ["0", "1"]
    picture = Around(lambda inner, x: inner(x.float() / 255), convolution())
    sample = torch.randint(0, 255, PICTURE, dtype=torch.uint8)
    assert exported(picture, sample, tmp_path / "x.onnx")[-1] == "inner"


def test_modules_that_share_a_weight_bear_their_own_names(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    module[2].weight = module[0].weight
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == ["0", "1", "2"]


def test_a_module_of_two_names_bears_those_that_it_is_called_by(tmp_path: Path) -> None:
    first = convolution()
    module = nn.Sequential()
    for name in ("a", "b"):
        module.add_module(name, first)
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == ["a", "b"]


def test_names_of_odd_letters(tmp_path: Path) -> None:
    module = nn.Sequential()
    odd = ["weight", "a/b", "c d", "é'\"", "*", "a#2", "bias", "conv", "conv_1"]
    for name in odd:
        module.add_module(name, convolution())
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == odd


@pytest.mark.parametrize(
    "wrap",
    [
        lambda module: torch.compile(module, backend="eager"),
        nn.DataParallel,
        lambda module: nn.DataParallel(torch.compile(module, backend="eager")),
    ],
    ids=["compiled", "parallel", "both"],
)
def test_what_wraps_a_module_is_taken_off(wrap: Any, tmp_path: Path) -> None:
    sample, path = torch.randn(PICTURE), tmp_path / "x.onnx"
    assert exported(wrap(small()), sample, path) == [str(number) for number in range(6)]
    model = micam_fast.load_model(wrap(small()), sample=sample)
    assert (model.name, model.inputs[0].shape[0]) == ("Sequential", None)


def test_what_is_made_at_the_first_call_is_made(tmp_path: Path) -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
    micam_fast.export(module, tmp_path / "x.onnx", sample=torch.randn(PICTURE))
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == ["0", "1"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_steps_along_time(kind: str, tmp_path: Path) -> None:
    steps = getattr(nn, kind)(6, 5, bidirectional=True, batch_first=True)
    module = Around(lambda inner, x: inner(x)[0] * 2, steps)
    names = exported(module, torch.randn(1, 9, 6), tmp_path / "x.onnx")
    assert f"inner.{kind.lower()}" in names


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.spectral_norm,
    ],
    ids=["spectral", "weight", "older spectral"],
)
def test_weights_that_are_computed(wrap: Any, tmp_path: Path) -> None:
    module = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(4, 4, 1))
    names = exported(module, torch.randn(PICTURE), tmp_path / "x.onnx")
    assert [name.partition(".")[0] for name in names] == ["0", "1", "2"]


def test_a_module_that_moves_to_where_its_input_is(tmp_path: Path) -> None:
    module = Around(lambda inner, x: inner(x.to("cpu")).to(x.device), convolution())
    assert exported(module, torch.randn(PICTURE), tmp_path / "x.onnx") == ["inner"]


def on_meta() -> Any:
    with torch.device("meta"):
        return small()


def quantized() -> Any:
    kinds = {nn.Linear}
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8)), kinds)


@pytest.mark.filterwarnings("ignore:.*quantiz")
@pytest.mark.parametrize(
    ("make", "sample", "said"),
    [
        (on_meta, torch.randn(PICTURE), "PyTorch cannot run the module: .*meta tensor"),
        (quantized, torch.randn(1, 8), "PyTorch cannot export the module: .*quantized"),
        (small, (), "PyTorch cannot run the module: .*missing 1 required"),
        (small, [torch.randn(PICTURE)] * 2, "PyTorch cannot run the module: .*arguments"),
    ],
    ids=["meta", "quantized", "no sample", "two samples"],
)
def test_what_cannot_be_exported_says_so_in_a_line(
    make: Any, sample: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(micam_fast.ExportError, match=said) as told:
        micam_fast.export(make(), tmp_path / "x.onnx", sample=sample)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "function",
    [
        lambda inner, x: nn.functional.dropout(inner(x), 0.5),
        lambda inner, x: inner(x) + torch.randn(3, 8, 8),
    ],
    ids=["dropout that is never off", "random numbers"],
)
def test_a_module_of_chance_is_refused(function: Any, tmp_path: Path) -> None:
    module = Around(function, convolution())
    with pytest.raises(micam_fast.ExportError, match="'the module itself' differs") as told:
        micam_fast.export(module, tmp_path / "x.onnx", sample=torch.randn(PICTURE))
    assert "nothing was written" in str(told.value)


def test_what_counts_its_calls_is_exported_as_at_its_first(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = convolution()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return self.conv(x) * self.calls

    exported(Counting(), torch.randn(PICTURE), tmp_path / "x.onnx")


def test_of_a_batch_the_first_sample_is_taken(tmp_path: Path) -> None:
    report = micam_fast.export(small(), tmp_path / "x.onnx", sample=torch.randn(2, 3, 8, 8))
    assert report.worst.relative < 1e-5
    assert micam_fast.load_model(tmp_path / "x.onnx").inputs[0].shape[1:] == (3, 8, 8)


def test_another_way_on_random_values_is_told(tmp_path: Path) -> None:
    """Random values sum to less than zero here, and take the other convolution."""
    module = seeded(Branching)
    report = micam_fast.export(module, tmp_path / "x.onnx", sample=torch.full((1, 1, 5, 5), 9.0))
    ways = {each.sample for each in report.differences}
    noise = np.random.default_rng(0).standard_normal((1, 1, 5, 5))
    assert ways == ({"given"} if noise.sum() <= 0 else {"random", "given"})
    below = micam_fast.export(module, tmp_path / "y.onnx", sample=torch.full((1, 1, 5, 5), -9.0))
    told = [each for found in (report, below) for each in found.remarks if "random values" in each]
    assert len(told) == 1
    assert told[0].startswith("the file holds the way of the sample alone: on random values it ")


def test_a_convolution_without_bias_has_none(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ConvTranspose2d(4, 2, 2, bias=False))
    micam_fast.export(module, tmp_path / "x.onnx", sample=torch.randn(3, 8, 8))
    layers = micam_fast.load_model(tmp_path / "x.onnx").layers
    assert [layer.bias_shape for layer in layers[1:]] == [None, None]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_torchscript_alive_says_what_it_is(tmp_path: Path) -> None:
    script = torch.jit.script(small())
    for call in (micam_fast.load_model, lambda m, **k: micam_fast.export(m, tmp_path / "x", **k)):
        with pytest.raises(micam_fast.MicamError, match="a TorchScript module tells nothing of"):
            call(script, sample=torch.randn(3, 8, 8))


def test_a_module_is_explained_in_a_line() -> None:
    found = micam_fast.explain(small(), torch.randn(3, 8, 8))
    assert len(found.maps) > 1

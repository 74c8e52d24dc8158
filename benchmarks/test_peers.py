"""Other ways to every layer's activations or maps: Keras, PyTorch hooks, torchcam, TorchLens.

PyTorch's networks are exported to ONNX and seen by micam-fast, too, one sample at a time as the
others do it. They need the extra ``[peers]``, Keras needs ``[training]``.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micam_fast
from benchmarks.activations import Tapped, check_cams, open_session
from benchmarks.cases import BATCH, THREADS, choose_size, describe, show_model
from benchmarks.models import CACHE, RECIPE, SEED, build_keras, make_samples, model_path

TABLE = "peers"
SMALL = ("resnet18", 64)
TORCH_CASES = [SMALL, ("resnet18", 224), ("ResNet50", 224)]
# All outputs of 32 samples of DenseNet-121 at 224 x 224 are 6 GB, and Keras holds them twice.
KERAS_CASES = [(("MobileNet", 32), 2)] + [
    ((name, size), BATCH if size == 75 else 8)
    for name, size in itertools.product(("MobileNet", "ResNet50", "DenseNet121"), (75, 224))
]

# Warnings of these libraries are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def choose(benchmark: Any, case: tuple[str, int], *, small: bool) -> None:
    benchmark.group = show_model(*case)
    choose_size(benchmark, small=small)


@pytest.mark.parametrize(
    ("case", "batch"), KERAS_CASES, ids=[show_model(*case) for case, _ in KERAS_CASES]
)
def test_keras(benchmark: Any, case: tuple[str, int], batch: int) -> None:
    pytest.importorskip("keras", reason="needs the extra [training]")
    choose(benchmark, case, small=case == KERAS_CASES[0][0])
    path = model_path(*case)
    samples = make_samples(path, batch)
    model = build_keras(*case)

    import keras

    outputs = keras.Model(model.inputs, [layer.output for layer in model.layers])
    predict = partial(outputs.predict, samples, batch_size=batch, verbose=0)
    activations = Tapped(path).run(samples)
    for layer, found in zip(model.layers, predict(), strict=True):
        expected = activations.channels_last(layer.name, -1)
        atol = 1e-3 * np.abs(expected).max()
        np.testing.assert_allclose(found[-1].reshape(expected.shape), expected, 0, atol)
    describe(
        benchmark, TABLE, "Keras, predict with all outputs", show_model(*case), units=batch,
        batch=batch, threads="its own", layers=len(model.layers),
        megabytes_per_sample=round(activations.megabytes, 1),
    )  # fmt: skip
    del activations
    benchmark.pedantic(predict, rounds=5, warmup_rounds=1)


@pytest.fixture
def network(request: pytest.FixtureRequest, benchmark: Any) -> tuple[Any, Any]:
    """A PyTorch network and a sample."""
    # The test extra has PyTorch, too, which does not go with the TensorFlow of other tests.
    pytest.importorskip("torchcam", reason="needs the extra [peers]")
    import torch

    choose(benchmark, request.param, small=request.param == SMALL)
    benchmark.group = f"PyTorch's {benchmark.group}"
    from benchmarks.torch_models import build_torch

    torch.set_num_threads(THREADS)
    name, size = request.param
    torch.manual_seed(0)
    return build_torch(name), torch.rand(1, 3, size, size)


def torch_benchmark(function: Any) -> Any:
    """Run a benchmark on each of PyTorch's networks."""
    ids = [show_model(*case) for case in TORCH_CASES]
    cases = pytest.mark.parametrize("network", TORCH_CASES, ids=ids, indirect=True)
    return cases(function)


def describe_torch(benchmark: Any, what: str, **more: Any) -> None:
    describe(benchmark, TABLE, what, benchmark.group, batch=1, threads=THREADS, **more)


def find_leaves(model: Any) -> dict[str, Any]:
    """Modules that compute something themselves."""
    from torch import nn

    return {
        name: module
        for name, module in model.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    }


@torch_benchmark
def test_torch_forward(benchmark: Any, network: Any) -> None:
    import torch

    model, sample = network
    path = export_torch(benchmark, network)
    session = open_session(path)
    with torch.inference_mode():
        (expected,) = session.run(None, {"image": sample.numpy()})
        np.testing.assert_allclose(model(sample).numpy(), expected, rtol=1e-3, atol=1e-5)
        describe_torch(benchmark, "PyTorch, forward pass")
        benchmark.pedantic(model, (sample,), rounds=15, warmup_rounds=2)


@torch_benchmark
def test_onnx_forward(benchmark: Any, network: Any) -> None:
    session = open_session(export_torch(benchmark, network))
    feed = {"image": network[1].numpy()}
    describe_torch(benchmark, "ONNX Runtime, forward pass")
    benchmark.pedantic(session.run, (None, feed), rounds=15, warmup_rounds=2)


@torch_benchmark
def test_torch_hooks(benchmark: Any, network: Any) -> None:
    import torch

    model, sample = network
    leaves = find_leaves(model)
    kept: dict[str, Any] = {}

    def keep(name: str, module: Any, inputs: Any, output: Any) -> None:
        # A copy: ReLUs and additions may work in place.
        kept[name] = output.clone()

    for name, leaf in leaves.items():
        leaf.register_forward_hook(partial(keep, name))
    with torch.inference_mode():
        output = model(sample)
        assert set(kept) == set(leaves)
        first, *_, last = leaves
        torch.testing.assert_close(kept[first], leaves[first].forward(sample))
        torch.testing.assert_close(kept[last], output)
        describe_torch(benchmark, "PyTorch, forward hooks on all leaves", layers=len(leaves))
        benchmark.pedantic(model, (sample,), rounds=15, warmup_rounds=2)


@torch_benchmark
def test_torchcam(benchmark: Any, network: Any) -> None:
    import torch

    methods = pytest.importorskip("torchcam.methods", reason="needs the extra [peers]")
    model, sample = network
    layers = [n for n, m in find_leaves(model).items() if isinstance(m, torch.nn.Conv2d)]
    extractor = methods.LayerCAM(model, layers)

    def explain() -> Any:
        scores = model(sample)
        return extractor(scores[0].argmax().item(), scores)

    found = explain()
    expected = make_layer_cam(model, sample, layers[-1])
    torch.testing.assert_close(found[-1][0], expected, rtol=1e-3, atol=1e-4)
    what = "torchcam, LayerCAM of all convolutions"
    describe_torch(benchmark, what, layers=len(layers))
    benchmark.pedantic(explain, rounds=15, warmup_rounds=2)


def make_layer_cam(model: Any, sample: Any, layer: str) -> Any:
    """LayerCAM by its formula: positive gradients times activations, brought to [0, 1]."""
    import torch

    kept: list[Any] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    scores = model(sample)
    hook.remove()
    (gradient,) = torch.autograd.grad(scores.max(), kept)
    cam = (gradient.relu() * kept[0]).sum(dim=1)[0].relu().detach()
    return (cam - cam.min()) / (cam.max() - cam.min())


@torch_benchmark
def test_torchlens(benchmark: Any, network: Any) -> None:
    import torch

    torchlens = pytest.importorskip("torchlens", reason="needs the extra [peers]")
    model, sample = network
    trace = partial(torchlens.trace, model, sample)
    with torch.inference_mode():
        found, expected = trace(), model(sample)
        torch.testing.assert_close(found[found.output_layers[0]].out, expected)
        describe_torch(benchmark, "TorchLens, trace", layers=found.num_layers)
        benchmark.pedantic(trace, rounds=5, warmup_rounds=1)


@torch_benchmark
def test_micam_fast(benchmark: Any, network: Any) -> None:
    path = export_torch(benchmark, network)
    sample = network[1].numpy()
    model = micam_fast.load_model(path, threads=THREADS)
    check_cams(model.explain(sample[0]).cams, Tapped(path).run(sample))
    describe_torch(benchmark, "micam-fast, maps of all layers", layers=len(model.layers))
    benchmark.pedantic(lambda: model.explain(sample[0]).cams, rounds=15, warmup_rounds=2)


def export_torch(benchmark: Any, network: Any) -> Path:
    """The same network as ONNX, with its normalizations as layers."""
    import torch

    model, sample = network
    name = benchmark.group.replace("'s ", "-").replace(" ", "-")
    path = CACHE / f"{name}-seed{SEED}-{RECIPE}.onnx"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        # The newer exporter needs one more package.
        torch.onnx.export(
            model, (sample,), part, dynamo=False, input_names=["image"],
            dynamic_axes={"image": {0: "N"}}, training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
        part.rename(path)
    return path

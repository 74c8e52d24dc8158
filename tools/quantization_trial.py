"""Try whether the layer that ``micam-fast diff`` puts first is the one to keep in float.

Two small networks, a mobile and a residual one, are trained on the digits that
``tools/make_demo.py`` takes, and exported; the demo's is the third. Each is quantized in several
ways, then once more for each layer with that layer kept in float. What that gains on the held-out
digits, in thousandths of divergence from the float model's probabilities and in accuracy, is
compared with the report's order of the layers, and with other orders that the report has numbers
for: which place the order's first layer has among the gains, and the rank correlation.

Needs what ``tools/make_demo.py`` needs. Run::

    TF_CPP_MIN_LOG_LEVEL=3 python tools/quantization_trial.py FOLDER

Networks that are in the folder from an earlier run are not trained again. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import logging
import operator
import runpy
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

import micam_fast
from micam_fast.analyses.differences import LayerDifference, match_layers, measure_noise
from micam_fast.demo import MODEL

Floats = NDArray[np.float32]
DEMO = runpy.run_path(str(Path(__file__).with_name("make_demo.py")))
EPOCHS, BATCH = 8, 64
CALIBRATION, COMPARED = 64, 64
FOUR_BITS = 7
ORDERS: dict[str, Callable[[LayerDifference], float]] = {
    "added noise": lambda each: each.added,
    "SNR": lambda each: -each.noise.snr_db if each.noise else 0.0,
    "saturated": lambda each: (each.noise and each.noise.saturated) or 0.0,
    "relative L2 of maps": lambda each: np.nan_to_num(each.relative_l2),
}
"""What may make a layer the worst one; the larger, the worse."""


class Way(NamedTuple):
    """A way to quantize: whether by calibration, what the tool takes, and bits of the weights."""

    is_static: bool
    given: dict[str, Any]
    most: int | None = None


FORMAT, METHOD = quantization.QuantFormat, quantization.CalibrationMethod
WAYS = {
    "QDQ": Way(True, {"quant_format": FORMAT.QDQ}),
    "QOperator": Way(True, {"quant_format": FORMAT.QOperator}),
    "dynamic": Way(False, {}),
    "QDQ, weights of 4 bits": Way(True, {"quant_format": FORMAT.QDQ}, FOUR_BITS),
    "QDQ, ranges cut at 99 %": Way(
        True,
        {
            "quant_format": FORMAT.QDQ,
            "calibrate_method": METHOD.Percentile,
            "extra_options": {"CalibPercentile": 99.0},
        },
    ),
}


class Net(NamedTuple):
    """A network: its file, and digits as it takes them."""

    path: Path
    calibration: Floats
    held_out: Floats
    labels: NDArray[np.int64]


def build_mobile() -> Any:
    """Inverted residual blocks with depthwise convolutions and ReLU6, as MobileNetV2 has them."""
    layers = keras.layers

    def add(value: Any, name: str, layer: Any, *, relu: bool = True) -> Any:
        value = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(layer(value))
        return layers.ReLU(6.0, name=f"{name}_relu")(value) if relu else value

    given: dict[str, Any] = {"padding": "same", "use_bias": False}
    image = keras.Input((28, 28, 1), name="image")
    value = add(image, "stem", layers.Conv2D(16, 3, strides=2, name="stem", **given))
    for block, (width, stride) in enumerate([(16, 1), (24, 2), (24, 1)], 1):
        names = [f"{each}{block}" for each in ("expand", "depthwise", "project")]
        read = value
        kernels = (
            layers.Conv2D(4 * read.shape[-1], 1, name=names[0], **given),
            layers.DepthwiseConv2D(3, strides=stride, name=names[1], **given),
            layers.Conv2D(width, 1, name=names[2], **given),
        )
        for name, kernel in zip(names, kernels, strict=True):
            value = add(value, name, kernel, relu=name != names[2])
        if value.shape == read.shape:
            value = layers.Add(name=f"add{block}")([read, value])
    value = add(value, "head", layers.Conv2D(64, 1, name="head", **given))
    value = layers.GlobalAveragePooling2D(name="pool")(value)
    return keras.Model(image, layers.Dense(10, "softmax", name="dense")(value), name="mobile")


def build_residual() -> Any:
    """Three residual blocks, two of them with a convolution in the shortcut."""
    layers = keras.layers

    def add(value: Any, name: str, width: int, size: int = 3, stride: int = 1) -> Any:
        kernel = layers.Conv2D(
            width, size, strides=stride, padding="same", use_bias=False, name=name
        )
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(kernel(value))

    image = keras.Input((28, 28, 1), name="image")
    value = layers.ReLU(name="stem_relu")(add(image, "stem", 16))
    for block, (width, stride) in enumerate([(16, 1), (32, 2), (32, 2)], 1):
        name = f"block{block}"
        other = add(value, f"{name}_conv1", width, stride=stride)
        other = add(layers.ReLU(name=f"{name}_relu1")(other), f"{name}_conv2", width)
        if stride > 1:
            value = add(value, f"{name}_short", width, 1, stride)
        value = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([value, other]))
    value = layers.GlobalAveragePooling2D(name="pool")(value)
    return keras.Model(image, layers.Dense(10, "softmax", name="dense")(value), name="residual")


def make_net(build: Callable[[], Any], folder: Path, split: Any) -> Path:
    """Train and export a network, and prepare the file as ONNX Runtime asks for it."""
    keras.utils.set_random_seed(DEMO["SEED"])
    tf.config.experimental.enable_op_determinism()
    net = build()
    made, exported, ready = (folder / f"{net.name}{end}" for end in (".keras", ".onnx", "_f.onnx"))
    if not made.exists():
        steps = EPOCHS * -(-len(split.train_images) // BATCH)
        rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
        net.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy")
        net.fit(split.train_images, split.train_labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
        net.save(made)
    micam_fast.export(str(made), exported)
    # The activations that an export hands out keep normalizations from being folded.
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    outputs = [each for each in proto.graph.output if each.name == proto.graph.node[-1].output[0]]
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    onnx.save(proto, ready)
    quant_pre_process(str(ready), str(ready), skip_symbolic_shape=True)
    return ready


class _Digits(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, digits: Floats) -> None:
        self._left = iter([{name: digits[i : i + 1]} for i in range(len(digits))])

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._left, None)


def quantize(net: Net, way: Way, kept: Collection[str], path: Path) -> Path:
    """Quantize all nodes but those that are kept in float, and the Softmax."""
    proto = onnx.load(net.path)
    nodes = proto.graph.node
    if way.most:
        read = {each.input[1] for each in nodes if len(each.input) > 1 and each.name not in kept}
        for tensor in proto.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if tensor.name in read and array.ndim > 1:
                step = np.abs(array).max() / way.most
                rounded = (np.round(array / step) * step).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    apart = [each.name for each in nodes if each.op_type == "Softmax"] + list(kept)
    if way.is_static:
        reader = _Digits(proto.graph.input[0].name, net.calibration)
        quantization.quantize_static(proto, path, reader, nodes_to_exclude=apart, **way.given)
    else:
        quantization.quantize_dynamic(proto, path, nodes_to_exclude=apart, **way.given)
    return path


def run(net: Net, path: Path) -> tuple[float, Floats]:
    """Accuracy on the held-out digits, and the probabilities."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: net.held_out})
    return float(np.mean(found.argmax(1) == net.labels)), np.asarray(found)


def divergence(real: Floats, found: Floats) -> float:
    """Mean Kullback-Leibler divergence from the float model's probabilities, in thousandths."""
    one, other = (np.log(np.maximum(each.astype(np.float64), 1e-12)) for each in (real, found))
    return float(1000 * np.mean(np.sum(np.exp(one) * (one - other), axis=1)))


def agreement(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their mean rank."""
    ranks = []
    for values in (one, other):
        below, equal = (
            np.array([[op(a, b) for b in values] for a in values]).sum(1)
            for op in (operator.gt, operator.eq)
        )
        ranks.append(below + equal / 2)
    return float(np.corrcoef(*ranks)[0, 1])


def try_way(net: Net, way: Way, folder: Path) -> Iterator[str]:
    """Cells of the table: what is lost, then for each order where its first layer leads."""
    accuracy, real = run(net, net.path)
    whole = quantize(net, way, (), folder / "whole.onnx")
    a, b = micam_fast.load_model(net.path), micam_fast.load_model(whole)
    matching = match_layers(a.layers, b.layers)
    samples = net.calibration[:COMPARED]
    noise = measure_noise(a, b, [(each, each) for each in samples], matching.pairs)
    ranked = micam_fast.diff(a.explain(samples[0]), b.explain(samples[0]), noise=noise).ranked
    lost_accuracy, probabilities = run(net, whole)
    lost = divergence(real, probabilities)
    rows = [each for each in ranked if each.layer.op_type not in ("Input", "Softmax")]
    gains, accuracies = [], []
    for each in rows:
        name = each.layer.name
        kept = [name, *(one for one, end in matching.within[0].items() if end == name)]
        found, probabilities = run(net, quantize(net, way, kept, folder / "kept.onnx"))
        gains.append(lost - divergence(real, probabilities))
        accuracies.append(found)
        logging.info("%s %.4g %.4f %s", name, gains[-1], found, [o(each) for o in ORDERS.values()])
    best = int(np.argmax(gains))
    yield from (f"{100 * accuracy:.1f} %", f"{100 * lost_accuracy:.1f} %", f"{lost:.3g}")
    for place in (best, 0):
        name = rows[place].layer.name.removeprefix("part0/model/")
        yield f"`{name}`: {gains[place]:.3g}, {100 * accuracies[place]:.1f} %"
    for order in ORDERS.values():
        values = [order(each) for each in rows]
        first = int(np.argmax(values))
        place = sorted(gains, reverse=True).index(gains[first]) + 1
        yield f"{place} ({agreement(values, gains):.2f})" if len(set(values)) > 1 else "-"


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for networks and files")
    parser.add_argument("--each", action="store_true", help="print each layer's numbers, too")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        format="%(message)s", level=logging.INFO if arguments.each else logging.ERROR
    )
    logging.getLogger().setLevel(logging.INFO if arguments.each else logging.ERROR)
    split = DEMO["load_split"]()
    images = split.train_images[:CALIBRATION], split.held_out_images
    columns = [np.ascontiguousarray(each.transpose(0, 3, 1, 2)) for each in images]
    demo = Path(shutil.copy(MODEL, folder / "demo.onnx"))
    nets = {
        "demo": Net(demo, columns[0], columns[1], split.held_out_labels),
        **{
            build.__name__.removeprefix("build_"): Net(
                make_net(build, folder, split), *images, split.held_out_labels
            )
            for build in (build_mobile, build_residual)
        },
    }
    heads = ("model", "quantized", "float", "int8", "lost", "gains most", "reported first", *ORDERS)
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, net in nets.items():
        for how, way in WAYS.items():
            print(f"| {' | '.join((name, how, *try_way(net, way, folder)))} |", flush=True)


if __name__ == "__main__":
    main()

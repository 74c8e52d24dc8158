"""Convert the Keras reference models to ONNX and note which ONNX value holds which Keras layer.

Needs keras on TensorFlow, tf2onnx and onnxruntime. The models are tf2onnx's plain output for
inference. It has no BatchNormalization for Keras 3 models: such a layer becomes a Mul and, unless
its shift is all zero, an Add. ::

    TF_CPP_MIN_LOG_LEVEL=3 python tools/make_reference_models.py --reference-dir REFERENCE_DIR

Writes ``NAME.onnx``, ``NAME_sample.npy`` and ``NAME_expected.npz`` for each model, and
``reference_layers.json`` for all, to ``tests/data``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tf2onnx
from numpy.typing import NDArray

Floats = NDArray[np.float32]

OUTPUT_DIR = Path(__file__).resolve().parent.parent / "tests" / "data"
MODELS = ("ref_lenet", "ref_residual")
OPSET = 15
TOLERANCE = 1e-5


def keras_activations(model: Any, batch: Floats) -> dict[str, Floats]:
    """Return each layer's activation for a batch of one, inputs left out, by layer name."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = keras.Model(model.inputs, [layer.output for layer in layers]).predict(
        batch, verbose=0
    )
    return {layer.name: out for layer, out in zip(layers, outputs, strict=True)}


def onnx_values(model: onnx.ModelProto, batch: Floats) -> dict[str, Floats]:
    """Return the float value that each node makes for a batch, in topological order."""
    names = [name for node in model.graph.node for name in node.output]
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values = session.run(names, {model.graph.input[0].name: batch})
    return {n: v for n, v in zip(names, values, strict=True) if v.dtype == np.float32}


def is_close(value: Floats, activation: Floats) -> bool:
    """Whether both have one shape and differ by 1e-5 of the largest number at most."""
    if value.shape != activation.shape:
        return False
    return bool(np.abs(value - activation).max() <= TOLERANCE * max(1.0, np.abs(activation).max()))


def match_layers(activations: dict[str, Floats], values: dict[str, Floats]) -> dict[str, str]:
    """Give each layer the first value that equals its activation, in either layout.

    A value serves one layer only, so a layer without a value of its own, such as a Dropout, is
    left out.
    """
    found: dict[str, str] = {}
    free = dict(values)
    for layer, activation in activations.items():
        layouts = [activation]
        if activation.ndim == 4:
            layouts.append(activation.transpose(0, 3, 1, 2))
        for name, value in free.items():
            if any(is_close(value, layout) for layout in layouts):
                found[layer] = name
                del free[name]
                break
    return found


def convert(name: str, reference_dir: Path, output_dir: Path) -> dict[str, str]:
    """Convert one model, copy its sample and expected values, and match its layers.

    Parameters
    ----------
    name
        Name of the model: the files are ``NAME.h5``, ``NAME_sample.npy``, ``NAME_expected.npz``.
    reference_dir, output_dir
        The folders to read from and to write to.

    Returns
    -------
    dict
        ONNX value name by Keras layer name.

    Raises
    ------
    ValueError
        Where the ONNX model's output is not the Keras model's to 1e-5.
    """
    keras_model = keras.models.load_model(reference_dir / f"{name}.h5", compile=False)
    onnx_model, _ = tf2onnx.convert.from_keras(keras_model, opset=OPSET)
    batch = np.load(reference_dir / f"{name}_sample.npy")[np.newaxis]
    values = onnx_values(onnx_model, batch)
    expected = keras_model.predict(batch, verbose=0)
    error = float(np.abs(values[onnx_model.graph.output[0].name] - expected).max())
    if not error <= TOLERANCE:
        raise ValueError(f"{name}: ONNX differs from Keras by {error:.2g}, expected <= {TOLERANCE}")

    onnx.save(onnx_model, output_dir / f"{name}.onnx")
    for file_name in (f"{name}_sample.npy", f"{name}_expected.npz"):
        shutil.copyfile(reference_dir / file_name, output_dir / file_name)
    activations = keras_activations(keras_model, batch)
    layers = match_layers(activations, values)
    left_out = ", ".join(sorted(activations.keys() - layers.keys())) or "none"
    print(f"{name}: largest difference to Keras {error:.2g}, layers without a value: {left_out}")
    return layers


def main() -> None:
    """Read the command line and make the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reference-dir", type=Path, required=True, help="holds NAME.h5 and so on")
    parser.add_argument("--output-dir", type=Path, default=OUTPUT_DIR, help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    layers = {name: convert(name, arguments.reference_dir, arguments.output_dir) for name in MODELS}
    text = json.dumps(layers, indent=2) + "\n"
    (arguments.output_dir / "reference_layers.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Small valid files that the fuzzer mutates: models, and samples of every kind."""

from __future__ import annotations

import functools
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from PIL import Image, PngImagePlugin

from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.annotations import METADATA_KEY, LayerNote, Weight, write_notes
from tests.helpers import models
from tests.helpers.models import conv_node, make_model, random_array

Files = Mapping[str, bytes]
Node = helper.make_node

# --- Models, each with a sample that it takes ------------------------------------------------


@functools.cache
def model_files() -> dict[str, tuple[Files, NDArray[Any] | None]]:
    """By name: the files of a model (``model.onnx`` first), and a sample; None for two inputs."""
    picture = random_array(1, 1, 8, 6)
    protos: dict[str, tuple[onnx.ModelProto, NDArray[Any] | None]] = {
        "conv": (models.conv_net(), picture),
        "annotated": (_annotated(), picture),
        "rgb": (models.rgb_net(), random_array(1, 3, 8, 6)),
        "open": (models.image_to_image_net(), picture),
        "two": (models.two_input_net(), None),
        "gather": (models.gather_net(), np.arange(4)),
        "branches": (_branches(), picture),
        "recurrent": (_recurrent(), random_array(2, 6, 3)),
        "attention": (_attention(), random_array(3, 4, 6)),
        "quantized": (_quantized(), picture),
        "functions": (_functions(), picture),
    }
    for axis in (2, 3):
        protos["open"][0].graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    del protos["open"][0].graph.value_info[:]
    found: dict[str, tuple[Files, NDArray[Any] | None]] = {
        name: ({"model.onnx": proto.SerializeToString(deterministic=True)}, sample)
        for name, (proto, sample) in protos.items()
    }
    found["external"] = (_external(), picture)
    return found


def _annotated() -> onnx.ModelProto:
    """With the notes that the export of a Keras model would write."""
    proto = models.conv_net()
    graph = read_layers(open_model(proto))
    notes = []
    for layer in graph.layers:
        weights = graph.reading.kernels.get(layer.name)
        kernels: tuple[Weight, ...] = ()
        bias = None
        if weights is not None and layer.kernel_shape and layer.bias_shape and weights.bias:
            kernels = (Weight(weights.kernel, layer.kernel_shape),)
            bias = Weight(weights.bias, layer.bias_shape)
        notes.append(LayerNote(layer, graph.taps[layer.name], kernels, bias))
    proto.metadata_props.add(key=METADATA_KEY, value=write_notes(tuple(notes), {"keras": "3"}))
    return proto


def _branches() -> onnx.ModelProto:
    nodes = [
        conv_node("conv", "x", "w"),
        Node("ReduceMax", ["conv:0"], ["most"], keepdims=0),
        Node("Greater", ["most", "zero"], ["flag"]),
        Node("If", ["flag"], ["chosen"], name="if", **models.if_branches("conv:0")),
        Node(
            "Loop",
            ["trips", "", "chosen"],
            ["out"],
            name="loop",
            body=models.loop_body(Node("Sigmoid", ["state"], ["next"], name="step")),
        ),
    ]
    constants = {"w": random_array(2, 2, 1, 3, 3), "trips": np.int64(3), "zero": np.float32(0)}
    return make_model(nodes, {"x": ["N", 1, 8, 6]}, ["out"], constants, name="branches")


def _recurrent() -> onnx.ModelProto:
    nodes = [
        Node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        Node("LSTM", ["turned", "w", "r", "b"], ["y"], name="lstm", hidden_size=2),
        Node("Squeeze", ["y", "one"], ["flat"]),
        Node("Transpose", ["flat"], ["back"], perm=[1, 0, 2]),
        Node("ReduceMean", ["back"], ["mean"], name="mean", axes=[1], keepdims=0),
        Node("Softmax", ["mean"], ["out"], name="softmax"),
    ]
    constants = {
        "w": random_array(1, 1, 8, 3), "r": random_array(2, 1, 8, 2), "b": random_array(3, 1, 16),
        "one": np.array([1]),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", 6, 3]}, ["out"], constants, name="recurrent")


def _attention() -> onnx.ModelProto:
    nodes = [
        *(Node("MatMul", ["x", f"w{each}"], [each], name=each) for each in "qkv"),
        Node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        Node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        Node("Mul", ["scores", "scale"], ["scaled"], name="scaled"),
        Node("Softmax", ["scaled"], ["shares"], name="shares"),
        Node("MatMul", ["shares", "v"], ["mixed"], name="mixed"),
        Node("Add", ["mixed", "x"], ["added"], name="added"),
        Node("Reshape", ["added", "shape"], ["flat"]),
        Node("Gemm", ["flat", "d"], ["out"], name="dense"),
    ]
    constants: dict[str, Any] = {
        f"w{each}": random_array(number, 6, 6) for number, each in enumerate("qkv")
    }
    constants |= {"d": random_array(9, 24, 3), "scale": np.float32(0.4), "shape": np.array([0, -1])}
    return make_model(nodes, {"x": ["N", 4, 6]}, ["out"], constants, name="attention")


def _quantized() -> onnx.ModelProto:
    constants = {
        "w": np.ones((3, 1, 3, 3), np.int8), "b": np.ones(3, np.int32), "s": np.float32(0.1),
        "zu": np.uint8(3), "ws": np.full(3, 0.1, np.float32), "wz": np.zeros(3, np.int8),
    }  # fmt: skip
    nodes = [
        Node("QuantizeLinear", ["x", "s", "zu"], ["q"], "q"),
        Node("QLinearConv", ["q", "s", "zu", "w", "ws", "wz", "s", "zu", "b"], ["c"], "conv"),
        Node("DequantizeLinear", ["c", "s", "zu"], ["y"], "dq"),
    ]
    return make_model(nodes, {"x": ["N", 1, 8, 6]}, ["y"], constants, name="quantized")


def _functions() -> onnx.ModelProto:
    """A model-local function, normalization, a transposed convolution and a resize."""
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        Node("BatchNormalization", ["conv:0", "g", "h", "h", "g"], ["norm"], name="norm"),
        Node("Twice", ["norm"], ["twice"], domain="own", name="twice"),
        conv_node("up", "twice", "u", op="ConvTranspose", strides=[2, 2]),
        Node("Resize", ["up:0", "", "", "sizes"], ["out"], name="resize", mode="nearest"),
    ]
    constants = {
        "w": random_array(2, 2, 1, 3, 3), "g": np.ones(2, np.float32), "h": random_array(4, 2),
        "u": random_array(5, 2, 1, 2, 2), "sizes": np.array([1, 1, 7, 9]),
    }  # fmt: skip
    initializers = [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 1, 8, 6]), ("out", None))
    ]
    graph = helper.make_graph(nodes, "functions", values[:1], values[1:], initializers)
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [Node("Add", ["a", "a"], ["b"])], domains[:1]
    )
    return helper.make_model(graph, opset_imports=domains, ir_version=8, functions=[twice])


def _external() -> Files:
    proto = models.conv_net()
    data = b""
    for tensor in proto.graph.initializer:
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (
            ("location", "weights.bin"),
            ("offset", len(data)),
            ("length", len(raw)),
        ):
            tensor.external_data.add(key=key, value=str(value))
        data += raw
    return {"model.onnx": proto.SerializeToString(deterministic=True), "weights.bin": data}


# --- Samples -----------------------------------------------------------------------------------

Seed = tuple[str, str, bytes]
"""Name of the model that a sample is for, suffix and content of its file."""


@functools.cache
def sample_seeds(kind: str) -> tuple[Seed, ...]:
    """Valid samples: name of the model they are for, suffix of the file, content."""
    make = {"npy": _npy, "npz": _npz, "png": _pictures, "csv": _csv, "tfrecord": _records}
    return tuple(make[kind]())


def packed_array(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    """The content of an npy file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Of versions that old readers do not know.
        np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    return file.getvalue()


def _npy() -> list[Seed]:
    picture = random_array(1, 1, 8, 6)
    levels = np.arange(48).reshape(1, 8, 6)
    found = [
        ("conv", packed_array(picture.astype(dtype), version))
        for dtype, version in (("<f4", (1, 0)), (">f8", (2, 0)), ("<f2", (3, 0)))
    ]
    found += [("conv", packed_array(levels.astype(dtype))) for dtype in ("u1", ">i2", "<i8", "?")]
    found += [
        ("conv", packed_array(random_array(2, 3, 1, 8, 6))),
        ("conv", packed_array(np.asfortranarray(random_array(3, 8, 6, 1)))),
        ("rgb", packed_array(random_array(4, 3, 8, 6))),
        ("rgb", packed_array(random_array(5, 2, 8, 6, 3))),
        ("open", packed_array(random_array(6, 1, 9, 7))),
        ("gather", packed_array(np.arange(4))),
        ("recurrent", packed_array(random_array(7, 6, 3))),
    ]
    return [(model, ".npy", content) for model, content in found]


def packed_zip(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file, of the same bytes whatever the time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _npz() -> list[Seed]:
    one = {"arr_0.npy": packed_array(random_array(1, 1, 8, 6))}
    two = {
        "image.npy": packed_array(random_array(2, 2, 1, 8, 6)),
        "depth.npy": packed_array(random_array(3, 2, 2, 8, 6)),
    }
    return [
        (model, ".npz", packed_zip(members, method))
        for model, members in (("conv", one), ("two", two))
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ]


def _pictures() -> list[Seed]:
    generator = random.Random(1)
    noise = Image.frombytes("RGBA", (9, 7), generator.randbytes(9 * 7 * 4))
    noted = PngImagePlugin.PngInfo()
    noted.add_text("Comment", "a" * 50, zip=True)
    noted.add_itxt("Title", "b" * 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = noise.convert("RGB").quantize(8)
    frames: dict[str, Any] = {"save_all": True, "append_images": [noise.convert("RGB").rotate(90)]}
    saved: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        *(("PNG", ".png", noise.convert(mode), {}) for mode in ("1", "L", "LA", "RGB", "RGBA")),
        ("PNG", ".png", palette, {"transparency": bytes([0, 128])}),
        ("PNG", ".png", Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 999), {}),
        ("PNG", ".png", noise.convert("RGB"), {"pnginfo": noted, "exif": exif, "gamma": 0.5}),
        ("PNG", ".png", noise.convert("RGB"), frames),
        ("JPEG", ".jpg", noise.convert("RGB"), {"exif": exif}),
        ("JPEG", ".jpg", noise.convert("L"), {"progressive": True}),
        ("GIF", ".gif", palette, {"save_all": True, "append_images": [palette.rotate(90)]}),
        ("TIFF", ".tif", noise.convert("RGB"), {"compression": "tiff_lzw"}),
        ("TIFF", ".tif", noise.convert("L"), {"compression": "tiff_adobe_deflate"}),
        ("TIFF", ".tif", noise.convert("F"), {}),
        ("BMP", ".bmp", noise.convert("RGB"), {}),
        ("WEBP", ".webp", noise.convert("RGB"), {}),
        ("WEBP", ".webp", noise, {"lossless": True}),
        ("PPM", ".ppm", noise.convert("RGB"), {}),
    ]  # fmt: skip
    found = []
    for number, (form, suffix, picture, how) in enumerate(saved):
        file = io.BytesIO()
        picture.save(file, form, **how)
        found.append((("conv", "rgb", "open")[number % 3], suffix, file.getvalue()))
    # PNGs are the most of them: the others come once each.
    return found[:9] * 3 + found[9:]


def _csv() -> list[Seed]:
    header = ",".join(f"pid_{each}" for each in range(6))
    rows = [",".join(f"{value:.4g}" for value in row) for row in random_array(1, 8, 6)]
    each = ",".join(f"cell {place}" for place in range(48))
    values = [",".join(f"{value:.3f}" for value in row) for row in random_array(2, 3, 48)]
    quoted = ['"a ""b"", c"', *header.split(",")[1:]]
    texts = [
        ("conv", "\n".join([header, *rows]) + "\n"),
        ("conv", "\r\n".join([",".join(quoted), *rows])),
        ("conv", "\n".join([each, *values])),
        ("open", "\n".join([header, *rows[:4]]) + "\n"),
        ("recurrent", "\n".join(["a,b,c", *("1,-2.5e-1,3" for _ in range(6))]) + "\n"),
        ("gather", "a,b,c,d\n1,2,3,4\n9,8,7,6\n"),
    ]
    found = [(model, ".csv", text.encode()) for model, text in texts]
    return [*found, ("conv", ".csv", b"\xef\xbb\xbf" + found[0][2])]


def record(values: NDArray[np.float32], label: int) -> bytes:
    """A serialized ``tf.train.Example``, made by hand: field 1, a map of features."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(content)) + content

    floats = field(2, field(1, struct.pack(f"<{values.size}f", *values.ravel())))
    number = field(3, field(1, _varint(label)))
    features = {b"sample": floats, b"label": number}
    entries = (field(1, field(1, key) + field(2, each)) for key, each in features.items())
    return field(1, b"".join(entries))


def _varint(value: int) -> bytes:
    head = bytearray()
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    return bytes([*head, value])


_SIZES = {"conv": (8, 6), "open": (8, 6), "recurrent": (6, 3)}
SIDE_FILES = {
    model: json.dumps({"height": size[0], "width": size[1], "classes": ["cat", "dog"]}).encode()
    for model, size in _SIZES.items()
}
"""What stands beside records, by the model that they are for."""


def _records() -> list[Seed]:
    from tests.helpers.mutations import pack_records

    found = []
    for model, size in _SIZES.items():
        records = [record(random_array(seed, *size), seed) for seed in range(3)]
        found.append((model, ".tfrecord", pack_records(records)))
    return found

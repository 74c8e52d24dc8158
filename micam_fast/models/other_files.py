"""Model files that are no ONNX: what each is, and how to make an ONNX file of it."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

_EXPORT = (
    "import micam_fast; micam_fast.export(module, {out!r}, sample=torch.randn(1, 3, 224, 224))"
)
_MODULE = "build the module in Python and load its weights ({load}), then: " + _EXPORT

# By kind: what it is, and the remedy.
_KINDS = {
    "pickle": (
        "a file of torch.save, weights or a pickled module",
        _MODULE.replace("{load}", "module.load_state_dict(torch.load({file!r}))")
        + "; a pickled module is module = torch.load({file!r}, weights_only=False), which runs "
        "what it holds",
    ),
    "script": (
        "a TorchScript module",
        "module = torch.jit.load({file!r}); torch.onnx.export(module, torch.randn(1, 3, 224, 224), "
        "{out!r}, dynamo=False)",
    ),
    "program": (
        "a program of torch.export",
        "micam-fast export {stem}.pt2 {out} --trust makes one of it, under a name that ends in "
        ".pt2: only of a file from whom you trust, as PyTorch runs code that it may hold",
    ),
    "checkpoint": (
        "a checkpoint of a training",
        _MODULE.replace("{load}", "with PyTorch Lightning: Net.load_from_checkpoint({file!r})"),
    ),
    "safetensors": (
        "weights without their module",
        _MODULE.replace("{load}", "module.load_state_dict(safetensors.torch.load_file({file!r}))"),
    ),
    "tflite": (
        "a TensorFlow Lite model",
        "import tf2onnx; tf2onnx.convert.from_tflite({file!r}, output_path={out!r})",
    ),
    "graph": (
        "a frozen TensorFlow graph",
        "graph = tf.compat.v1.GraphDef.FromString(open({file!r}, 'rb').read()); "
        "tf2onnx.convert.from_graph_def(graph, input_names=['x:0'], output_names=['y:0'], "
        "output_path={out!r})",
    ),
    "coreml": (
        "a Core ML model",
        "model = onnxmltools.convert_coreml(coremltools.utils.load_spec({file!r})); "
        "onnxmltools.utils.save_model(model, {out!r})",
    ),
}
_BY_SUFFIX = {
    ".pt": "pickle", ".pth": "pickle", ".bin": "pickle", ".ckpt": "checkpoint",
    ".safetensors": "safetensors", ".tflite": "tflite", ".lite": "tflite", ".pb": "graph",
    ".mlmodel": "coreml", ".pt2": "program",
}  # fmt: skip


def describe_other(path: Path) -> str | None:
    """A line on a model file that is not ONNX, with its remedy; ``None`` for what is unknown.

    Nothing in the file runs, and pickles are not opened: only names in an archive and a file's
    first bytes are looked at.
    """
    kind = kind_by_content(path) or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        return None
    what, remedy = _KINDS[kind]
    out = path.with_suffix(".onnx").name
    # Under the name of an ONNX file, it must not be written over.
    out = f"{path.stem}-exported.onnx" if out == path.name else out
    remedy = remedy.format(file=path.name, stem=path.stem, out=out)
    return f"{path} is {what}, no ONNX file; {remedy}"


def kind_by_content(path: Path) -> str | None:
    """The kind of a model file by its first bytes and the names in an archive, if they tell it."""
    with suppress(OSError, zipfile.BadZipFile, ValueError):
        with path.open("rb") as file:
            begin = file.read(16)
        if begin[4:8] == b"TFL3":
            return "tflite"
        if begin[8:9] == b"{" and path.suffix.lower() == ".safetensors":
            return "safetensors"
        if begin[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                entries = archive.namelist()
            names = {Path(name).name for name in entries}
            # PyTorch 2.8 and later; before.
            if any(name.endswith("/models/model.json") for name in entries) or (
                "serialized_exported_program.json" in names
            ):
                return "program"
            if "constants.pkl" in names and any(name.endswith(".py") for name in names):
                return "script"
            if "data.pkl" in names:
                return "checkpoint" if path.suffix.lower() == ".ckpt" else "pickle"
    return None

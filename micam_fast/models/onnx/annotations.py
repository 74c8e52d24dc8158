"""What an exported ONNX file says of its layers: the record that the export writes and plots read.

It lies in the model's ``metadata_props`` as JSON. The weights it names are initializers of the
graph, so nothing is stored twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from micam_fast.core.errors import ModelError
from micam_fast.core.json_records import read_record
from micam_fast.core.layers import Layer, Tap
from micam_fast.core.texts import one_line

METADATA_KEY = "micam_fast.layers"
FORMAT = 1
# Names of nodes and PyTorch's modules: Keras' layers have none.
_NEVER_NOTED: dict[str, object] = {
    "onnx_name": None,
    "module": None,
    "module_class": None,
    "cluster_classes": [],
}


@dataclass(frozen=True)
class Weight:
    """An initializer, and the shape that a kernel or bias has in ONNX order.

    The initializer may have further axes of size 1.
    """

    value: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LayerNote:
    """A layer of the diagram, where its activation is, and what its map is weighted by.

    Attributes
    ----------
    layer, tap
        As a plain ONNX graph would have given them.
    kernels
        In ONNX order: one, or depthwise and pointwise of a separable convolution; empty for a layer
        whose map has no kernel.
    bias
        ``(C,)``, of a layer with `kernels`.
    """

    layer: Layer
    tap: Tap
    kernels: tuple[Weight, ...] = ()
    bias: Weight | None = None


def write_notes(notes: tuple[LayerNote, ...], made_by: Mapping[str, str]) -> str:
    """Notes, in the diagram's order, and the versions of the programs that made them, as JSON."""
    layers = [asdict(note) for note in notes]
    for each in layers:
        # Keras always knows it.
        del each["tap"]["axes"]["assumed_batch"]
        for name in _NEVER_NOTED:
            del each["layer"][name]
    content = {"format": FORMAT, "made_by": dict(made_by), "layers": layers}
    return json.dumps(content, separators=(",", ":"))


def read_notes(text: str, model: str) -> tuple[LayerNote, ...]:
    """Notes from JSON, the value of a model's metadata.

    Raises
    ------
    ModelError
        If the text is damaged, or of another format.
    """
    try:
        content = json.loads(text)
        version = content["format"]
        if version == FORMAT:
            for each in content["layers"]:
                each["tap"]["axes"]["assumed_batch"] = False
                each["layer"].update(_NEVER_NOTED)
            return tuple(read_record(LayerNote, each) for each in content["layers"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"model {model!r}: what the export wrote of its layers is damaged "
            f"({one_line(f'{type(error).__name__}: {error}', 200)}); export the model again"
        ) from None
    raise ModelError(
        f"model {model!r}: what the export wrote of its layers has format {version!r}, this "
        f"version of micam-fast reads {FORMAT}; export the model again"
    )

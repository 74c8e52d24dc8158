"""What an exported ONNX file says of its layers: the record that the export writes and plots read.

It lies in the model's ``metadata_props`` as JSON. The weights it names are initializers of the
graph, so nothing is stored twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from micam_fast.errors import ModelError
from micam_fast.layers import Layer, Tap

METADATA_KEY = "micam_fast.layers"
FORMAT = 1


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
    """Notes as JSON.

    Parameters
    ----------
    notes
        In the diagram's order, the model's inputs first.
    made_by
        Versions of the programs that made the file.
    """
    content = {"format": FORMAT, "made_by": dict(made_by), "layers": [asdict(n) for n in notes]}
    return json.dumps(content, separators=(",", ":"))


def read_notes(text: str, model: str) -> tuple[LayerNote, ...]:
    """Notes from JSON.

    Parameters
    ----------
    text
        The value of the metadata.
    model
        The model's name, for messages.

    Raises
    ------
    ModelError
        If the text is damaged, or of another format.
    """
    try:
        content = json.loads(text)
        version = content["format"]
        if version == FORMAT:
            return tuple(_read(LayerNote, each) for each in content["layers"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"model {model!r}: what the export wrote of its layers is damaged "
            f"({type(error).__name__}: {error}); export the model again"
        ) from None
    raise ModelError(
        f"model {model!r}: what the export wrote of its layers has format {version!r}, this "
        f"version of micam-fast reads {FORMAT}; export the model again"
    )


def _read(kind: Any, value: Any) -> Any:
    """A value of a type, from what JSON made of it.

    Raises
    ------
    TypeError
        If it is of another type, all the way down.
    """
    if is_dataclass(kind) and type(value) is dict:
        kinds = get_type_hints(kind)
        if value.keys() != kinds.keys():
            raise TypeError(f"the fields {', '.join(value)} where {', '.join(kinds)} are expected")
        return kind(**{name: _read(kinds[name], each) for name, each in value.items()})  # type: ignore[operator]
    origin, choices = get_origin(kind), get_args(kind)
    if origin is Literal and value in choices:
        return value
    if origin is UnionType:
        for choice in choices:
            with suppress(TypeError):
                return _read(choice, value)
    elif origin is tuple and type(value) is list:
        return tuple(_read(choices[0], each) for each in value)
    elif type(value) is kind:
        return value
    raise TypeError(f"{value!r} where {kind} is expected")

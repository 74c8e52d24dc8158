"""What an export did, and how near its file is to the model that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


def part_of(framework: str) -> str:
    """What a framework calls a part of a model that an export compares."""
    return "layer" if framework == "Keras" else "module"


@dataclass(frozen=True)
class LayerError:
    """How far ONNX Runtime is from Keras or PyTorch on one sample.

    Attributes
    ----------
    sample
        ``"random"`` or ``"given"``.
    layer
        The layer, or PyTorch's module, that differs most.
    relative
        Largest absolute difference of its activation by the largest absolute value, or by 1e-4
        where that is larger.
    """

    sample: str
    layer: str
    relative: float


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes
    ----------
    path
        The ONNX file.
    layers
        Number of layers in the diagram.
    size
        Of the file, bytes.
    differences
        One for each sample that it was checked with.
    seconds
        For conversion and checks; loading TensorFlow and the model is not in it.
    framework
        ``"Keras"`` or ``"PyTorch"``.
    compared
        How many layers, or modules of PyTorch's, were compared.
    remarks
        What a user should know of the export.
    """

    path: Path
    layers: int
    size: int
    differences: tuple[LayerError, ...]
    seconds: float
    framework: str
    compared: int
    remarks: tuple[str, ...] = ()

    @property
    def worst(self) -> LayerError:
        """The largest of the differences."""
        return max(self.differences, key=lambda each: each.relative)

    @property
    def summary(self) -> str:
        """What was exported and how near it is, in a line."""
        part = part_of(self.framework)
        return (
            f"exported {self.layers} layers in {self.seconds:.1f} s; largest relative difference "
            f"to {self.framework} {self.worst.relative:.1e} ({part} {self.worst.layer})"
        )

"""What a training is told, with the published defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

# What may differ between a training and its continuation.
_FREE = {"data", "log_dir", "num_epochs", "samples"}


@dataclass(frozen=True)
class TrainSettings:
    """Data, network and way of a training; names and defaults are the published ones (SPEC 6).

    Attributes
    ----------
    data
        A folder of record files, or one record file.
    log_dir
        Folder for the TensorBoard log, the checkpoint, the models and the diagrams.
    cnn_model
        One of `networks.list_networks`.
    classes
        Labels are 0 to ``classes - 1``; at least 2.
    window_size
        Channels of a sample.
    height, width
        Of a sample.
    batch_size
        Samples in a batch; the last incomplete one is dropped.
    num_epochs
        Epochs in all, those before a continuation included.
    learning_rate
        Of Adam.
    dropout
        Rate of the Dropout layers.
    batch_normalization
        Whether a BatchNormalization follows each convolution of a LeNet.
    seed
        Makes the training repeatable, to the bit on the same machine and versions.
    early_stopping
        Stop after so many epochs in a row without a lower validation loss, and go back to the best
        epoch's weights; by default never.
    samples
        Number of test samples to draw diagrams of.
    """

    data: Path
    log_dir: Path
    cnn_model: str = "resnet50"
    classes: int = 2
    window_size: int = 3
    height: int = 150
    width: int = 75
    batch_size: int = 64
    num_epochs: int = 20
    learning_rate: float = 1e-5
    dropout: float = 0.5
    batch_normalization: bool = False
    seed: int | None = None
    early_stopping: int | None = None
    samples: int = 40

    def __post_init__(self) -> None:
        """Check the values; a ValueError names the number that is outside its range."""
        for name, least in {
            "classes": 2, "window_size": 1, "height": 1, "width": 1, "batch_size": 1,
            "num_epochs": 1, "samples": 0,
        }.items():  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to {2**32 - 1}, not {self.seed}")
        if self.early_stopping is not None and self.early_stopping < 1:
            raise ValueError(f"early_stopping must be at least 1, not {self.early_stopping}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, not {self.dropout}")

    def to_dict(self) -> dict[str, Any]:
        """All of it, paths as text."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(each) if isinstance(each, Path) else each for name, each in given.items()}

    def fixed(self, files: Sequence[Path]) -> dict[str, Any]:
        """What a continuation must have in common with its beginning.

        Of the data, names and sizes of the files: they may have moved to another folder.
        """
        fixed = {name: value for name, value in self.to_dict().items() if name not in _FREE}
        fixed["cnn_model"] = self.cnn_model.lower()
        return {**fixed, "files": {path.name: path.stat().st_size for path in files}}

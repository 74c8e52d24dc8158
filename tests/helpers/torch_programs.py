"""Programs of ``torch.export``, and their files."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.torch_modules import torch


def traced(module: Any, *args: Any, open_batch: bool = True, **given: Any) -> Any:
    """A program of a module in eval mode."""
    shapes = tuple({0: torch.export.Dim("batch")} for _ in args) if open_batch else None
    return quietly(lambda: torch.export.export(module.eval(), args, dynamic_shapes=shapes, **given))


def quietly(make: Callable[[], Any]) -> Any:
    """What is made, without PyTorch's warnings of what it will change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def rewrite(path: Path, entry: str, content: bytes) -> None:
    """Replace the content of one file in an archive; its name is told by its end."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (each for each in kept if each.endswith(entry))
    with zipfile.ZipFile(path, "w") as archive:
        for each, own in kept.items():
            archive.writestr(each, content if each == name else own)

"""What a Keras file holds besides numbers: its age, Python code, and ways to other files."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

from micam_fast.core.errors import ExportError, MicamError
from micam_fast.core.extras import import_extra
from micam_fast.core.machine import machine_memory
from micam_fast.core.texts import one_line

_LARGEST_CONFIG = 2**26
"""Bytes of a model's description; that of a large network has one million."""

_MOST_EXPANSION = 1000
"""How many times larger unpacked weights may be than what is stored; zeros shrink the most."""

_ALWAYS_TAKEN = 2**24
_MOST_OBJECTS = 500_000
_WEIGHTS = "model.weights.h5"
_OF_KERAS_1 = {
    "AtrousConvolution1D",
    "AtrousConvolution2D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "Deconvolution2D",
    "Highway",
    "MaxoutDense",
    "Merge",
    "SeparableConvolution2D",
    "TimeDistributedDense",
}
"""Classes that Keras 2 writes under other names, or does not have."""


def check_content(path: Path, *, trust: bool) -> None:
    """Look at a ``.keras``, ``.h5`` or ``.hdf5`` file before Keras does.

    Raises
    ------
    ExportError
        If it is of Keras 1, holds Python code and is not trusted, names other files, or unpacks to
        more than a file of its size can hold.
    """
    try:
        config = _archive_config(path) if path.suffix == ".keras" else _hdf5_config(path)
        if config is not None and not trust:
            _check_code(path, config)
    except MicamError:
        raise
    except Exception as error:
        # Archives, HDF5 and JSON each have errors of many kinds.
        said = one_line(str(error), 300) or type(error).__name__
        raise ExportError(f"Keras cannot open {path.name}: {said}") from None


def _check_age(path: Path, config: Any, version: str) -> None:
    """Refuse a file of Keras 1, by the version that it names or by its layers' classes."""
    found = {version} if version.startswith("1.") else _class_names(config) & _OF_KERAS_1
    if found:
        raise ExportError(
            f"{path.name} is a file of Keras 1 ({', '.join(sorted(found))}), which no version "
            "after Keras 2 opens: load it with Keras 2.2 and save it again"
        )


def _class_names(config: Any) -> set[str]:
    found, waiting = set(), [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            name = value.get("class_name")
            if isinstance(name, str):
                found.add(name)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def _check_code(path: Path, config: Any) -> None:
    """Refuse functions that are stored as bytes of Python's own, in the description's order."""
    waiting = [("", config)]
    while waiting:
        layer, value = waiting.pop()
        if isinstance(value, dict):
            inner = value.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            layer = name if isinstance(name, str) else layer
            for key in ("class_name", "function_type", "output_shape_type", "mask_type"):
                if value.get(key) in ("__lambda__", "lambda"):
                    raise ExportError(
                        f"{path.name}: layer {one_line(layer or '?', 200)!r} is a Lambda layer, "
                        "which holds Python code; --trust (trust=True) runs it: only for a file "
                        "from whom you trust"
                    )
        if isinstance(value, (dict, list)):
            held = value.values() if isinstance(value, dict) else value
            waiting.extend((layer, each) for each in reversed(list(held)))


# --- Archives --------------------------------------------------------------------------------


def _archive_config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        total = sum(info.file_size for info in archive.infolist())
        size = path.stat().st_size
        if total > machine_memory() // 2 or _expands(total, size):
            raise ExportError(
                f"{path.name} would unpack to {total:,} bytes from {size:,}; it is no archive that "
                "Keras writes"
            )
        if len(set(names)) < len(names) or any(_leaves(name) for name in names):
            raise ExportError(
                f"{path.name} holds a file twice, or one that would lie outside its folder; it is "
                "no archive that Keras writes"
            )
        if "config.json" not in names:
            raise ExportError(f"Keras cannot open {path.name}: there is no config.json in it")
        if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
            raise ExportError(f"{path.name}: its config.json is larger than {_LARGEST_CONFIG:,}")
        config = json.loads(archive.read("config.json"))
        if _WEIGHTS in names:
            with archive.open(_WEIGHTS) as packed, tempfile.TemporaryFile() as weights:
                shutil.copyfileobj(packed, weights, 2**20)
                _check_hdf5(path, weights)
        return config


def _leaves(name: str) -> bool:
    """Tell whether an entry's name leads out of the folder that it is unpacked in."""
    return name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/")


def _expands(size: int, stored: int) -> bool:
    return size > max(_ALWAYS_TAKEN, _MOST_EXPANSION * stored)


# --- HDF5 --------------------------------------------------------------------------------------


def _hdf5_config(path: Path) -> Any:
    with path.open("rb") as file:
        text, version = _check_hdf5(path, file)
    config = None if text is None else json.loads(text)
    _check_age(path, config, version)
    return config


def _check_hdf5(path: Path, file: IO[bytes]) -> tuple[str | bytes | None, str]:
    """Look at all that an HDF5 file holds.

    Returns the model's description, where there is one, and the version of Keras that is named.
    """
    h5py = import_extra("h5py", extra="tensorflow", purpose="reading a Keras file")
    with h5py.File(file, "r") as root:
        seen = set()
        waiting = [root]
        total = count = 0
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                if count > _MOST_OBJECTS:
                    raise ExportError(f"{path.name} holds more than {_MOST_OBJECTS:,} objects")
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    raise _elsewhere(path, name)
                each = group[name]
                address = h5py.h5o.get_info(each.id).addr
                if address in seen:
                    continue
                seen.add(address)
                if isinstance(each, h5py.Group):
                    waiting.append(each)
                elif isinstance(each, h5py.Dataset):
                    if each.external or each.is_virtual:
                        raise _elsewhere(path, name)
                    total += each.nbytes
                    stored = each.id.get_storage_size()
                    if _expands(each.nbytes, stored) or total > machine_memory() // 2:
                        raise ExportError(
                            f"{path.name}: the weights {one_line(name, 200)!r} of shape "
                            f"{each.shape} would take {each.nbytes:,} bytes, and {stored:,} are in "
                            "the file; it is damaged"
                        )
        text: str | bytes | None = root.attrs.get("model_config")
        version = root.attrs.get("keras_version", "")
        return text, version.decode() if isinstance(version, bytes) else str(version)


def _elsewhere(path: Path, name: str) -> ExportError:
    return ExportError(
        f"{path.name}: {one_line(name, 200)!r} lies in another file; save the model as one file, "
        "model.save('model.keras')"
    )

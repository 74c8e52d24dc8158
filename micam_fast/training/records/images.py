"""A folder of pictures for each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError, SampleError, os_errors_as
from micam_fast.training.records.records import LabelledSample


@dataclass(frozen=True)
class Pictures:
    """Picture files with their classes, in the order of the records."""

    folder: Path
    classes: tuple[str, ...]
    files: tuple[tuple[Path, int], ...]


def find_pictures(folder: Path, *, say: Callable[[str], None]) -> Pictures:
    """Pictures of a folder that has a folder for each class; class ``i`` is the i-th by name.

    A single record file is split by its batches, in order. So the pictures are shuffled here, with
    a fixed seed: sorted by class, the test part would hold the last classes alone.

    `say` is told about classes without pictures and about files that are left out.

    Raises
    ------
    DataError
        If there is no such folder, or not one picture in a class folder.
    """
    from PIL import Image

    known = Image.registered_extensions()
    suffixes = {suffix for suffix, name in known.items() if name in Image.OPEN}
    with os_errors_as(DataError, f"cannot read folder {folder}"):
        entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        classes = [path for path in entries if path.is_dir()]
        inside = [sorted(path.iterdir()) for path in classes]
    found = []
    others = len(entries) - len(classes)
    for label, paths in enumerate(inside):
        visible = [path for path in paths if not path.name.startswith(".")]
        pictures = [path for path in visible if path.suffix.lower() in suffixes]
        others += len(visible) - len(pictures)
        found += [(path, label) for path in pictures]
        if not pictures:
            say(f"class folder {classes[label]} holds no picture: class {label} has no record")
    if not found:
        raise DataError(f"no picture in folder {folder}: expected are {folder}/CLASS/PICTURE.png")
    if others:
        say(
            f"entries of folder {folder} left out, as their suffix is no picture's or they are "
            f"in no class folder: {others}"
        )
    order = np.random.default_rng(0).permutation(len(found))
    names = tuple(path.name for path in classes)
    return Pictures(folder, names, tuple(found[index] for index in order))


def picture_samples(
    pictures: Pictures,
    *,
    read: Callable[[Path], NDArray[np.float32]],
    skipped: Callable[[str], None],
) -> Iterator[LabelledSample]:
    """Each picture that can be read, and its class.

    `read` gives a picture as ``(height, width, channels)`` float32 with values 0 to 255, or a
    SampleError: `micam_fast.samples.read_picture`, so that a model is trained on the same pixels
    that ``micam-fast plot`` makes of a picture. `skipped` is told which picture is broken, and how.

    Raises
    ------
    DataError
        At the end, if not one could be read.
    """
    count = 0
    for path, label in pictures.files:
        try:
            sample = read(path)
        except SampleError as error:
            skipped(str(error))
            continue
        count += 1
        yield sample, label
    if not count:
        raise DataError(
            f"not one of the {len(pictures.files)} pictures in folder {pictures.folder} can be read"
        )

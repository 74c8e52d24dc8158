"""Picture files to arrays."""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from micam_fast.core.errors import SampleError
from micam_fast.core.input_files import open_input
from micam_fast.core.machine import quarter_of_memory
from micam_fast.samples.bounds import BoundedFile, check_memory

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that are read, whatever a file is called; Pillow would run Ghostscript for others."""
_LARGEST, _LONGEST_SIDE = 89_478_485, 2**16
"""Pixels, and pixels of a side."""
_READS = 10_000
"""Pieces in which Pillow reads what stands before the pixels."""
_LARGEST_PLAIN = 2**23
"""Bytes of a PPM whose numbers are words, which Pillow decodes in Python."""
_MOST_SCANS = 100
"""Passes in which a JPEG refines itself, about ten as a rule; each takes the time of a decoding."""
_PIXEL_BYTES, _VALUE_BYTES = 12, 24
"""What a pixel takes until it is resized, and a value of the result until it is float32."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is turned, by its EXIF orientation."""


@dataclass(frozen=True)
class PixelRules:
    """How a pixel 0..255 becomes an input value: ``(pixel * scale - mean) / std``, per channel."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"

    def check(self, channels: int) -> None:
        """Make sure that there is one number, or one for each channel.

        Raises
        ------
        SampleError
            If there are others.
        """
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise SampleError(f"--{name} has {len(values)} values for {channels} channels")


def read_picture(
    path: Path,
    channels: int,
    height: int | None,
    width: int | None,
    rules: PixelRules,
    memory: int | None = None,
) -> NDArray[np.float32]:
    """A picture as ``(height, width, channels)`` float32, resized bilinearly where sizes are given.

    Raises
    ------
    SampleError
        If the file is no picture of a known format, is truncated or absurdly large, would take
        more than `memory` bytes (by default a quarter of the machine's), or the model takes
        another number of channels than 1, 3 or 4.
    """
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    memory = memory or quarter_of_memory()
    _silence()
    if channels not in modes:
        raise SampleError(f"a picture has 1, 3 or 4 channels, the model's input {channels}")
    try:
        with warnings.catch_warnings(), open_input(path) as file:
            warnings.simplefilter("ignore")
            bounded: Any = BoundedFile(file, path, "picture data", memory, _READS)
            with Image.open(bounded, formats=_FORMATS) as image:
                _check_size(path, image.size, _PIXEL_BYTES, memory)
                if image.format in ("JPEG", "MPO"):
                    _check_scans(path, file)
                plain = any(tile[0] == "ppm_plain" for tile in image.tile)
                most = min(memory, _LARGEST_PLAIN) if plain else memory
                bounded.allow(most, _READS + image.width * image.height // 20)
                upright = _upright(image, modes[channels])
                size = _new_size(upright.size, height, width)
                _check_size(path, size, channels * _VALUE_BYTES, memory)
                if upright.size != size:
                    upright = upright.resize(size, Image.Resampling.BILINEAR)
                pixels = np.asarray(upright)
    except UnidentifiedImageError:
        raise SampleError(
            f"{path} is no picture that can be read; expected is one of {', '.join(_FORMATS)}"
        ) from None
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise SampleError(f"{path} is too large a picture: {error}") from None
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise SampleError(f"{path} is a broken picture: {error}") from None
    pixels = pixels.astype(np.float32)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], channels, axis=-1)
    if rules.channel_order == "bgr" and channels >= 3:
        pixels = pixels[..., [2, 1, 0, *range(3, channels)]]
    rules.check(channels)
    # Float pictures may hold infinite values, and NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (pixels * rules.scale - np.array(rules.mean)) / np.array(rules.std)
        return np.asarray(scaled, np.float32)


@functools.cache
def _silence() -> None:
    """Keep libraries from printing what they find in broken files; what matters is raised."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    from PIL import _imaging

    # libtiff's handler of errors has no other way in. Where it is not found, it prints them.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _upright(image: Image.Image, mode: str) -> Image.Image:
    """The picture upright, in a mode of the model's channels; deep ones as floats 0 to 255."""
    orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith("I;16"):
        # To NumPy and back: Pillow converts these modes by cutting them off at 255.
        return Image.fromarray(np.asarray(image, np.float32) / 257)
    if image.mode in ("I", "F"):
        return image.convert("F")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _new_size(size: tuple[int, int], height: int | None, width: int | None) -> tuple[int, int]:
    """Width and height; a side that the model leaves open keeps the picture's proportions."""
    if height is None and width is None:
        return size
    if height is None:
        assert width is not None
        height = max(1, round(size[1] * width / size[0]))
    if width is None:
        width = max(1, round(size[0] * height / size[1]))
    return width, height


def _check_size(path: Path, size: tuple[int, int], pixel_bytes: int, memory: int) -> None:
    """Make sure that a picture of this size, width and height, can be held."""
    if math.prod(size) > _LARGEST or max(size) > _LONGEST_SIDE:
        raise SampleError(
            f"{path} is too large a picture: {size[0]} x {size[1]} pixels, the most are {_LARGEST} "
            f"in all and {_LONGEST_SIDE} on a side"
        )
    check_memory(path, "the picture", math.prod(size) * pixel_bytes, memory)


def _check_scans(path: Path, file: BinaryIO) -> None:
    """Make sure that a JPEG is complete after a bounded number of passes."""
    place, scans, last = file.tell(), 0, b""
    file.seek(0)
    while piece := file.read(2**20):
        scans += (last + piece).count(b"\xff\xda")
        last = piece[-1:]
    file.seek(place)
    if scans > _MOST_SCANS:
        raise SampleError(f"{path} is a broken picture: {scans} scans of a JPEG")

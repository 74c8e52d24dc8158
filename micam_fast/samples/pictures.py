"""Picture files to arrays."""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from micam_fast.core.errors import SampleError
from micam_fast.core.input_files import open_input
from micam_fast.core.machine import quarter_of_memory
from micam_fast.core.texts import count_of
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
_MOST_PAGES = 10_000
_PAGED = ("TIFF", "GIF", "WEBP", "PNG")
"""Formats whose pages or frames are samples; further pictures of a JPEG are previews."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _CHANNELS = 254, 255, 258, 262, 277
"""Tags of a TIFF."""
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

    def undo(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Pixels 0..255 in red, green and blue of input values ``(h, w, channels)``.

        They are not finite where the rules have lost them, as by a scale of 0.
        """
        with np.errstate(all="ignore"):
            pixels = (values * np.array(self.std) + np.array(self.mean)) / self.scale
        return np.asarray(self.reordered(pixels), np.float64)

    def reordered(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The channels in the model's order, or back."""
        channels = pixels.shape[-1]
        if self.channel_order == "bgr" and channels >= 3:
            return pixels[..., [2, 1, 0, *range(3, channels)]]
        return pixels

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
    """The first picture of a file; parameters, result and errors are those of `read_pictures`."""
    return next(read_pictures(path, channels, height, width, rules, memory))


def read_pictures(
    path: Path,
    channels: int,
    height: int | None,
    width: int | None,
    rules: PixelRules,
    memory: int | None = None,
    *,
    start: int = 0,
    say: Callable[[str], None] = lambda note: None,
) -> Iterator[NDArray[np.float32]]:
    """Pictures as ``(height, width, channels)`` float32, resized bilinearly where sizes are given.

    Pages of a TIFF and frames of an animation are pictures, one by one, but for a page that is
    another one at a lower resolution.

    Parameters
    ----------
    start
        Number of the first one, from 0.
    say
        Takes a line that says how deep pictures are scaled, or which channels are left out.

    Raises
    ------
    SampleError
        If the file is no picture of a known format, is truncated or absurdly large, would take
        more than `memory` bytes (by default a quarter of the machine's), has no picture of that
        number, or the model takes another number of channels than 1, 3 or 4.
    """
    memory = memory or quarter_of_memory()
    _silence()
    if channels not in _MODES:
        raise SampleError(f"a picture has 1, 3 or 4 channels, the model's input {channels}")
    rules.check(channels)
    with _picture_errors(path), open_input(path) as file:
        bounded: Any = BoundedFile(file, path, "picture data", memory, _READS)
        with _quiet():
            image = Image.open(bounded, formats=_FORMATS)
        with image:
            number = page = 0
            while True:
                with _quiet():
                    _check_size(path, image.size, _PIXEL_BYTES, memory)
                    if image.format in ("JPEG", "MPO"):
                        _check_scans(path, file)
                    plain = any(tile[0] == "ppm_plain" for tile in image.tile)
                    most = min(memory, _LARGEST_PLAIN) if plain else memory
                    bounded.allow(most, _READS + image.width * image.height // 20)
                    if page and _is_overview(image):
                        say("pages of a TIFF that are others at a lower resolution are left out")
                        number -= 1
                    elif number >= start:
                        upright = _upright(image, channels, say)
                        size = _new_size(upright.size, height, width)
                        _check_size(path, size, channels * _VALUE_BYTES, memory)
                        if upright.size != size:
                            upright = upright.resize(size, Image.Resampling.BILINEAR)
                        yield _scaled(np.asarray(upright), channels, rules)
                    page, number = page + 1, number + 1
                    bounded.allow(memory, _READS)
                    if not _has_page(image, page):
                        break
                if page == _MOST_PAGES:
                    raise SampleError(f"{path} has more than {_MOST_PAGES} pages or frames")
    if number <= start:
        raise SampleError(f"{path} holds {count_of(number, 'sample')}; there is no number {start}")


def _has_page(image: Image.Image, page: int) -> bool:
    """Go to a page or frame of a file, if it has as many."""
    if image.format not in _PAGED:
        return False
    try:
        image.seek(page)
    except EOFError:
        return False
    return True


def _is_overview(image: Image.Image) -> bool:
    """Tell whether a page of a TIFF says that it is another one at a lower resolution."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_SUBFILE_TYPE, 0) & 1 or tags.get(_OLD_SUBFILE_TYPE, 0) == 2)


def _scaled(pixels: NDArray[Any], channels: int, rules: PixelRules) -> NDArray[np.float32]:
    """Pixels of a picture in the model's range and order of channels."""
    pixels = pixels.astype(np.float32)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], channels, axis=-1)
    pixels = rules.reordered(pixels)
    # Float pictures may hold infinite values, and NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (pixels * rules.scale - np.array(rules.mean)) / np.array(rules.std)
        return np.asarray(scaled, np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _picture_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        of_tiff = path.suffix.lower() in (".tif", ".tiff")
        raise SampleError(
            f"{path} is no picture that can be read; expected is one of {', '.join(_FORMATS)}"
            + (" (some TIFF files have channels or depths that need an array file)" * of_tiff)
        ) from None
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise SampleError(f"{path} is too large a picture: {error}") from None
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise SampleError(f"{path} is a broken picture: {error}") from None


@functools.cache
def _silence() -> None:
    """Keep libraries from printing what they find in broken files; what matters is raised."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    from PIL import _imaging

    # libtiff's handler of errors has no other way in. Where it is not found, it prints them.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _upright(image: Image.Image, channels: int, say: Callable[[str], None]) -> Image.Image:
    """The picture upright, in a mode of the model's channels; deep ones as floats 0 to 255."""
    mode = _MODES[channels]
    stored_tags: Any = getattr(image, "tag_v2", {})
    stored = stored_tags.get(_CHANNELS, 1)
    if stored not in (1, 3) and (stored != channels or len(image.getbands()) < stored):
        say(
            f"TIFF files of {stored} channels are read as {mode}; an array file can hold all "
            f"{stored} channels"
        )
    tiles: Any = getattr(image, "tile", ())
    if any(";16" in str(tile[3]) for tile in tiles) and len(image.getbands()) > 1:
        say("pictures in colour of 16 bits are read by their upper 8 bits")
    orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        bits = _depth(image)
        is_negative = stored_tags.get(_PHOTOMETRIC) == 0
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        if bits is None:
            say("pictures of 32 bits are taken as they are, not scaled to 255")
            return image.convert("F")
        largest = 2**bits - 1
        say(
            f"pictures of {bits} bits are divided by {largest / 255:.5g}, so that {largest} "
            "becomes 255"
            + ("; 12 bits in 16 become 0 to 16 (--scale 16 makes up for it)" * (bits == 16))
        )
        # To NumPy and back: Pillow converts these modes by cutting them off at 255.
        pixels = np.asarray(image, np.float32)
        # Pillow itself turns those of 8 bits whose 0 is white.
        pixels = largest - pixels if is_negative else pixels
        return Image.fromarray(pixels / (largest / 255))
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _depth(image: Image.Image) -> int | None:
    """Bits of a grey picture of more than 8, as its file says, up to 16; ``None`` for others."""
    if image.mode == "F":
        return None
    if image.format == "TIFF":
        (bits,) = getattr(image, "tag_v2", {}).get(_BITS, (16,))
        return int(bits) if bits <= 16 else None
    # PNG has 8 or 16, and Pillow brings the largest value that a PGM names to 65535.
    return 16


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

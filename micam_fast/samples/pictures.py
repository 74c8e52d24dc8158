"""Picture files to arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from micam_fast.errors import SampleError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


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
    path: Path, channels: int, height: int | None, width: int | None, rules: PixelRules
) -> NDArray[np.float32]:
    """A picture as ``(height, width, channels)`` float32, resized bilinearly where sizes are given.

    Raises
    ------
    SampleError
        If the file is no picture that Pillow can read, is truncated or absurdly large, or the
        model takes another number of channels than 1, 3 or 4.
    """
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise SampleError(f"a picture has 1, 3 or 4 channels, the model's input {channels}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                pixels = np.asarray(_resized(_plain(image, modes[channels]), height, width))
    except UnidentifiedImageError:
        raise SampleError(f"{path} is no picture that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
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
    scaled = (pixels * rules.scale - np.array(rules.mean)) / np.array(rules.std)
    return np.asarray(scaled, np.float32)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """The picture upright, in a mode of the model's channels; deep ones as floats 0 to 255."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # To NumPy and back: Pillow converts these modes by cutting them off at 255.
        return Image.fromarray(np.asarray(image, np.float32) / 257)
    if image.mode in ("I", "F"):
        return image.convert("F")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _resized(image: Image.Image, height: int | None, width: int | None) -> Image.Image:
    """Bilinear; a side that the model leaves open keeps the picture's proportions."""
    if height is None and width is None:
        return image
    if height is None:
        assert width is not None
        height = max(1, round(image.height * width / image.width))
    if width is None:
        width = max(1, round(image.width * height / image.height))
    size = width, height
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)

"""Deep pictures, pages and frames, channels that are left out."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import Sample, read_samples
from tests.helpers.models import Array

GREY = ModelInput("x", (None, 1, 4, 5), Axes(0, 1), "float32")
RGB = ModelInput("x", (None, 3, 4, 5), Axes(0, 1), "float32")
RGBA = ModelInput("x", (None, 4, 4, 5), Axes(0, 1), "float32")
VALUES = np.arange(20).reshape(4, 5) * 215
"""Of 12 bits."""


def read(path: str | Path, spec: ModelInput = GREY, said: list[str] | None = None) -> list[Sample]:
    say = (said if said is not None else []).append
    return list(read_samples([str(path)], [spec], say=say))


def arrays(path: str | Path, spec: ModelInput = GREY, said: list[str] | None = None) -> list[Array]:
    return [sample.arrays["x"] for sample in read(path, spec, said)]


def tiff_tags(**values: Any) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in values.items():
        tags[{"photometric": 262, "sample_format": 339, "subfile_type": 254}[name]] = value
    return tags


class TestDepths:
    """Whatever the format, 16 bits are one scale, and a note says which."""

    NOTE = "input 'x': pictures of 16 bits are divided by 257, so that 65535 becomes 255; 12 bits"

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "signed.tif", "compressed.tif", "a.pgm"])
    def test_sixteen_bits(self, name: str, tmp_path: Path) -> None:
        stored = VALUES.astype(np.uint16)
        path, image = tmp_path / name, Image.fromarray(stored)
        if name == "signed.tif":
            image.save(path, tiffinfo=tiff_tags(sample_format=2))
        elif name == "compressed.tif":
            image.save(path, compression="tiff_lzw")
        elif name == "a.pgm":
            path.write_bytes(b"P5 5 4 65535\n" + stored.astype(">u2").tobytes())
        else:
            image.save(path)
        said: list[str] = []
        (found,) = arrays(path, said=said)
        np.testing.assert_allclose(found[0], VALUES / 257, rtol=1e-6)
        (line,) = said
        assert line.startswith(self.NOTE)

    def test_where_0_is_white_pictures_of_each_depth_are_turned(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        Image.fromarray(VALUES.astype(np.uint16)).save(path, tiffinfo=tiff_tags(photometric=0))
        (found,) = arrays(path)
        np.testing.assert_allclose(found[0], 255 - VALUES / 257, rtol=1e-6)

    def test_bits_that_a_file_states_are_its_scale(self, tmp_path: Path) -> None:
        """A PGM names its largest value, a TIFF may pack 12 bits."""
        path = tmp_path / "a.pgm"
        path.write_bytes(b"P5 5 4 4095\n" + VALUES.astype(">u2").tobytes())
        (found,) = arrays(path)
        np.testing.assert_allclose(found[0], VALUES / 4095 * 255, atol=2e-3)
        pairs = np.full((4, 6), 4095, np.uint16)
        pairs[:, :5] = VALUES
        bits = ((pairs[..., np.newaxis] >> np.arange(11, -1, -1)) & 1).astype(np.uint8)
        rows = np.packbits(bits[:, :5].reshape(4, -1), axis=1)
        entries = [(256, 5), (257, 4), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1),
                   (278, 4), (279, rows.size)]  # fmt: skip
        head = b"II*\0" + np.uint32(8).tobytes() + np.uint16(len(entries)).tobytes()
        for tag, value in entries:
            head += np.array([tag, 4], np.uint16).tobytes() + np.array([1, value], "<u4").tobytes()
        path = tmp_path / "a.tif"
        path.write_bytes(head.ljust(122, b"\0") + rows.tobytes())
        said: list[str] = []
        (found,) = arrays(path, said=said)
        np.testing.assert_allclose(found[0], VALUES / 4095 * 255, rtol=1e-5)
        assert said == [
            "input 'x': pictures of 12 bits are divided by 16.059, so that 4095 becomes 255"
        ]

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_deeper_ones_are_taken_as_they_are(self, dtype: Any, tmp_path: Path) -> None:
        Image.fromarray(VALUES.astype(dtype)).save(tmp_path / "a.tif")
        said: list[str] = []
        (found,) = arrays(tmp_path / "a.tif", said=said)
        np.testing.assert_array_equal(found[0], VALUES)
        assert said == ["input 'x': pictures of 32 bits are taken as they are, not scaled to 255"]

    def test_shallow_ones_need_no_note(self, tmp_path: Path) -> None:
        Image.fromarray((VALUES // 17).astype(np.uint8)).save(tmp_path / "a.tif")
        said: list[str] = []
        arrays(tmp_path / "a.tif", said=said)
        assert said == []

    @pytest.mark.parametrize("suffix", ["npy", "npz"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
    def test_arrays_of_another_depth(self, dtype: Any, suffix: str, tmp_path: Path) -> None:
        path, array = tmp_path / f"a.{suffix}", VALUES[np.newaxis].astype(dtype)
        if suffix == "npy":
            np.save(path, array)
        else:
            np.savez(path, x=array)
        said: list[str] = []
        (found,) = arrays(path, said=said)
        np.testing.assert_array_equal(found, array)
        deep = np.dtype(dtype).itemsize == 2
        note = f"arrays of {np.dtype(dtype)} are taken as they are; only pictures are scaled"
        assert (f"input 'x': {note}" in said) == deep


class TestPages:
    """Pages of a TIFF and frames of an animation are samples."""

    @pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
    def test_each_is_a_sample(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"a.{suffix}"
        frames = [Image.new("L", (5, 4), value) for value in (10, 100, 200)]
        how: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **how)
        samples = read(path)
        assert [sample.name for sample in samples] == [f"a.{suffix}[{i}]" for i in range(3)]
        for sample, value in zip(samples, (10, 100, 200), strict=True):
            np.testing.assert_array_equal(sample.arrays["x"], np.full((1, 4, 5), value))
        (last,) = arrays(f"{path}:2")
        np.testing.assert_array_equal(last, np.full((1, 4, 5), 200))
        (none,) = read(f"{path}:3")
        assert "holds 3 samples; there is no number 3" in str(none.error)

    def test_pages_of_several_sizes_and_depths(self, tmp_path: Path) -> None:
        path, open_spec = (
            tmp_path / "a.tif",
            ModelInput("x", (None, 1, None, None), Axes(0, 1), "float32"),
        )
        deep = Image.fromarray(VALUES.astype(np.uint16))
        Image.new("L", (7, 3), 9).save(path, save_all=True, append_images=[deep])
        found = arrays(path, open_spec)
        assert [array.shape for array in found] == [(1, 3, 7), (1, 4, 5)]
        np.testing.assert_allclose(found[1][0], VALUES / 257, rtol=1e-6)

    def test_overviews_are_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
            for value, kind in ((10, 0), (20, 1), (30, 0)):
                Image.new("L", (5, 4), value).save(
                    file, format="TIFF", tiffinfo=tiff_tags(subfile_type=kind)
                )
                file.newFrame()
        said: list[str] = []
        assert [array.max() for array in arrays(path, said=said)] == [10, 30]
        assert said == [
            "input 'x': pages of a TIFF that are others at a lower resolution are left out"
        ]
        assert [array.max() for array in arrays(f"{path}:1")] == [30]

    def test_a_broken_page_leaves_those_before(self, tmp_path: Path) -> None:
        path = tmp_path / "a.gif"
        noise = np.random.default_rng(0).integers(0, 255, (3, 4, 5)).astype(np.uint8)
        frames = [Image.fromarray(each) for each in noise]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        path.write_bytes(path.read_bytes()[:-20])
        samples = read(path)
        assert [sample.error is None for sample in samples] == [True, True, False]

    def test_too_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("micam_fast.samples.pictures._MOST_PAGES", 2)
        frames = [Image.new("L", (5, 4), value) for value in (10, 100, 200)]
        frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
        *_, last = read(tmp_path / "a.tif")
        assert "a.tif has more than 2 pages or frames" in str(last.error)


class TestChannels:
    """A note says which channels of a TIFF are left out."""

    @pytest.mark.parametrize(
        ("mode", "spec", "told"),
        [("RGBA", RGB, True), ("RGBA", RGBA, False), ("CMYK", RGB, True), ("RGBX", RGBA, True),
         ("RGB", GREY, False), ("LA", GREY, True), ("L", RGB, False)],
    )  # fmt: skip
    def test_several(self, mode: str, spec: ModelInput, told: bool, tmp_path: Path) -> None:
        Image.new(mode, (5, 4)).save(tmp_path / "a.tif")
        said: list[str] = []
        arrays(tmp_path / "a.tif", spec, said)
        (channels,) = {"RGB": {3}, "L": {1}, "LA": {2}}.get(mode, {4})
        taken = {1: "L", 3: "RGB", 4: "RGBA"}[spec.shape[1] or 0]
        note = (
            f"input 'x': TIFF files of {channels} channels are read as {taken}; an array file can "
            f"hold all {channels} channels"
        )
        assert said == ([note] if told else [])

    def test_colour_of_sixteen_bits(self, tmp_path: Path) -> None:
        """Pillow has no mode for it."""
        rows = np.full((4, 1 + 5 * 6), 100, np.uint8)
        rows[:, 0] = 0
        content = b"\x89PNG\r\n\x1a\n"
        for kind, data in (
            (b"IHDR", np.array([5, 4], ">u4").tobytes() + b"\x10\2\0\0\0"),
            (b"IDAT", zlib.compress(rows.tobytes())),
            (b"IEND", b""),
        ):
            sizes = np.array([len(data), zlib.crc32(kind + data)], ">u4")
            content += sizes[:1].tobytes() + kind + data + sizes[1:].tobytes()
        (tmp_path / "a.png").write_bytes(content)
        said: list[str] = []
        (found,) = arrays(tmp_path / "a.png", RGB, said)
        np.testing.assert_array_equal(found, np.full((3, 4, 5), 100))
        assert said == ["input 'x': pictures in colour of 16 bits are read by their upper 8 bits"]

    def test_what_pillow_does_not_read(self, tmp_path: Path) -> None:
        Image.new("L", (5, 4)).save(tmp_path / "a.tif")
        content = (tmp_path / "a.tif").read_bytes()
        depth = np.array([258, 3], "<u2").tobytes() + np.array([1], "<u4").tobytes()
        at = content.index(depth) + len(depth)
        (tmp_path / "a.tif").write_bytes(content[:at] + b"\x1f" + content[at + 1 :])
        (sample,) = read(tmp_path / "a.tif")
        assert "some TIFF files have channels or depths that need an array file" in str(
            sample.error
        )

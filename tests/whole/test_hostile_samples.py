"""Samples from anyone: each file ends in one clear error, soon and in bounded memory."""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from micam_fast.core.errors import AxisError
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import Sample, load_array, read_samples, reading as reading_module
from micam_fast.samples.axis_names import read_names
from micam_fast.samples.record_files import _checksum
from tests.helpers.samples import FLAT, GRAY, OPEN, OPEN_GRAY, RGB

ANY = ModelInput("v", (None, None), Axes(0, 1), "float32")
OPEN_HEIGHT = ModelInput("x", (None, 3, None, 224), Axes(0, 1), "float32")

_SECONDS, _BYTES = 5, 2**29


def read(path: Path | str, spec: ModelInput = FLAT, **given: Any) -> list[Sample]:
    """The samples of a file, of which nothing must be printed; in time, and in bounded memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(read_samples([str(path)], [spec], **given))
    assert time.process_time() - began < _SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < _BYTES
    return found


def error_of(path: Path | str, spec: ModelInput = FLAT, **given: Any) -> str:
    """What is wrong with a file, which is one sample."""
    (sample,) = read(path, spec, **given)
    assert sample.error is not None
    assert len(str(sample.error)) < 1000
    return str(sample.error)


def npy(header: str, body: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    """An ``.npy`` file with any header."""
    size = len(header) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes((version, 0))
        + size.to_bytes(2 if version == 1 else 4, "little")
        + header.encode()
        + body
    )


def header(descr: str, shape: str, *, fortran: bool = False) -> str:
    """What stands before an array."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


class TestArrayHeaders:
    """What an ``.npy`` file says of itself is looked at before anything is set aside for it."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (npy(header("'<f4'", f"({10**12}, 5)")), "promises"),
            (npy(header("'<f4'", f"({2**63}, {2**63}, 5)")), "promises"),
            (npy(header("'<f4'", "(2, 5)"), bytes(39)), "promises 40 bytes of numbers, and holds"),
            (npy(header("'<f4'", "(-1, 5)"), bytes(99)), r"its shape is (-1, 5)"),
            (npy(header("'<f4'", "(True, 5)"), bytes(99)), r"its shape is (True, 5)"),
            (npy(header("'V1000000000000'", "(2, 5)")), "no readable array file"),
            (npy(header("'V1000'", "(2, 5)")), "numbers are expected"),
            (npy(header("'U0'", f"({10**15}, 5)")), "numbers are expected"),
            (npy(header("'|O'", "(2, 5)"), b"cos\nsystem\n."), "Python objects, which are never"),
            (npy(header("[('a', '<f4'), ('b', '|O')]", "(2, 5)")), "Python objects"),
            (npy(header("[('a', '<f4')]", "(2, 5)"), bytes(40)), "numbers are expected"),
            (npy(header("'<M8[s]'", "(2, 5)"), bytes(80)), "datetime64[s] is no sample"),
            (npy(header("'<c8'", "(2, 5)"), bytes(80)), "complex64 is no sample"),
            (npy(header("'<f4'", f"({'1,' * 60}5)"), bytes(20)), "does not fit"),
            (npy(header("'<f4'", f"({'1,' * 4000}5)"), bytes(20)), "no readable array file"),
            (npy(header("'<f4'", f"({'9' * 9000}, 5)")), "no readable array file"),
            (npy("(" * 9900), "no readable array file"),
            (npy("-" * 9900 + "1"), "no readable array file"),
            (npy("a" + ".a" * 4900), "no readable array file"),
            (npy("1" + "+1" * 4900), "no readable array file"),
            (npy(" " * 20_000), "a header of 20000 bytes, expected are 10000 at most"),
            (npy("", version=2, length=2**32 - 1), "a header of 4294967295 bytes"),
            (npy(header("'<f4'", "(2, 5)"), bytes(40), version=9), "not in NumPy's format"),
            (b"\x93NUMPY", "not in NumPy's format"),
        ],
    )  # fmt: skip
    def test_hostile_headers(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(content)
        assert said in error_of(path)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("v.npy", content)
        assert said in error_of(tmp_path / "a.npz")

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_every_version_of_the_format(self, tmp_path: Path, version: int) -> None:
        numbers = np.arange(10, dtype=">i2")
        path = tmp_path / "a.npy"
        path.write_bytes(npy(header("'>i2'", "(2, 5)"), numbers.tobytes(), version=version))
        np.testing.assert_array_equal(
            [sample.arrays["v"] for sample in read(path)], numbers.reshape(2, 5)
        )

    def test_a_header_of_python_2_is_read_without_a_warning(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(npy(header("'<f4'", "(2L, 5L)"), bytes(40)))
        assert [sample.error for sample in read(path)] == [None, None]
        assert load_array(path).__len__() == 2

    @pytest.mark.parametrize(
        ("shape", "spec"),
        [(f"({10**15}, 0)", ANY), ("(0, 5)", OPEN_GRAY), ("(3, 0, 5)", OPEN_GRAY)],
    )
    def test_samples_without_values(self, tmp_path: Path, shape: str, spec: ModelInput) -> None:
        path = tmp_path / "a.npy"
        path.write_bytes(npy(header("'<f4'", shape)))
        assert f"holds no values: its shape is {shape}" in error_of(path, spec)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.write(path, "x.npy")
        assert "holds no values" in error_of(tmp_path / "a.npz", spec)

    def test_values_that_the_model_cannot_take(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.array([[1e300] * 5, [np.inf] * 5, [np.nan] * 5, [1] * 5]))
        first, *others = read(path)
        assert "takes float32; the sample has values beyond its largest" in str(first.error)
        assert [sample.error for sample in others] == [None] * 3

    def test_a_file_that_is_cut_off_meanwhile(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.ones((5000, 5), np.float32))
        samples = read_samples([str(path)], [FLAT])
        assert next(samples).error is None
        os.truncate(path, 50_000)
        *good, last = samples
        assert all(sample.error is None for sample in good)
        assert len(good) > 2000
        assert "are missing" in str(last.error)
        assert (last.path, last.number) == (str(path), None)


@contextmanager
def peak_below(most: int) -> Iterator[None]:
    """Python and NumPy take no more memory than that."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


class TestStreaming:
    """Memory depends on one sample, not on the file."""

    @staticmethod
    def sparse(path: Path, dtype: str, shape: tuple[int, ...], *, fortran: bool = False) -> Path:
        """A file of zeros that takes no room."""
        with path.open("wb") as file:
            file.write(npy(header(repr(dtype), str(shape), fortran=fortran)))
            file.truncate(file.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return path

    @pytest.mark.parametrize(
        ("dtype", "shape"),
        [("<f4", (64, 3, 256, 512)), (">f8", (64, 3, 256, 512)), ("|u1", (64, 256, 512, 3))],
        ids=["plain", "cast", "moved"],
    )
    def test_a_batch_is_read_row_by_row(
        self, tmp_path: Path, dtype: str, shape: tuple[int, ...]
    ) -> None:
        path = self.sparse(tmp_path / "a.npy", dtype, shape)
        one = 3 * 256 * 512 * (4 + np.dtype(dtype).itemsize)
        with peak_below(4 * one):
            assert sum(sample.error is None for sample in read_samples([str(path)], [OPEN])) == 64

    def test_resident_memory_of_a_batch(self, tmp_path: Path) -> None:
        """Pages of a file that is mapped count, too; NumPy's own figures leave them out."""
        path = self.sparse(tmp_path / "a.npy", "<f4", (40, 3, 512, 512))
        code = (
            "import resource, sys\n"
            "from micam_fast.core.layers import Axes, ModelInput\n"
            "from micam_fast.samples import read_samples\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "spec = ModelInput('x', (None, 3, 512, 512), Axes(0, 1), 'float32')\n"
            "before = peak()\n"
            "assert all(each.error is None for each in read_samples(sys.argv[1:], [spec]))\n"
            "print(peak() - before)\n"
        )
        shown = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert int(shown.stdout) * 1024 < 8 * 3 * 512 * 512 * 4

    @pytest.mark.parametrize("memory", [4096, 8 * 300, 2**30])
    def test_fortran_order_is_read_in_blocks(self, tmp_path: Path, memory: int) -> None:
        batch = np.random.default_rng(0).normal(size=(50, 3, 8, 6))
        np.save(tmp_path / "a.npy", np.asfortranarray(batch))
        found = read(tmp_path / "a.npy", RGB, memory=memory)
        np.testing.assert_array_equal(
            [sample.arrays["x"] for sample in found], batch.astype(np.float32)
        )
        np.save(tmp_path / "a.npy", np.asfortranarray(batch[0]))
        (alone,) = read(tmp_path / "a.npy", RGB)
        np.testing.assert_array_equal(alone.arrays["x"], batch[0].astype(np.float32))

    def test_fortran_order_takes_bounded_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.samples.array_files._PIECE_BYTES", 2**20)
        path = self.sparse(tmp_path / "a.npy", "<f4", (64, 3, 256, 128), fortran=True)
        with peak_below(2**24):
            samples = list(read_samples([f"{path}:63"], [OPEN], memory=2**23))
        assert samples[0].error is None

    def test_rows_of_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("a,b,c,d,e\n" + "1,2,3,4,5\n" * 5000)
        with peak_below(400_000):
            assert sum(sample.error is None for sample in read_samples([str(path)], [FLAT])) == 5000

    def test_a_sample_of_any_number_of_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("a,b\n" + "1,2\n" * 20_000)
        assert "one sample would take 977 KiB" in error_of(path, OPEN_GRAY, memory=10**6)
        tall = ModelInput("x", (None, 1, 5, 2), Axes(0, 1), "float32")
        assert "20000 rows of 2 columns do not fit" in error_of(path, tall)

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_the_bound_of_one_sample(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        batch = np.zeros((4, 5), np.float32)
        np.save(path, batch) if suffix == ".npy" else np.savez(path, v=batch)
        # An archive counts as a whole, with what stands before its numbers.
        enough = 20 if suffix == ".npy" else 80 + 128
        assert [sample.error for sample in read(path, memory=enough)] == [None] * 4
        said = error_of(path, memory=enough - 1)
        what = "one sample" if suffix == ".npy" else "all arrays"
        assert f"{what} would take {enough} bytes of memory, the bound is {enough - 1} byt" in said


class TestArchives:
    """``.npz`` files are zip files, and what is promised there is looked at first."""

    @staticmethod
    def archive(path: Path, packing: int = zipfile.ZIP_DEFLATED, **members: Any) -> Path:
        with zipfile.ZipFile(path, "w", packing) as archive:
            for name, content in members.items():
                archive.writestr(f"{name}.npy", content)
        return path

    def test_a_bomb(self, tmp_path: Path) -> None:
        content = npy(header("'|u1'", f"({2**24}, 5)"), bytes(2**24 * 5))
        path = self.archive(tmp_path / "a.npz", v=content)
        assert path.stat().st_size < 10**6
        with peak_below(10**6):
            said = error_of(path, memory=10**7)
        assert "all arrays would take 80 MiB of memory, the bound is 9.54 MiB" in said

    def test_arrays_that_no_input_takes_are_not_unpacked(self, tmp_path: Path) -> None:
        other = npy(header("'|u1'", f"({2**25},)"), bytes(2**25))
        numbers = np.ones(5, np.float32)
        good = npy(header("'<f4'", "(5,)"), numbers.tobytes())
        path = self.archive(tmp_path / "a.npz", other=other, v=good, third=b"cos\nsystem\n.")
        with peak_below(10**6):
            (sample,) = read(path, memory=1000)
        np.testing.assert_array_equal(sample.arrays["v"], numbers)

    @pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_packings_that_expand_as_a_whole(self, tmp_path: Path, packing: int) -> None:
        path = self.archive(
            tmp_path / "a.npz", packing=packing, v=npy(header("'|u1'", "(5,)"), b"abcde")
        )
        assert "compressed in another way than NumPy's, deflate" in error_of(path)

    def test_a_pickle_and_names_of_any_length(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path / "a.npz", v=b"cos\nsystem\n(S'echo'\ntR.")
        assert "pickles are never unpickled" in error_of(path)
        path = self.archive(
            tmp_path / "a.npz", zipfile.ZIP_STORED, **{f"{n}{'n' * 1000}": b"" for n in range(30)}
        )
        assert "and 20 more; the model's inputs are v" in error_of(path)

    def test_an_endless_list_of_members(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.archive(
            tmp_path / "a.npz", zipfile.ZIP_STORED, **{f"n{n}": b"" for n in range(1000)}
        )
        monkeypatch.setattr("micam_fast.samples.array_files._LARGEST_DIRECTORY", 10_000)
        assert "is broken: a list of members of more bytes or pieces than" in error_of(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of black pixels, and what stands beside them; a large one without its pixels."""
    rows = bytes(height * (3 * width + 1)) if width * height < 10**6 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + before
        + chunk(b"IDAT", zlib.compress(rows))
        + after
        + chunk(b"IEND", b"")
    )


def gif(extension: bytes) -> bytes:
    """A GIF of one pixel."""
    return (
        b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
        + extension
        + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0;"
    )


def tiff(*entries: tuple[int, int, int, int], tail: bytes = bytes(200)) -> bytes:
    """A TIFF with these tags: number, type, count, value."""
    tags = b"".join(struct.pack("<HHII", *each) for each in entries)
    return b"II*\0" + struct.pack("<IH", 8, min(len(entries), 2**16 - 1)) + tags + bytes(4) + tail


def bmp(width: int, height: int, rle: bytes) -> bytes:
    """A run-length encoded BMP."""
    return (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 54 + 1024)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
        + bytes(1024)
        + rle
    )


def jpeg(*, scans: int = 0, before: bytes = b"") -> bytes:
    """A progressive JPEG with more passes than it needs, and with more before it."""
    out = io.BytesIO()
    Image.new("L", (512, 512), 128).save(out, "JPEG", progressive=True)
    found = out.getvalue()
    last = found[found.rindex(b"\xff\xda") : -2]
    return found[:2] + before + found[2:-2] + last * scans + b"\xff\xd9"


TAGS = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (278, 3, 1, 8), (279, 4, 1, 64)]  # fmt: skip
TOO_MUCH = "of more bytes or pieces than a real file has"


class TestPictures:
    """Pictures are looked at before they are decoded."""

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.png", png(2**20, 2**20), "too large a picture"),
            ("a.png", png(80_000_000, 1), "too large a picture: 80000000 x 1 pixels"),
            ("a.png", png(8, 8, before=chunk(b"abCd", b"") * 10**5), TOO_MUCH),
            ("a.png", png(8, 8, after=chunk(b"abCd", b"") * 10**5), TOO_MUCH),
            ("a.png", png(8, 8, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))),
             "too large"),
            ("a.png", png(8, 8, before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7)))),
             "too large"),
            ("a.gif", gif(b"\x21\xfe" + (b"\xff" + bytes(255)) * 20_000 + b"\0"), TOO_MUCH),
            ("a.gif", gif(b"\x21\1\1a\0" * 10**5), TOO_MUCH),
            ("a.gif", gif(b"").replace(b"\1\0\1\0", b"\xff" * 4), "too large a picture"),
            ("a.jpg", jpeg(scans=1000), "scans of a JPEG"),
            ("a.tif", tiff(*TAGS, *((40_000 + n, 3, 1, 1) for n in range(20_000))), TOO_MUCH),
            ("a.tif", tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31), *TAGS[2:]), "too large"),
            ("a.tif", tiff((256, 3, 1, 8), (257, 3, 1, 8), (273, 4, 2**30, 8)), "no picture"),
            ("a.tif", tiff(*TAGS[:2], (277, 3, 1, 60_000), *TAGS[2:]), "no picture"),
            ("a.tif", tiff(*TAGS[:3], (259, 3, 1, 5), *TAGS[4:], tail=b"\xff" * 99), "decoder err"),
            ("a.tif", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**40)
             + struct.pack("<HHQQ", 256, 3, 1, 8) * 10**5, TOO_MUCH),
            ("a.bmp", bmp(2**24, 5, b"\0\2\0\xff" * 100), "too large a picture"),
            ("a.bmp", bmp(1000, 1000, b"\0\0" * 200_000), TOO_MUCH),
            ("a.ppm", b"P3\n9000 9000\n255\n" + b"1 " * (2**22 + 1), TOO_MUCH),
            ("a.ppm", b"P6\n" + b"#a\n" * 10**5 + b"8 8 255\n" + bytes(192), TOO_MUCH),
            ("a.ppm", b"P6\n" + b"9" * 10**6, "broken picture"),
        ],
    )  # fmt: skip
    def test_hostile_pictures(
        self,
        tmp_path: Path,
        name: str,
        content: bytes,
        said: str,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / name).write_bytes(content)
        assert said in error_of(tmp_path / name, RGB)
        # libtiff would print what it finds.
        assert capfd.readouterr() == ("", "")

    def test_good_ones_of_these_makers(self, tmp_path: Path) -> None:
        """So that nothing else is wrong with the ones above."""
        for name, content in {
            "a.png": png(8, 8, before=chunk(b"tEXt", b"a\0b"), after=chunk(b"abCd", b"")),
            "a.gif": gif(b"\x21\xfe\1a\0"),
            "a.jpg": jpeg(before=b"\xff\xe1\x00\x08Exif\0\0"),
            "a.tif": tiff(*TAGS),
            "a.bmp": bmp(100, 2, b"\x64\1\0\0\x64\1\0\1"),
            "a.ppm": b"P3\n2 2\n255\n" + b"1 " * 12,
        }.items():
            (tmp_path / name).write_bytes(content)
            assert [sample.error for sample in read(tmp_path / name, RGB)] == [None], name

    @pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PDF", "JPEG2000"])
    def test_other_formats_are_not_opened_under_a_pictures_name(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pillow hands EPS to Ghostscript."""
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png", kind)
        monkeypatch.setattr(subprocess, "Popen", lambda *words: pytest.fail("a program was run"))
        assert "is no picture that can be read" in error_of(tmp_path / "a.png", RGB)

    def test_a_size_that_follows_from_the_proportions(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png(1, 60_000))
        said = error_of(tmp_path / "a.png", OPEN_HEIGHT)
        assert "too large a picture: 224 x 13440000 pixels" in said

    def test_the_bound_of_memory(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png(500, 500))
        assert "the picture would take 2.86 MiB" in error_of(tmp_path / "a.png", RGB, memory=10**6)
        # Kept as large as it is, it takes more.
        assert read(tmp_path / "a.png", RGB, memory=4 * 10**6)[0].error is None
        assert "would take 17.2 MiB" in error_of(tmp_path / "a.png", OPEN, memory=4 * 10**6)

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_an_orientation_that_is_none(self, tmp_path: Path, orientation: int) -> None:
        image = Image.new("RGB", (8, 6))
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / "a.jpg", exif=exif)
        assert read(tmp_path / "a.jpg", RGB)[0].error is None

    @pytest.mark.parametrize("exif", [b"", b"II*\0\xff\xff\xff\xff", b"MM" * 9])
    def test_exif_that_is_broken(self, tmp_path: Path, exif: bytes) -> None:
        Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
        assert len(read(tmp_path / "a.jpg", RGB)) == 1


class TestTables:
    """Rows, quotes and fields have bounds; what is no text says so."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"a,b,c,d,e\n" + b"1" * 2**21, "line 2: a row of more than 1048576 characters"),
            (b"1," * 2**20, "line 1: a row of more than 1048576 characters"),
            (b'a,b,c,d,e\n1,2,3,4,"5' + b"\n1,2,3,4,5" * 50_000, "is a quote not closed?"),
            (b"a,b,c,d,e\n" + b'"1\n",' * 2**18, "line 2: a row of more than 1048576"),
            (b",".join([b"x"] * 10**5), "100000 columns fit input 'v' of shape (5,) neither"),
            (b"a,b,c,d,e\n1,2,\0,4,5\n", "line 2: a NUL character"),
            (bytes(10**5), "line 1: a NUL character: is it a text in UTF-16, or none at all?"),
            ("a,b,c,d,e\n1,2,3,4,5\n".encode("utf-16-le"), "line 1: a NUL character"),
            ("a,b,c,d,e\n".encode("utf-16"), "is text in UTF-16: 'iconv -f utf-16 -t utf-8'"),
            (b"\xfe\xff" + "a,b,c,d,e\n".encode("utf-16-be"), "is text in UTF-16"),
            (b"a,b,c,d,e\n\xe9,2,3,4,5\n", "is no UTF-8 text: 'iconv -f cp1252"),
            (b"a,b,c,d,e\n1,1,1,1," + b"9" * 130_000, "line 2: '9999"),
        ],
    )
    def test_hostile_tables(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
    ) -> None:
        monkeypatch.setattr("micam_fast.core.csv_reading._LONGEST_ROW", 2**20)
        (tmp_path / "a.csv").write_bytes(content)
        assert said in error_of(tmp_path / "a.csv")

    @pytest.mark.parametrize(
        "field", ["1e999999", "-inf", "NaN", "0x1", "1_0", "\u0661\u0662", "\uff11", "1 2", "--1"]
    )
    def test_what_is_no_finite_number(self, tmp_path: Path, field: str) -> None:
        (tmp_path / "a.csv").write_text(f"a,b,c,d,e\n1,2,3,4,{field}\n", encoding="utf-8")
        said = error_of(tmp_path / "a.csv")
        assert f"line 2: {field!r} in column 'e', expected is a finite number" in said


def frames(*records: bytes) -> bytes:
    """A TFRecord file, whose checksums are right."""
    return b"".join(
        (length := struct.pack("<Q", len(each))) + _checksum(length) + each + _checksum(each)
        for each in records
    )


def example(**features: bytes) -> bytes:
    """A ``tf.train.Example`` of features that are serialized."""

    def field(number: int, data: bytes) -> bytes:
        assert len(data) < 2**14
        return bytes((number << 3 | 2, len(data) & 127 | 128, len(data) >> 7)) + data

    entries = (
        field(1, field(1, name.encode()) + field(2, data)) for name, data in features.items()
    )
    return field(1, b"".join(entries))


class TestRecords:
    """TFRecord files, and the side file."""

    @pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 17])
    def test_a_length_beyond_the_file(self, tmp_path: Path, length: int) -> None:
        head = struct.pack("<Q", length)
        path = tmp_path / "a.tfrecord"
        path.write_bytes(head + _checksum(head) + bytes(16))
        assert "is broken, or no TFRecord file at all" in error_of(path)

    @pytest.mark.parametrize(
        "record",
        [
            b"\x0a\x7f" * 5000,
            b"\x0b" * 10**6,
            b"\x0a" + b"\xff" * 11 + b"\1",
            example(sample=b"\x12\x04\x0a\x7f\0\0"),
            example(sample=b"\x12\x05\x0a\x03\0\0\0"),
            example(**{"a" * 10: b"\x12\xff\xff\xff\xff\x7f"}),
        ],
    )
    def test_what_is_no_example(self, tmp_path: Path, record: bytes) -> None:
        path = tmp_path / "a.tfrecord"
        path.write_bytes(frames(record))
        assert error_of(path) == f"{path}, record 0 is no tf.train.Example"

    def test_features_without_values_or_end(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tfrecord"
        path.write_bytes(
            frames(
                example(sample=b"\x12\0"),
                example(**{f"{number}{'n' * 100}": b"" for number in range(100)}),
                example(sample=b"\x12\x06\x0a\x04\0\0\x80\x3f"),
            )
        )
        empty, many, good = read(path, ANY)
        assert str(empty.error) == f"{path}, record 0: it holds no values"
        assert "no feature 'sample'" in str(many.error)
        assert str(many.error).endswith("and 90 more")
        assert good.arrays["v"].tolist() == [1.0]

    def test_a_record_beyond_the_bound_is_skipped(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tfrecord"
        good = example(sample=b"\x12\x06\x0a\x04\0\0\x80\x3f")
        path.write_bytes(frames(bytes(10**6), good))
        with peak_below(10**6):
            large, small = read(path, ANY, memory=10**6)
        assert "record 0: 977 KiB are too many to be read within 977 KiB of mem" in str(large.error)
        assert small.error is None

    @pytest.mark.parametrize(
        "content",
        [
            "[" * 10**5,
            '{"height": ' + "9" * 5000 + ', "width": 1}',
            *(
                json.dumps({"height": 1, "width": width})
                for width in (float("nan"), float("inf"), 0, -1, 10**18, True, 1.5, "5", None)
            ),
            '{"height": 1}',
            '{"classes": 5}',
            "5",
            "",
        ],
    )
    def test_a_hostile_side_file(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "a.tfrecord"
        path.write_bytes(frames(example(sample=b"\x12\x06\x0a\x04\0\0\x80\x3f")))
        (tmp_path / "a.json").write_text(content)
        assert "a.json does not describe the records beside it" in error_of(path, ANY)

    def test_a_class_that_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tfrecord"
        numbered = example(sample=b"\x12\x06\x0a\x04\0\0\x80\x3f", label=b"\x1a\x03\x0a\1\0")
        path.write_bytes(frames(numbered))
        (tmp_path / "a.json").write_text('{"classes": ["\\ud800"]}')
        (sample,) = read(path, ANY)
        assert sample.label == "\\ud800"

    def test_a_side_file_beyond_the_bound(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.samples.record_files.TEXT_LIMIT", 2**20)
        path = tmp_path / "a.tfrecord"
        path.write_bytes(frames(example(sample=b"\x12\x06\x0a\x04\0\0\x80\x3f")))
        (tmp_path / "a.json").write_text(json.dumps({"classes": ["a"] * 10**6}))
        assert "it is larger than 1 MiB" in error_of(path, ANY)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[" * 10**5, "is no JSON"),
        (
            "a.json",
            '{"columns": ["a"], "height": 1, "width": 1000000000000}',
            "a width of 10000000",
        ),
        ("a.json", '{"columns": ["a"], "height": 1, "width": -5}', "a width of -5 is none"),
        ("a.csv", "a" * 2**25, "a row of more than"),
        ("a.txt", "a\n" * 2**24, "it is larger than 16 MiB"),
    ],
)
def test_hostile_names(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AxisError, match=said):
        read_names(tmp_path / name)


class TestPaths:
    """What is no file is refused, and nothing waits for it."""

    NAMES = ("a.npy", "a.npz", "a.png", "a.csv", "a.tfrecord", "a")

    @staticmethod
    def make_pipe(path: Path) -> None:
        os.mkfifo(path)

    @staticmethod
    def make_socket(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)

    @staticmethod
    def make_device(path: Path) -> None:
        path.symlink_to("/dev/zero")

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        ("make", "what"),
        [(make_pipe, "a pipe"), (make_socket, "a socket"), (make_device, "a device")],
    )
    def test_no_regular_file(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        make: Callable[[Path], None],
        what: str,
    ) -> None:
        # The name of a socket is short.
        monkeypatch.chdir(tmp_path)
        make(Path(name))
        said = error_of(name, GRAY)
        assert said == f"cannot read {name}: it is {what}, and no regular file"
        if name != "a":
            assert error_of(".", GRAY) == said

    @pytest.mark.parametrize("name", NAMES)
    def test_links(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).symlink_to("nowhere")
        assert error_of(tmp_path / name, GRAY).endswith("No such file or directory")
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(name)
        assert error_of(tmp_path / name, GRAY).endswith("Too many levels of symbolic links")

    @pytest.mark.parametrize("name", ["a\0.npy", "a\0", "\ud800.npy", "a\0.csv"])
    def test_names_that_no_file_can_have(self, name: str) -> None:
        assert error_of(name, GRAY).endswith("no file can have such a name")

    def test_a_file_that_may_not_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*given: object, **more: object) -> int:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a.npy").touch()
        monkeypatch.setattr(os, "open", refuse)
        assert error_of(tmp_path / "a.npy").endswith("a.npy: Permission denied")

    @pytest.mark.parametrize("name", ["a\n.npy", "\x1b[31m.npy", "\udcff.npy", "n" * 251 + ".npy"])
    def test_names_that_are_odd(self, tmp_path: Path, name: str) -> None:
        np.save(tmp_path / name, np.ones((2, 5)))
        samples = read(tmp_path)
        assert [sample.path for sample in samples] == [str(tmp_path / name)] * 2
        assert all(sample.name.encode() and sample.error is None for sample in samples)
        np.save(tmp_path / name, np.ones((2, 6)))
        (sample,) = read(tmp_path)
        assert f"{sample.name} {sample.error}".encode()

    @pytest.mark.parametrize("number", [2, 10**18 - 1])
    def test_numbers_beyond_the_file(self, tmp_path: Path, number: int) -> None:
        np.save(tmp_path / "a.npy", np.ones((2, 5)))
        np.savez(tmp_path / "a.npz", v=np.ones((2, 5)))
        (tmp_path / "a.csv").write_text("a,b,c,d,e\n" + "1,2,3,4,5\n" * 2)
        (tmp_path / "a.tfrecord").write_bytes(frames(example(), example()))
        Image.new("RGB", (6, 8)).save(tmp_path / "a.png")
        for name in ("a.npy", "a.npz", "a.csv", "a.tfrecord"):
            assert f"there is no number {number}" in error_of(tmp_path / f"{name}:{number}")
        assert f"there is no number {number}" in error_of(tmp_path / f"a.png:{number}", RGB)


@pytest.mark.parametrize("error", [RecursionError(), MemoryError(), ZeroDivisionError("why")])
def test_what_no_reader_foresees_ends_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*given: object) -> None:
        raise error

    np.save(tmp_path / "a.npy", np.ones((2, 5)))
    monkeypatch.setattr(reading_module, "read_table", fail)
    paths = [str(tmp_path / name) for name in ("a.csv", "a.npy")]
    bad, *good = read_samples(paths, [FLAT])
    assert str(bad.error) == f"{paths[0]} cannot be read: {type(error).__name__}: {error}"
    assert [sample.error for sample in good] == [None, None]
    monkeypatch.setattr(reading_module, "read_table", lambda *given: sys.exit(3))
    with pytest.raises(SystemExit, match="3"):
        list(read_samples(paths, [FLAT]))

"""Arrays, pictures and folders as samples."""

from __future__ import annotations

import errno
import os
import pickle
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from micam_fast.core.choices import ArrayLayout
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import (
    PixelRules,
    Sample,
    cast_sample,
    expand_paths,
    fit_array,
    load_array,
    names_beside,
    own_layout,
    read_picture,
    read_samples,
)
from micam_fast.samples.arrays import ARRAY_SUFFIXES, sample_shape
from micam_fast.samples.pictures import IMAGE_SUFFIXES
from tests.helpers.samples import DEPTH, FLAT, GRAY, IMAGE, OPEN, RGB, numbered

GRAY_LAST = ModelInput("x", (None, 8, 6, 1), Axes(0, 3), "float32")
RGB_LAST = ModelInput("x", (None, 8, 6, 3), Axes(0, 3), "float32")
SEQUENCE = ModelInput("seq", (None, 10, 4), Axes(0, 2), "float32")


def read_all(*paths: Path, **given: Any) -> list[Sample]:
    """What `read_samples` gives for these files."""
    inputs = given.pop("inputs", [GRAY])
    return list(read_samples(map(str, paths), inputs, **given))


def read_one(path: Path, spec: ModelInput = GRAY, **given: Any) -> NDArray[Any]:
    """The only sample of a file, which must have no error."""
    (sample,) = read_all(path, inputs=[spec], **given)
    assert sample.error is None
    return sample.arrays[spec.name]


def error_of(path: Path, spec: ModelInput = GRAY, **given: Any) -> str:
    """The error of the only sample of a file."""
    (sample,) = read_all(path, inputs=[spec], **given)
    assert sample.error is not None
    assert not sample.arrays
    return str(sample.error)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


class TestFitArray:
    """Arrays in memory against a model's input."""

    @pytest.mark.parametrize(
        ("spec", "shape", "layout", "note"),
        [
            (GRAY, (1, 8, 6), "auto", "taken as nchw"),
            (GRAY, (1, 8, 6), "nchw", "taken as nchw"),
            (RGB, (3, 8, 6), "auto", "taken as nchw"),
            (RGB_LAST, (8, 6, 3), "auto", "taken as nhwc"),
            (RGB_LAST, (8, 6, 3), "nhwc", "taken as nhwc"),
            (OPEN, (3, 20, 30), "auto", "taken as nchw"),
            (SEQUENCE, (10, 4), "auto", "taken as nhwc"),
            (FLAT, (5,), "auto", ""),
        ],
    )
    def test_the_models_own_layout(
        self, spec: ModelInput, shape: tuple[int, ...], layout: ArrayLayout, note: str
    ) -> None:
        one = numbered(*shape)
        samples, said = fit_array(one, spec, layout)
        assert said == note
        np.testing.assert_array_equal(samples, one[np.newaxis])
        batch = numbered(4, *shape)
        samples, said = fit_array(batch, spec, layout)
        assert said == note
        np.testing.assert_array_equal(samples, batch)

    @pytest.mark.parametrize("layout", ["auto", "nhwc"])
    @pytest.mark.parametrize("spec", [GRAY, RGB, OPEN])
    def test_channels_last_array_for_a_channels_first_model(
        self, spec: ModelInput, layout: ArrayLayout
    ) -> None:
        channels = spec.shape[1]
        assert channels is not None
        one = numbered(8, 6, channels)
        samples, note = fit_array(one, spec, layout)
        assert note == "taken as nhwc, moved to the model's nchw"
        np.testing.assert_array_equal(samples, one.transpose(2, 0, 1)[np.newaxis])
        batch = numbered(4, 8, 6, channels)
        np.testing.assert_array_equal(
            fit_array(batch, spec, layout)[0], batch.transpose(0, 3, 1, 2)
        )

    @pytest.mark.parametrize("layout", ["auto", "nchw"])
    def test_channels_first_array_for_a_channels_last_model(self, layout: ArrayLayout) -> None:
        one = numbered(3, 8, 6)
        samples, note = fit_array(one, RGB_LAST, layout)
        assert note == "taken as nchw, moved to the model's nhwc"
        np.testing.assert_array_equal(samples, one.transpose(1, 2, 0)[np.newaxis])
        batch = numbered(4, 3, 8, 6)
        np.testing.assert_array_equal(
            fit_array(batch, RGB_LAST, layout)[0], batch.transpose(0, 2, 3, 1)
        )

    @pytest.mark.parametrize("layout", ["auto", "nchw", "nhwc"])
    @pytest.mark.parametrize(("spec", "axis"), [(GRAY, 1), (GRAY_LAST, 3)])
    def test_a_missing_channel_axis_is_added(
        self, spec: ModelInput, axis: int, layout: ArrayLayout
    ) -> None:
        one = numbered(8, 6)
        samples, note = fit_array(one, spec, layout)
        assert note == "channel axis added"
        np.testing.assert_array_equal(samples, np.expand_dims(one[np.newaxis], axis))
        batch = numbered(4, 8, 6)
        np.testing.assert_array_equal(
            fit_array(batch, spec, layout)[0], np.expand_dims(batch, axis)
        )

    def test_auto_prefers_the_models_layout_where_both_fit(self) -> None:
        spec = ModelInput("x", (None, 3, 3, 3), Axes(0, 1), "float32")
        cube = numbered(3, 3, 3)
        samples, note = fit_array(cube, spec, "auto")
        assert note == "taken as nchw"
        np.testing.assert_array_equal(samples[0], cube)
        np.testing.assert_array_equal(fit_array(cube, spec, "nhwc")[0][0], cube.transpose(2, 0, 1))

    def test_a_batch_of_one_is_a_batch(self) -> None:
        assert fit_array(numbered(1, 1, 8, 6), GRAY)[0].shape == (1, 1, 8, 6)

    def test_samples_are_views(self) -> None:
        batch = numbered(4, 8, 6, 3)
        assert np.shares_memory(fit_array(batch, RGB)[0], batch)

    @pytest.mark.parametrize("shape", [(5, 7), (8, 6), (1, 8, 6), (3, 6, 8), (8, 6, 4), (), (3,)])
    def test_a_wrong_shape_names_both_shapes_and_the_layouts(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            SampleError, match=r"'x'.*\(3, 8, 6\).*layout assumed: nchw or nhwc"
        ) as caught:
            fit_array(np.zeros(shape), RGB)
        assert f"shape {shape} " in str(caught.value)

    def test_a_wrong_shape_for_a_given_layout_names_it(self) -> None:
        with pytest.raises(SampleError, match=r"shape \(8, 6, 3\).*layout assumed: nchw"):
            fit_array(np.zeros((8, 6, 3)), RGB, "nchw")
        with pytest.raises(SampleError, match=r"shape \(3, 8, 6\).*layout assumed: nhwc"):
            fit_array(np.zeros((3, 8, 6)), RGB, "nhwc")

    def test_a_wrong_shape_says_which_sizes_are_open(self) -> None:
        with pytest.raises(SampleError, match=r"\(3, any, any\)"):
            fit_array(np.zeros((4, 20, 30)), OPEN)

    def test_a_flat_input_of_another_length(self) -> None:
        with pytest.raises(SampleError, match=r"shape \(4,\) .* 'v' of shape \(5\b"):
            fit_array(np.zeros(4), FLAT)

    @pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i8", "f2", "f4", "f8", ">f4"])
    def test_numbers_of_every_kind_are_taken(self, dtype: str) -> None:
        assert fit_array(np.ones((1, 8, 6), dtype), GRAY)[0].shape == (1, 1, 8, 6)

    @pytest.mark.parametrize(
        ("array", "named"),
        [
            (np.full((1, 8, 6), "a"), "<U1"),
            (np.full((1, 8, 6), b"a"), r"\|S1"),
            (np.ones((1, 8, 6), complex), "complex128"),
            (np.zeros((1, 8, 6), "M8[s]"), "datetime64"),
            (np.zeros((1, 8, 6), [("a", "f4")]), r"\('a', '<f4'\)"),
            (np.full((1, 8, 6), None), "object"),
        ],
    )
    def test_other_elements_are_refused(self, array: NDArray[Any], named: str) -> None:
        with pytest.raises(SampleError, match=rf"{named}.*numbers are expected"):
            fit_array(array, GRAY)

    def test_own_layout_and_sample_shape(self) -> None:
        assert [own_layout(spec) for spec in (GRAY, GRAY_LAST, OPEN)] == ["nchw", "nhwc", "nchw"]
        assert sample_shape(OPEN) == (3, None, None)
        assert sample_shape(FLAT) == (5,)
        time_first = ModelInput("s", (10, None, 4), Axes(1, 2), "float32")
        assert sample_shape(time_first) == (10, 4)


class TestArrayFiles:
    """Files of NumPy arrays."""

    def test_one_sample(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        (sample,) = read_all(tmp_path / "a.npy")
        assert sample.name == "a.npy"
        np.testing.assert_array_equal(sample.arrays["x"], numbered(1, 8, 6))

    def test_a_batch_gives_a_sample_for_each_row(self, tmp_path: Path) -> None:
        batch = numbered(3, 1, 8, 6)
        np.save(tmp_path / "a.npy", batch)
        samples = read_all(tmp_path / "a.npy")
        assert [sample.name for sample in samples] == ["a.npy[0]", "a.npy[1]", "a.npy[2]"]
        for sample, row in zip(samples, batch, strict=True):
            np.testing.assert_array_equal(sample.arrays["x"], row)

    def test_an_empty_batch_is_told(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(0, 1, 8, 6))
        (sample,) = read_all(tmp_path / "a.npy")
        assert str(sample.error) == f"{tmp_path / 'a.npy'} holds no sample"

    def test_a_batch_is_memory_mapped(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(3, 1, 8, 6))
        loaded = load_array(tmp_path / "a.npy")
        assert isinstance(loaded, np.memmap)
        fitted, _ = fit_array(loaded, GRAY)
        assert np.shares_memory(fitted, loaded)

    def test_samples_are_read_one_by_one(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        samples = read_samples([str(tmp_path / "a.npy"), str(tmp_path / "later.npy")], [GRAY])
        assert next(samples).error is None
        np.save(tmp_path / "later.npy", numbered(1, 8, 6))
        assert next(samples).error is None

    @pytest.mark.parametrize("dtype", ["u1", "f8", "?", "f2", ">i4"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_arrays_are_cast_to_the_models_type(
        self, tmp_path: Path, dtype: str, order: Any
    ) -> None:
        values = (numbered(8, 6, 3) % 2).astype(dtype, order=order)
        np.save(tmp_path / "a.npy", values)
        array = read_one(tmp_path / "a.npy", RGB)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, values.transpose(2, 0, 1).astype(np.float32))

    def test_an_integer_model_gets_integers(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        spec = ModelInput("x", (None, 1, 8, 6), Axes(0, 1), "uint8")
        assert read_one(tmp_path / "a.npy", spec).dtype == np.uint8

    def test_nan_is_a_number(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.full((1, 8, 6), np.nan))
        assert np.isnan(read_one(tmp_path / "a.npy")).all()

    def test_npz_with_one_array_of_any_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", whatever=numbered(2, 1, 8, 6))
        assert [sample.name for sample in read_all(tmp_path / "a.npz")] == ["a.npz[0]", "a.npz[1]"]

    def test_npz_by_input_names_ignores_other_arrays(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "a.npz", other=np.zeros(3), x=numbered(1, 8, 6))
        np.testing.assert_array_equal(read_one(tmp_path / "a.npz"), numbered(1, 8, 6))

    def test_npz_for_several_inputs(self, tmp_path: Path) -> None:
        image, depth = numbered(3, 1, 8, 6), numbered(3, 2, 8, 6) + 1000
        np.savez(tmp_path / "a.npz", depth=depth, image=image)
        samples = read_all(tmp_path / "a.npz", inputs=[IMAGE, DEPTH])
        assert len(samples) == 3
        for index, sample in enumerate(samples):
            np.testing.assert_array_equal(sample.arrays["image"], image[index])
            np.testing.assert_array_equal(sample.arrays["depth"], depth[index])

    def test_npz_where_one_input_serves_all(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", depth=numbered(2, 8, 6), image=numbered(3, 1, 8, 6))
        samples = read_all(tmp_path / "a.npz", inputs=[IMAGE, DEPTH])
        assert len(samples) == 3
        for sample in samples:
            np.testing.assert_array_equal(sample.arrays["depth"], numbered(2, 8, 6))

    def test_npz_with_inputs_of_different_lengths(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", depth=numbered(2, 2, 8, 6), image=numbered(3, 1, 8, 6))
        (sample,) = read_all(tmp_path / "a.npz", inputs=[IMAGE, DEPTH])
        assert "different numbers of samples: image 3, depth 2" in str(sample.error)

    def test_npz_without_the_inputs(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", a=numbered(1, 8, 6), b=numbered(1, 8, 6))
        said = error_of(tmp_path / "a.npz")
        assert said == "a.npz holds the arrays a, b; the model's inputs are x"

    def test_an_empty_npz_says_so(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz")
        assert "holds no array" in error_of(tmp_path / "a.npz")

    def test_npz_without_one_of_the_inputs(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", image=numbered(1, 8, 6))
        (sample,) = read_all(tmp_path / "a.npz", inputs=[IMAGE, DEPTH])
        assert "input 'depth' has no array" in str(sample.error)
        assert "--input depth=FILE" in str(sample.error)


class Explosive:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


class TestBrokenArrayFiles:
    """Files that are no arrays, or no longer."""

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_objects_are_never_unpickled(self, tmp_path: Path, suffix: str) -> None:
        fuse = tmp_path / "exploded"
        array = np.full((1, 8, 6), Explosive(fuse))
        path = tmp_path / f"a{suffix}"
        if suffix == ".npy":
            np.save(path, array, allow_pickle=True)
        else:
            np.savez(path, x=array)
        said = error_of(path)
        assert not fuse.exists()
        assert "Python objects" in said
        # Without this the guard above might be harmless.
        loaded = np.load(path, allow_pickle=True)
        _ = loaded if suffix == ".npy" else loaded["x"]
        assert fuse.exists()

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_the_message_on_objects_says_what_to_do(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        array = np.full((1, 8, 6), None)
        if suffix == ".npy":
            np.save(path, array, allow_pickle=True)
        else:
            np.savez(path, x=array)
        with pytest.raises(SampleError, match="objects, which are never unpickled; save numbers"):
            load_array(path)

    def test_a_bare_pickle_is_never_unpickled(self, tmp_path: Path) -> None:
        fuse = tmp_path / "exploded"
        path = tmp_path / "a.npy"
        path.write_bytes(pickle.dumps(Explosive(fuse)))
        assert "never unpickled" in error_of(path)
        assert not fuse.exists()

    def test_a_text_file_is_not_said_to_hold_objects(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        path.write_text("1.0 2.0 3.0\n")
        with pytest.raises(SampleError, match="no readable array file"):
            load_array(path)

    @pytest.mark.parametrize("size", [0, 5, 60, 200])
    def test_a_truncated_npy(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "a.npy"
        np.save(path, numbered(1, 8, 6))
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(SampleError, match=r"a\.npy is no readable array file"):
            load_array(path)

    @pytest.mark.parametrize("size", [0, 5, 200])
    def test_a_truncated_npz(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "a.npz"
        np.savez(path, x=numbered(1, 8, 6))
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(SampleError, match=r"a\.npz is no readable array file"):
            load_array(path)

    def test_a_damaged_npz(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        np.savez_compressed(path, x=numbered(1, 8, 6))
        content = bytearray(path.read_bytes())
        content[60:80] = bytes(20)
        path.write_bytes(content)
        with pytest.raises(SampleError, match=r"a\.npz is no readable array file"):
            load_array(path)

    @pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png", "a"])
    def test_no_such_file(self, tmp_path: Path, name: str) -> None:
        said = error_of(tmp_path / name)
        assert said == f"cannot read {tmp_path / name}: No such file or directory"

    def test_a_bad_sample_among_good_ones_keeps_its_place(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        np.save(tmp_path / "b.npy", numbered(5, 7))
        samples = read_all(tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "a.npy")
        assert [sample.error is None for sample in samples] == [True, False, True]
        assert samples[1].name == "b.npy"


class TestOrigin:
    """The file that a sample is from, and its number there."""

    @staticmethod
    def origins(*texts: object, inputs: list[ModelInput] | None = None) -> list[Any]:
        samples = read_samples(map(str, texts), inputs or [GRAY])
        return [(sample.path, sample.number, sample.error is None) for sample in samples]

    def test_of_files_and_of_folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "data").mkdir()
        np.save(tmp_path / "data" / "a.npy", numbered(1, 8, 6))
        np.save(tmp_path / "data" / "b.npy", numbered(2, 1, 8, 6))
        np.save(tmp_path / "data" / "c.npy", numbered(5, 7))
        monkeypatch.chdir(tmp_path)
        found = [
            ("data/a.npy", None, True),
            ("data/b.npy", 0, True),
            ("data/b.npy", 1, True),
            ("data/c.npy", None, False),
        ]
        assert self.origins("data") == found
        assert self.origins(*(f"data/{name}.npy" for name in "abc")) == found

    def test_of_a_number_that_is_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, numbered(2, 1, 8, 6))
        assert self.origins(f"{path}:1", f"{path}:7") == [
            (str(path), 1, True),
            (str(path), 7, False),
        ]

    def test_of_what_is_not_there_or_does_not_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "none.npy"
        assert self.origins(path, f"{tmp_path}:3") == [
            (str(path), None, False),
            (str(tmp_path), 3, False),
        ]
        np.save(path, np.full((2, 1, 8, 6), 0.5))
        whole = ModelInput("x", (None, 1, 8, 6), Axes(0, 1), "uint8")
        assert self.origins(path, inputs=[whole]) == [
            (str(path), 0, False),
            (str(path), 1, False),
        ]

    def test_of_arrays_alone(self) -> None:
        samples = read_all(inputs=[GRAY], extra={"x": numbered(2, 1, 8, 6)})
        assert [(sample.path, sample.number) for sample in samples] == [("", 0), ("", 1)]


class TestNotes:
    """What ``auto`` says."""

    def test_auto_says_once_what_it_decided(self, tmp_path: Path) -> None:
        for name in ("a.npy", "b.npy"):
            np.save(tmp_path / name, numbered(8, 6, 1))
        said: list[str] = []
        read_all(tmp_path, say=said.append)
        assert said == ["input 'x': taken as nhwc, moved to the model's nchw"]

    def test_auto_says_each_thing_it_decided(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(8, 6, 1))
        np.save(tmp_path / "b.npy", numbered(8, 6))
        np.save(tmp_path / "c.npy", numbered(1, 8, 6))
        said: list[str] = []
        read_all(tmp_path, say=said.append)
        assert said == [
            "input 'x': taken as nhwc, moved to the model's nchw",
            "input 'x': channel axis added",
            "input 'x': taken as nchw",
        ]

    def test_a_given_layout_says_nothing(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(8, 6, 1))
        said: list[str] = []
        read_all(tmp_path / "a.npy", layout="nhwc", say=said.append)
        assert said == []

    def test_pictures_and_flat_inputs_decide_nothing(self, tmp_path: Path) -> None:
        said: list[str] = []
        Image.new("L", (6, 8)).save(tmp_path / "a.png")
        np.save(tmp_path / "v.npy", numbered(5))
        read_all(tmp_path / "a.png", say=said.append)
        read_all(tmp_path / "v.npy", inputs=[FLAT], say=said.append)
        assert said == []


class TestFolders:
    """Folders of samples."""

    def test_sorted_by_name_and_only_samples(self, tmp_path: Path) -> None:
        for name in ("c.npy", "a.NPY", "b.npz"):
            with (tmp_path / name).open("wb") as file:
                if name.endswith("z"):
                    np.savez(file, numbered(1, 8, 6))
                else:
                    np.save(file, numbered(1, 8, 6))
        Image.new("L", (6, 8)).save(tmp_path / "bb.png")
        (tmp_path / "notes.txt").write_text("no sample")
        (tmp_path / "model.onnx").write_bytes(b"")
        assert [Path(str(path)).name for path in expand_paths([str(tmp_path)])] == [
            "a.NPY",
            "b.npz",
            "bb.png",
            "c.npy",
        ]
        samples = read_all(tmp_path)
        assert [sample.name for sample in samples] == ["a.NPY", "b.npz", "bb.png", "c.npy"]
        assert all(sample.error is None for sample in samples)

    @pytest.mark.parametrize("suffix", [*ARRAY_SUFFIXES, *IMAGE_SUFFIXES])
    def test_every_suffix_is_seen(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        path.touch()
        assert list(expand_paths([str(tmp_path)])) == [path]

    def test_files_and_folders_keep_the_given_order(self, tmp_path: Path) -> None:
        folder = tmp_path / "z"
        folder.mkdir()
        (folder / "1.npy").touch()
        given = [str(tmp_path / "b.npy"), str(folder), str(tmp_path / "a.npy")]
        names = [Path(str(path)).name for path in expand_paths(given)]
        assert names == ["b.npy", "1.npy", "a.npy"]

    @pytest.mark.parametrize("name", ["a.npy", "a.png", "a.csv", "a.tfrecord"])
    def test_folders_below_are_left_out(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        assert list(expand_paths([str(tmp_path)])) == []

    @pytest.mark.parametrize("suffix", ["", ":3", ".npy", ".csv", ".tfrecord"])
    def test_a_name_that_no_file_can_have(self, suffix: str) -> None:
        path = Path("x" * 300 + suffix)
        (sample,) = read_all(path)
        assert "File name too long" in str(sample.error)
        assert names_beside(str(path), GRAY, 6) is None

    def test_a_file_that_is_not_there_is_no_picture(self, tmp_path: Path) -> None:
        assert error_of(tmp_path / "a", FLAT) == f"cannot read {tmp_path / 'a'}: no such file"

    def test_a_folder_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        monkeypatch.setattr(os, "scandir", refuse)
        found = read_all(tmp_path, tmp_path / "a.npy")
        assert [str(each.error) for each in found] == [
            f"cannot read folder {tmp_path}: Permission denied",
            "None",
        ]
        assert found[0].name == str(tmp_path)
        assert names_beside(str(tmp_path), GRAY, 6) is None

    def test_an_empty_folder_holds_nothing(self, tmp_path: Path) -> None:
        assert read_all(tmp_path) == []


class TestSeveralInputs:
    """Models with two inputs."""

    def test_a_file_feeds_the_input_that_extra_does_not(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(2, 8, 6))
        (sample,) = read_all(
            tmp_path / "a.npy", inputs=[IMAGE, DEPTH], extra={"image": numbered(1, 1, 8, 6)}
        )
        assert sample.error is None
        np.testing.assert_array_equal(sample.arrays["depth"], numbered(2, 8, 6))
        np.testing.assert_array_equal(sample.arrays["image"], numbered(1, 8, 6))

    def test_one_extra_serves_all(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(3, 1, 8, 6))
        extra = {"depth": numbered(1, 2, 8, 6)}
        samples = read_all(tmp_path / "a.npy", inputs=[IMAGE, DEPTH], extra=extra)
        assert len(samples) == 3
        for sample in samples:
            np.testing.assert_array_equal(sample.arrays["depth"], extra["depth"][0])

    def test_one_extra_for_each_counts_bad_samples_too(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        np.save(tmp_path / "b.npy", numbered(5, 7))
        extra = {"depth": numbered(3, 2, 8, 6)}
        samples = read_all(
            tmp_path / "a.npy",
            tmp_path / "b.npy",
            tmp_path / "a.npy",
            inputs=[IMAGE, DEPTH],
            extra=extra,
        )
        assert samples[1].error is not None
        for index in (0, 2):
            np.testing.assert_array_equal(samples[index].arrays["depth"], extra["depth"][index])

    def test_too_few_extras(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(3, 1, 8, 6))
        samples = read_all(
            tmp_path / "a.npy", inputs=[IMAGE, DEPTH], extra={"depth": numbered(2, 2, 8, 6)}
        )
        assert [sample.error is None for sample in samples] == [True, True, False]
        assert "'depth' has 2 samples" in str(samples[2].error)

    def test_extras_alone(self) -> None:
        extra = {"image": numbered(3, 1, 8, 6), "depth": numbered(1, 2, 8, 6)}
        samples = read_all(inputs=[IMAGE, DEPTH], extra=extra)
        assert len(samples) == 3
        np.testing.assert_array_equal(samples[2].arrays["image"], extra["image"][2])
        np.testing.assert_array_equal(samples[2].arrays["depth"], extra["depth"][0])

    def test_extras_alone_of_different_lengths(self) -> None:
        extra = {"image": numbered(3, 1, 8, 6), "depth": numbered(2, 2, 8, 6)}
        with pytest.raises(SampleError, match="different numbers of samples: image 3, depth 2"):
            read_all(inputs=[IMAGE, DEPTH], extra=extra)

    def test_a_missing_input_says_how_to_give_it(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", numbered(1, 8, 6))
        (sample,) = read_all(tmp_path / "a.npy", inputs=[IMAGE, DEPTH])
        assert "input 'depth' has no array (give --input depth=FILE" in str(sample.error)

    def test_a_picture_feeds_the_first_input(self, tmp_path: Path) -> None:
        Image.new("L", (6, 8), 9).save(tmp_path / "a.png")
        (sample,) = read_all(
            tmp_path / "a.png", inputs=[IMAGE, DEPTH], extra={"depth": numbered(1, 2, 8, 6)}
        )
        assert sample.error is None
        np.testing.assert_array_equal(sample.arrays["image"], np.full((1, 8, 6), 9))


class TestPictures:
    """Picture files."""

    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".ppm", ".gif", ".webp"])
    def test_lossless_colours(self, tmp_path: Path, suffix: str) -> None:
        pixels = np.zeros((8, 6, 3), np.uint8)
        pixels[:4], pixels[4:] = (255, 0, 0), (0, 0, 255)
        path = tmp_path / f"a{suffix}"
        Image.fromarray(pixels).save(path, lossless=True)
        array = read_one(path, RGB)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, pixels.transpose(2, 0, 1))
        np.testing.assert_array_equal(read_one(path, RGB_LAST), pixels)

    @pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
    def test_jpeg(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        Image.new("RGB", (6, 8), (200, 100, 50)).save(path, "JPEG", quality=95)
        np.testing.assert_allclose(read_one(path, RGB).mean(axis=(1, 2)), (200, 100, 50), atol=3)

    def test_the_content_counts_not_the_suffix(self, tmp_path: Path) -> None:
        Image.new("L", (6, 8), 7).save(tmp_path / "a", "PNG")
        np.testing.assert_array_equal(read_one(tmp_path / "a"), np.full((1, 8, 6), 7))

    def test_grayscale_for_a_colour_model(self, tmp_path: Path) -> None:
        gray = numbered(8, 6).astype(np.uint8)
        Image.fromarray(gray).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_one(tmp_path / "a.png", RGB), np.stack([gray] * 3))

    def test_colour_for_a_gray_model_is_luma(self, tmp_path: Path) -> None:
        Image.new("RGB", (6, 8), (200, 100, 50)).save(tmp_path / "a.png")
        # ITU-R 601-2: 0.299 R + 0.587 G + 0.114 B = 124.2
        np.testing.assert_array_equal(read_one(tmp_path / "a.png"), np.full((1, 8, 6), 124))

    def test_alpha_is_left_out_for_three_channels_and_kept_for_four(self, tmp_path: Path) -> None:
        Image.new("RGBA", (6, 8), (10, 20, 30, 40)).save(tmp_path / "a.png")
        assert read_one(tmp_path / "a.png", RGB)[:, 0, 0].tolist() == [10, 20, 30]
        four = ModelInput("x", (None, 4, 8, 6), Axes(0, 1), "float32")
        assert read_one(tmp_path / "a.png", four)[:, 0, 0].tolist() == [10, 20, 30, 40]

    def test_palette(self, tmp_path: Path) -> None:
        picture = Image.new("P", (6, 8), 1)
        picture.putpalette([0, 0, 0, 250, 120, 60])
        picture.save(tmp_path / "a.png")
        assert read_one(tmp_path / "a.png", RGB)[:, 0, 0].tolist() == [250, 120, 60]

    def test_a_palette_with_transparency_gives_no_warning(self, tmp_path: Path) -> None:
        picture = Image.new("P", (6, 8), 1)
        picture.putpalette([0, 0, 0, 250, 120, 60])
        picture.save(tmp_path / "a.png", transparency=bytes([0, 128]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            array = read_one(tmp_path / "a.png", RGB)
        assert array[:, 0, 0].tolist() == [250, 120, 60]
        assert [str(each.message) for each in caught] == []

    def test_black_and_white(self, tmp_path: Path) -> None:
        Image.new("1", (6, 8), 1).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_one(tmp_path / "a.png"), np.full((1, 8, 6), 255))

    @pytest.mark.parametrize("spec", [GRAY, RGB])
    @pytest.mark.parametrize(("deep", "shallow"), [(65535, 255), (257 * 100, 100), (0, 0)])
    def test_sixteen_bit_pixels_are_brought_to_0_to_255(
        self, tmp_path: Path, spec: ModelInput, deep: int, shallow: int
    ) -> None:
        Image.fromarray(np.full((8, 6), deep, np.uint16)).save(tmp_path / "a.png")
        array = read_one(tmp_path / "a.png", spec)
        np.testing.assert_allclose(array, np.full(array.shape, shallow), atol=1e-3)

    def test_sixteen_bit_pixels_keep_their_depth(self, tmp_path: Path) -> None:
        deep = np.full((8, 6), 25700, np.uint16)
        deep[0, 0] += 64  # less than one of 256 steps
        Image.fromarray(deep).save(tmp_path / "a.png")
        array = read_one(tmp_path / "a.png")
        assert array[0, 0, 0] > array[0, 0, 1]

    def test_resizing_is_bilinear(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 100]] * 2, np.uint8)).save(tmp_path / "a.png")
        spec = ModelInput("x", (None, 1, 2, 4), Axes(0, 1), "float32")
        # Centres at 0.25, 0.75, 1.25, 1.75 between those of the source at 0.5 and 1.5.
        np.testing.assert_array_equal(read_one(tmp_path / "a.png", spec)[0], [[0, 25, 75, 100]] * 2)

    def test_shrinking_averages(self, tmp_path: Path) -> None:
        stripes = np.tile(np.array([0, 200], np.uint8), (80, 30))
        Image.fromarray(stripes).save(tmp_path / "a.png")
        np.testing.assert_allclose(read_one(tmp_path / "a.png"), np.full((1, 8, 6), 100), atol=15)

    def test_width_and_height_are_not_mixed_up(self, tmp_path: Path) -> None:
        pixels = np.zeros((16, 12), np.uint8)
        pixels[:8] = 200
        Image.fromarray(pixels).save(tmp_path / "a.png")
        array = read_one(tmp_path / "a.png")[0]
        assert array.shape == (8, 6)
        assert array[0].min() == 200
        assert array[-1].max() == 0

    def test_open_sizes_keep_the_pictures_size(self, tmp_path: Path) -> None:
        Image.new("RGB", (31, 17)).save(tmp_path / "a.png")
        assert read_one(tmp_path / "a.png", OPEN).shape == (3, 17, 31)

    def test_one_open_size_keeps_the_other(self, tmp_path: Path) -> None:
        Image.new("RGB", (31, 17)).save(tmp_path / "a.png")
        spec = ModelInput("x", (None, 3, 8, None), Axes(0, 1), "float32")
        array = read_one(tmp_path / "a.png", spec)
        assert array.shape[:2] == (3, 8)

    def test_open_channels_are_colour(self, tmp_path: Path) -> None:
        Image.new("L", (6, 8)).save(tmp_path / "a.png")
        spec = ModelInput("x", (None, None, 8, 6), Axes(0, 1), "float32")
        assert read_one(tmp_path / "a.png", spec).shape == (3, 8, 6)

    def test_scale_mean_std_are_exact(self, tmp_path: Path) -> None:
        Image.new("RGB", (6, 8), (200, 100, 51)).save(tmp_path / "a.png")
        rules = PixelRules(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        expected = np.array(
            [
                (200 / 255 - 0.485) / 0.229,
                (100 / 255 - 0.456) / 0.224,
                (51 / 255 - 0.406) / 0.225,
            ],
            np.float32,
        )
        array = read_one(tmp_path / "a.png", RGB, rules=rules)
        np.testing.assert_allclose(array[:, 3, 3], expected, rtol=1e-6)

    def test_one_mean_and_std_serve_all_channels(self, tmp_path: Path) -> None:
        Image.new("RGB", (6, 8), (200, 100, 50)).save(tmp_path / "a.png")
        array = read_one(tmp_path / "a.png", RGB, rules=PixelRules(0.5, (10.0,), (4.0,)))
        assert array[:, 0, 0].tolist() == [22.5, 10.0, 3.75]

    def test_bgr_swaps_pixels_not_means(self, tmp_path: Path) -> None:
        Image.new("RGB", (6, 8), (200, 100, 50)).save(tmp_path / "a.png")
        rules = PixelRules(1.0, (1.0, 2.0, 3.0), (1.0,), "bgr")
        array = read_one(tmp_path / "a.png", RGB, rules=rules)
        assert array[:, 0, 0].tolist() == [49.0, 98.0, 197.0]

    def test_bgr_leaves_alpha_last(self, tmp_path: Path) -> None:
        Image.new("RGBA", (6, 8), (10, 20, 30, 40)).save(tmp_path / "a.png")
        pixels = read_picture(tmp_path / "a.png", 4, None, None, PixelRules(channel_order="bgr"))
        assert pixels[0, 0].tolist() == [30, 20, 10, 40]

    def test_bgr_of_a_gray_model_changes_nothing(self, tmp_path: Path) -> None:
        Image.new("L", (6, 8), 9).save(tmp_path / "a.png")
        pixels = read_picture(tmp_path / "a.png", 1, None, None, PixelRules(channel_order="bgr"))
        np.testing.assert_array_equal(pixels, np.full((8, 6, 1), 9))

    @pytest.mark.parametrize("name", ["mean", "std"])
    def test_a_wrong_number_of_means(self, tmp_path: Path, name: str) -> None:
        Image.new("RGB", (6, 8)).save(tmp_path / "a.png")
        two = (1.0, 2.0)
        rules = PixelRules(mean=two) if name == "mean" else PixelRules(std=two)
        assert f"--{name} has 2 values for 3 channels" in error_of(
            tmp_path / "a.png", RGB, rules=rules
        )

    @pytest.mark.parametrize(("suffix", "size"), [(".png", 600), (".jpg", 700), (".png", 20)])
    def test_a_truncated_picture(self, tmp_path: Path, suffix: str, size: int) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
        path = tmp_path / f"a{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(SampleError, match=r"(?i)a\.(png|jpg).*(truncated|broken)"):
            read_picture(path, 3, 8, 6, PixelRules())

    @pytest.mark.parametrize("content", [b"", b"hello", bytes(1000)])
    def test_no_picture(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(content)
        with pytest.raises(SampleError, match=r"a\.png is no picture that can be read"):
            read_picture(path, 3, 8, 6, PixelRules())

    @pytest.mark.parametrize("side", [10_000, 20_000])
    def test_a_decompression_bomb_is_refused_by_its_header(self, tmp_path: Path, side: int) -> None:
        """Over Pillow's first limit, and over its second."""
        path = tmp_path / "a.png"
        path.write_bytes(png_header(side, side))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(SampleError, match=r"a\.png is too large a picture"):
                read_picture(path, 1, 8, 6, PixelRules())
        assert [str(each.message) for each in caught] == []

    @pytest.mark.parametrize(("spec", "shape"), [(SEQUENCE, r"(10, 4)"), (FLAT, "(5")])
    def test_a_picture_for_a_model_that_takes_none(
        self, tmp_path: Path, spec: ModelInput, shape: str
    ) -> None:
        Image.new("L", (6, 8)).save(tmp_path / "a.png")
        said = error_of(tmp_path / "a.png", spec)
        assert f"a picture does not fit input {spec.name!r} of shape {shape}" in said
        assert "give an array file" in said

    def test_a_picture_for_a_model_of_two_channels(self, tmp_path: Path) -> None:
        Image.new("L", (6, 8)).save(tmp_path / "a.png")
        assert "1, 3 or 4 channels, the model's input 2" in error_of(tmp_path / "a.png", DEPTH)

    def test_values_that_are_not_finite_stay_so(self, tmp_path: Path) -> None:
        """The first is a signalling NaN, of which NumPy warns."""
        bits = np.array([0x7FA00000, 0x7F800000, 0x3F800000], np.uint32)
        Image.fromarray(bits.view(np.float32)[np.newaxis]).save(tmp_path / "a.tif")
        found = read_picture(tmp_path / "a.tif", 1, 1, 3, PixelRules())
        np.testing.assert_array_equal(found.ravel(), [np.nan, np.inf, 1])


class TestCast:
    """Integer inputs hold what they are given, or say why not."""

    SPEC = ModelInput("x", (None, 1, 8, 6), Axes(0, 1), "uint8")

    @pytest.mark.parametrize("values", [np.full((1, 8, 6), 0.5), np.full((1, 8, 6), 256)])
    def test_values_that_an_integer_cannot_hold(self, values: Any) -> None:
        with pytest.raises(SampleError, match=r"input 'x' takes uint8; the sample has values"):
            cast_sample(values, self.SPEC)

    def test_whole_numbers_in_floats(self) -> None:
        cast = cast_sample(np.full((1, 8, 6), 255.0), self.SPEC)
        assert cast.dtype == np.uint8
        assert (cast == 255).all()

    def test_a_single_number_has_no_axis(self) -> None:
        cast = cast_sample(np.array(16000), ModelInput("rate", (None,), Axes(0, None), "int64"))
        assert cast.shape == ()
        assert cast == 16000

    def test_memory_is_contiguous(self) -> None:
        turned = cast_sample(np.zeros((1, 6, 8), np.uint8).swapaxes(1, 2), self.SPEC)
        assert turned.flags.c_contiguous

    def test_resized_pictures_are_rounded(self, tmp_path: Path) -> None:
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
        assert read_one(tmp_path / "a.png", self.SPEC).dtype == np.uint8

    def test_pictures_stand_upright(self, tmp_path: Path) -> None:
        """A camera that was turned says so in the file's EXIF orientation."""
        image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.png", exif=exif)
        turned = np.rot90(np.asarray(image), -1)
        np.testing.assert_array_equal(read_one(tmp_path / "a.png")[0], turned)

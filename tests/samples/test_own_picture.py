"""A sample's own picture, from the array that a model is fed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples import OwnPicture, PixelRules, Sample, ShownInput, read_samples
from tests.helpers.models import Array, random_array

GREY = ModelInput("x", (None, 1, None, None), Axes(0, 1), "float32")
RGB = ModelInput("x", (None, 3, None, None), Axes(0, 1), "float32")
LAST = ModelInput("x", (None, None, None, 3), Axes(0, 3), "float32")
RGBA = ModelInput("x", (None, 4, None, None), Axes(0, 1), "float32")
CLIP = ModelInput("x", (None, 3, None, None, None), Axes(0, 1), "float32")
STEPS = ModelInput("x", (None, None, None), Axes(0, 2), "float32")
LEADS = ModelInput("x", (None, None, None), Axes(0, 1), "float32")
FLAT = ModelInput("x", (None, None), Axes(0, 1), "float32")
IMAGENET = PixelRules(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = PixelRules(1.0, (103.939, 116.779, 123.68), (1.0,), "bgr")


def find(
    array: Array, spec: ModelInput = GREY, rules: PixelRules | None = None
) -> OwnPicture | None:
    kept = ShownInput([spec]).keep({spec.name: array})
    return kept.picture(None if rules is None else {spec.name: rules})


def own(array: Array, spec: ModelInput = GREY, rules: PixelRules | None = None) -> OwnPicture:
    found = find(array, spec, rules)
    assert found is not None
    return found


def pixels_of(picture: OwnPicture | None) -> Array:
    assert picture is not None
    assert picture.pixels is not None
    return picture.pixels


def pixels(array: Array, spec: ModelInput = GREY, rules: PixelRules | None = None) -> Array:
    return pixels_of(find(array, spec, rules))


def series_of(picture: OwnPicture) -> Array:
    assert picture.series is not None
    return picture.series


class TestArrays:
    """Arrays of a few cells."""

    def test_one_channel_is_grey_from_its_minimum_to_its_maximum(self) -> None:
        found = own(np.array([[[-1.0, 0.0], [1.0, 3.0]]], np.float32))
        assert found.kind == "picture"
        assert found.bounds == (-1, 3)
        assert found.size == (2, 2)
        np.testing.assert_array_equal(pixels_of(found)[..., 0], [[0, 64], [128, 255]])
        np.testing.assert_array_equal(pixels_of(found)[..., 0], pixels_of(found)[..., 2])

    @pytest.mark.parametrize("spec", [RGB, LAST])
    def test_three_channels_share_one_minimum_and_maximum(self, spec: ModelInput) -> None:
        array = np.zeros((3, 2, 2), np.float32)
        array[0], array[1], array[2] = 2.0, -2.0, 0.0
        given = array if spec is RGB else np.moveaxis(array, 0, -1)
        np.testing.assert_array_equal(pixels(given, spec)[1, 1], [255, 0, 128])

    @pytest.mark.parametrize("channels", [2, 4, 7])
    def test_other_numbers_of_channels_are_shown_by_their_mean(self, channels: int) -> None:
        spec = ModelInput("x", (None, channels, 2, 2), Axes(0, 1), "float32")
        array = random_array(0, channels, 2, 2)
        mean = array.mean(axis=0)
        wanted = (mean - mean.min()) / (mean.max() - mean.min()) * 255
        found = own(array, spec)
        assert found.bounds is not None
        np.testing.assert_array_equal(pixels_of(found)[..., 0], pixels_of(found)[..., 1])
        np.testing.assert_allclose(pixels_of(found)[..., 0], wanted, atol=1)
        np.testing.assert_allclose(found.bounds, (mean.min(), mean.max()), atol=0.02)

    def test_few_large_values_do_not_leave_all_others_black(self) -> None:
        table = np.abs(random_array(20, 1, 24, 41))
        table[0, :3, 5] = 500
        found = own(table)
        assert found.is_log
        assert found.bounds == (table.min(), 500)
        grey = pixels_of(found)[..., 0]
        assert np.ptp(np.percentile(grey, [10, 90])) > 60
        assert (grey.min(), grey.max()) == (0, 255)
        # Larger values are lighter.
        order = np.argsort(table[0], axis=None)
        assert (np.diff(grey.reshape(-1)[order].astype(int)) >= 0).all()

    @pytest.mark.parametrize(
        "array",
        [
            random_array(21, 1, 20, 20),
            random_array(22, 1, 20, 20) ** 2,
            np.eye(30, dtype=np.float32)[np.newaxis],
            np.pad(random_array(23, 1, 4, 4), ((0, 0), (20, 20), (20, 20))),
        ],
    )
    def test_other_values_are_shown_in_proportion(self, array: Array) -> None:
        found = own(array)
        assert not found.is_log
        wanted = (array[0] - array.min()) / (array.max() - array.min()) * 255
        np.testing.assert_allclose(pixels_of(found)[..., 0], wanted, atol=0.51)

    def test_a_constant_is_grey(self) -> None:
        assert set(pixels(np.full((1, 3, 3), 7.0, np.float32)).flat) == {128}

    def test_cells_that_are_not_finite_are_transparent(self) -> None:
        array = np.array([[[0.0, np.nan], [np.inf, 2.0]]], np.float32)
        found = pixels(array)
        np.testing.assert_array_equal(found[..., 3], [[255, 0], [0, 255]])
        np.testing.assert_array_equal(found[..., 0][found[..., 3] > 0], [0, 255])

    @pytest.mark.parametrize("array", [np.full((1, 2, 2), np.nan), np.empty((1, 0, 2))])
    def test_without_a_finite_value_there_is_none(self, array: Array) -> None:
        assert find(array.astype(np.float32)) is None

    @pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool"])
    def test_any_element_type(self, dtype: str) -> None:
        np.testing.assert_array_equal(
            pixels(np.eye(3).astype(dtype)[None])[..., 0], np.eye(3) * 255
        )

    def test_extremes_of_float32_have_a_difference(self) -> None:
        largest = np.finfo(np.float32).max
        found = pixels(np.array([[[-largest, 0.0, largest]] * 2], np.float32))
        np.testing.assert_array_equal(found[0, :, 0], [0, 128, 255])


class TestLargeArrays:
    """Arrays that are too large to be kept."""

    @pytest.mark.parametrize("size", [(224, 224), (301, 150), (149, 700)])
    def test_cells_are_means_and_the_proportions_stay(self, size: tuple[int, int]) -> None:
        array = random_array(1, 3, *size)
        found = own(array, RGB)
        assert found.bounds is not None
        height, width = pixels_of(found).shape[:2]
        assert max(height, width) <= 150
        assert found.size == size
        assert height / width == pytest.approx(size[0] / size[1], rel=0.02)
        block = -(-max(size) // 150)
        low, high = found.bounds
        shown = pixels_of(found) / 255 * (high - low) + low
        for row, column in ((0, 0), (3, 5), (height - 1, width - 1)):
            part = array[:, row * block :, column * block :][:, :block, :block]
            np.testing.assert_allclose(
                shown[row, column], part.mean(axis=(1, 2)), atol=(high - low) / 255
            )

    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 224, 224), (40, 512, 512), (4, 600, 600)])
    def test_what_is_kept_is_small_and_no_view(self, shape: tuple[int, ...]) -> None:
        spec = ModelInput("x", (None, *shape), Axes(0, 1), "float32")
        batch = random_array(2, 2, *shape)
        kept = ShownInput([spec]).keep({"x": batch[0]})
        assert len(pickle.dumps(kept)) < 101_000
        before = pixels_of(pickle.loads(pickle.dumps(kept)).picture(None))
        batch[...] = random_array(3, 2, *shape)
        np.testing.assert_array_equal(pixels_of(kept.picture(None)), before)

    def test_large_and_small_arrays_look_alike(self) -> None:
        small = random_array(4, 3, 80, 80)
        large = small.repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(pixels(small, RGB), pixels(large, RGB))


class TestPictureFiles:
    """Pictures whose pixels are known."""

    @pytest.mark.parametrize(
        "rules", [PixelRules(), IMAGENET, CAFFE, PixelRules(1 / 127.5, (1.0,))]
    )
    @pytest.mark.parametrize("spec", [RGB, LAST])
    def test_the_colours_are_those_of_the_file(
        self, rules: PixelRules, spec: ModelInput, tmp_path: Path
    ) -> None:
        stored = np.random.default_rng(5).integers(30, 200, (20, 30, 3), np.uint8)
        found = self.read(stored, spec, rules, tmp_path)
        assert found.bounds is None
        np.testing.assert_allclose(pixels_of(found).astype(int), stored, atol=1)

    def test_a_large_photo_keeps_its_colours(self, tmp_path: Path) -> None:
        stored = np.zeros((300, 300, 3), np.uint8)
        stored[..., 0], stored[:, 150:, 2] = 200, 90
        found = pixels_of(self.read(stored, RGB, CAFFE, tmp_path)).astype(int)
        np.testing.assert_allclose(found[0, 0], [200, 0, 0], atol=1)
        np.testing.assert_allclose(found[-1, -1], [200, 0, 90], atol=1)

    def test_a_dark_picture_stays_dark(self, tmp_path: Path) -> None:
        stored = np.tile(np.arange(20, dtype=np.uint8), (10, 1))
        found = pixels_of(self.read(stored, GREY, IMAGENET_GREY, tmp_path))
        np.testing.assert_array_equal(found[..., 1], stored)

    def test_an_evenly_coloured_picture_has_its_colour(self, tmp_path: Path) -> None:
        stored = np.full((4, 4), 240, np.uint8)
        assert set(pixels_of(self.read(stored, GREY, IMAGENET_GREY, tmp_path)).flat) == {240}

    def test_transparent_pixels_are_as_on_white_paper(self, tmp_path: Path) -> None:
        stored = np.zeros((2, 2, 4), np.uint8)
        stored[0] = [200, 0, 0, 255]
        stored[1] = [200, 0, 0, 0]
        found = pixels_of(self.read(stored, RGBA, PixelRules(), tmp_path)).astype(int)
        np.testing.assert_allclose(found[:, 0], [[200, 0, 0], [255, 255, 255]], atol=1)

    def test_a_float_picture_from_0_to_1_is_not_black(self, tmp_path: Path) -> None:
        path = tmp_path / "float.tif"
        Image.fromarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)).save(path)
        (sample,) = read_samples([str(path)], [GREY])
        found = picture_of(sample, GREY)
        assert found.bounds == (0, 1)
        assert pixels_of(found).max() == 255

    def test_a_scale_of_0_leaves_no_colours_to_tell(self, tmp_path: Path) -> None:
        stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
        found = self.read(stored, GREY, PixelRules(0.0), tmp_path)
        assert found.bounds == (0, 0)

    def test_an_array_file_has_no_colours_of_its_own(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", random_array(6, 3, 5, 5))
        (sample,) = read_samples([str(tmp_path / "a.npy")], [RGB], rules=IMAGENET)
        assert sample.pixel_rules is None
        assert picture_of(sample, RGB).bounds is not None

    def read(self, stored: Array, spec: ModelInput, rules: PixelRules, folder: Path) -> OwnPicture:
        Image.fromarray(stored).save(folder / "a.png")
        (sample,) = read_samples([str(folder / "a.png")], [spec], rules=rules)
        return picture_of(sample, spec)


IMAGENET_GREY = PixelRules(1 / 255, (0.5,), (0.25,))


def picture_of(sample: Sample, spec: ModelInput) -> OwnPicture:
    assert sample.error is None
    found = ShownInput([spec]).keep(sample.arrays).picture(sample.pixel_rules)
    assert found is not None
    return found


class TestOtherShapes:
    """What is no picture."""

    def test_a_clip_is_shown_by_its_middle_frame(self) -> None:
        array = random_array(7, 3, 9, 6, 5)
        found = own(array, CLIP)
        assert found.slice == (4, 9)
        np.testing.assert_array_equal(pixels_of(found), pixels(array[:, 4], RGB))

    @pytest.mark.parametrize("spec", [STEPS, LEADS])
    def test_few_channels_over_time_are_waveforms_with_all_peaks(self, spec: ModelInput) -> None:
        signal = np.zeros((12, 5003), np.float32)
        signal[3, 1234], signal[7, 5002] = 9.0, -4.0
        found = own(signal if spec is LEADS else signal.T, spec)
        assert (found.kind, found.pixels) == ("waveform", None)
        series = series_of(found)
        assert found.size == (12, 5003)
        assert found.bounds == (-4, 9)
        assert series.shape[0] == 12
        assert series.shape[1] <= 200
        assert series_of(found)[3, :, 1].max() == 9
        assert series_of(found)[7, -1].tolist() == [-4, 0]
        assert np.count_nonzero(series) == 2

    def test_gaps_of_a_waveform_are_nan(self) -> None:
        signal = np.linspace(0, 1, 32, dtype=np.float32)[:, np.newaxis]
        signal[3], signal[5] = np.nan, np.inf
        found = own(signal, STEPS)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(series_of(found)[0, :, 0])), [3, 5])
        assert found.bounds == (0, 1)

    def test_a_gap_in_a_column_leaves_its_other_values(self) -> None:
        signal = np.arange(400, dtype=np.float32)[:, np.newaxis]
        signal[0] = np.nan
        found = own(signal, STEPS)
        assert series_of(found)[0, 0].tolist() == [1, 1]

    def test_many_features_over_time_are_a_strip_with_time_to_the_right(self) -> None:
        array = random_array(8, 24, 30)
        found = own(array, STEPS)
        assert found.kind == "strip"
        assert pixels_of(found).shape == (30, 24, 3)

    def test_each_side_of_a_strip_shrinks_by_itself(self) -> None:
        found = own(random_array(9, 1000, 300), STEPS)
        assert found.size == (300, 1000)
        assert pixels_of(found).shape[:2] == (150, 143)

    @pytest.mark.parametrize(
        ("spec", "shape"), [(FLAT, (78,)), (GREY, (1, 1, 78)), (GREY, (1, 78, 1)), (STEPS, (1, 78))]
    )
    def test_a_single_row_is_a_strip(self, spec: ModelInput, shape: tuple[int, ...]) -> None:
        array = random_array(10, *shape)
        found = own(array, spec)
        assert found.kind == "strip"
        assert set(found.size) == {1, 78}

    def test_channels_of_a_single_row_are_features(self) -> None:
        found = own(random_array(11, 3, 1, 40), RGB)
        assert found.kind == "strip"
        assert found.size == (3, 40)

    def test_a_single_number(self) -> None:
        spec = ModelInput("x", (), Axes(None, None), "float32")
        assert pixels(np.array(3.0, np.float32), spec).shape == (1, 1, 3)

    def test_more_axes_than_are_understood(self) -> None:
        spec = ModelInput("x", (None, 2, 2, 2, 2, 3), Axes(0, 5), "float32")
        assert find(random_array(15, 2, 2, 2, 2, 3), spec) is None

    def test_without_a_batch_axis(self) -> None:
        spec = ModelInput("x", (3, 4, 5), Axes(None, 0), "float32")
        assert pixels(random_array(12, 3, 4, 5), spec).shape == (4, 5, 3)

    def test_the_first_spatial_input_is_shown_and_the_others_are_counted(self) -> None:
        inputs = [FLAT, ModelInput("p", (None, 1, 4, 5), Axes(0, 1), "float32")]
        kept = ShownInput(inputs).keep({"x": random_array(13, 6), "p": random_array(14, 1, 4, 5)})
        found = kept.picture({"x": IMAGENET})
        assert found is not None
        assert (found.size, found.further_inputs) == ((4, 5), 1)
        assert found.bounds is not None

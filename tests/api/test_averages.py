"""Means and deviations of maps, against NumPy on the whole array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import micam_fast
from micam_fast.api.averages import Average
from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.demo import DIGITS, MODEL
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.labels import label_parts
from micam_fast.diagrams.marks import Picture, Text
from micam_fast.diagrams.style import Style
from micam_fast.maps.sample_maps import SampleMaps
from tests.helpers.clips import frames_net
from tests.helpers.models import random_array
from tests.helpers.posters import residual_explanation


@pytest.fixture(scope="module")
def explanations() -> list[Explanation]:
    return list(micam_fast.load_model(MODEL).explain_many(np.load(DIGITS)))


def average(explanations: list[Explanation]) -> Average:
    made = Average()
    for each in explanations:
        made.add(each)
    return made


def with_cells(explanation: Explanation, cells: np.ndarray, ranges: np.ndarray) -> Explanation:
    maps = explanation.maps
    assert isinstance(maps, SampleMaps)
    return replace(
        explanation, maps=SampleMaps(maps.layout, cells.astype(np.float32), ranges, {"conv_1": 4})
    )


def test_mean_and_deviation_of_each_cell(explanations: list[Explanation]) -> None:
    found = average(explanations)
    assert found.count == 10
    mean, deviation = found.mean(sample="mean of 10"), found.deviation()
    for name in explanations[0].cams:
        cells = np.stack([each.cams[name] for each in explanations]).astype(np.float64)
        np.testing.assert_allclose(mean.cams[name], cells.mean(axis=0), rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(deviation.cams[name], cells.std(axis=0), rtol=1e-6, atol=1e-30)
        assert mean.maps[name].minimum == mean.cams[name].min()
        assert mean.maps[name].maximum == mean.cams[name].max()
    assert mean.sample == "mean of 10"
    assert mean.prediction is None
    assert mean.output is None


@pytest.mark.parametrize("parts", [[1, 9], [5, 5], [3, 3, 4], [0, 10]])
def test_parts_merge_to_the_whole(explanations: list[Explanation], parts: list[int]) -> None:
    whole = average(explanations)
    merged, begin = Average(), 0
    for size in parts:
        merged.merge(average(explanations[begin : begin + size]))
        begin += size
    assert merged.count == 10
    for name, cam in whole.mean().cams.items():
        np.testing.assert_allclose(merged.mean().cams[name], cam, rtol=1e-6, atol=1e-30)
    for name, cam in whole.deviation().cams.items():
        np.testing.assert_allclose(merged.deviation().cams[name], cam, rtol=1e-6, atol=1e-30)


def test_a_small_deviation_beside_a_large_mean_is_not_lost(explanations: list[Explanation]) -> None:
    maps = explanations[0].maps
    assert isinstance(maps, SampleMaps)
    found = Average()
    for offset in (0, 1, 2, 3) * 250:
        found.add(with_cells(explanations[0], 0 * maps.cells + 2**20 + offset, maps.ranges))
    for cam in found.deviation().cams.values():
        np.testing.assert_allclose(cam, np.std([0, 1, 2, 3]), rtol=1e-7)


def test_a_layer_that_is_not_finite_does_not_count(explanations: list[Explanation]) -> None:
    maps = explanations[1].maps
    assert isinstance(maps, SampleMaps)
    ranges = maps.ranges.copy()
    ranges[maps.layout.index["conv_1"]] = np.nan
    broken = with_cells(explanations[1], np.full(len(maps.cells), np.nan), ranges)
    cells = broken.maps
    assert isinstance(cells, SampleMaps)
    found = average([explanations[0], broken])
    np.testing.assert_array_equal(found.mean().cams["conv_1"], explanations[0].cams["conv_1"])
    alone = average([broken]).mean()
    assert alone.maps["conv_1"].bad_values == 4
    assert np.isnan(alone.ranges["conv_1"]).all()


def test_samples_of_other_sizes_have_no_mean(explanations: list[Explanation]) -> None:
    found = average(explanations)
    fewer = micam_fast.load_model(MODEL, layers="conv_1").explain(np.load(DIGITS)[0])
    with pytest.raises(SampleError, match="a sample has maps of other sizes than the first one"):
        found.add(fewer)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("counts", [(2, 5), (5, 1), (2, 5, 2)])
def test_clips_of_other_lengths_share_no_number_of_frames(
    counts: tuple[int, ...], merged: bool
) -> None:
    model = micam_fast.load_model(frames_net(), layers="fold,conv,y")
    clips = [random_array(n, n, 3, 8, 6) for n in counts]
    found = average([])
    for each in [model.explain(clip) for clip in clips]:
        if merged:
            found.merge(average([each]))
        else:
            found.add(each)
    mean = found.mean()
    conv = mean.maps["conv"]
    assert (conv.copies, conv.shape) == (None, (None, 4, 8, 6))
    assert conv.input_shapes == ((None, 3, 8, 6),)
    # What is equal in all stays.
    assert mean.maps["y"].shape == (None, 4, 1, 1)
    assert mean.maps["y"].copies == 1
    scene = micam_fast.load_model(frames_net()).layers
    (layer,) = (each for each in scene if each.name == "conv")
    lines, _, _ = label_parts(layer, conv)
    assert "O: (None, 4, 8, 6)" in lines
    assert "mean over the batch axis" in lines
    assert isinstance(mean.maps, SampleMaps)
    assert mean.maps.layout.sized["x"].output_shape == (None, None, 3, 8, 6)


def test_clips_of_one_length_keep_their_number_of_frames() -> None:
    model = micam_fast.load_model(frames_net())
    mean = average([model.explain(clip) for clip in random_array(1, 2, 5, 3, 8, 6)]).mean()
    assert mean.maps["conv"].copies == 5
    assert mean.maps["conv"].shape == (5, 4, 8, 6)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(SampleError, match="no sample to take the mean of"):
        Average().mean()


def test_posters_of_mean_and_deviation_say_what_they_are() -> None:
    """They have neither a sample's own picture nor a prediction, which no mean has."""
    one = residual_explanation(8)
    both = average([one, replace(one, maps=one.maps)])
    style = Style("flat", drawing="poster")
    for found, said in (
        (both.mean(sample="mean of 2 samples"), "mean of 2 samples"),
        (both.deviation(sample="deviation of 2 samples"), "deviation of 2 samples"),
        (replace(one, sample="x.npy"), "x.npy"),
    ):
        template, fillings = fill_template(found, style, native=True)
        marks = template.blank.fill(fillings).marks
        header = [m for m in marks if isinstance(m, Text | Picture) and m.y < 98 and m.x < 432]
        assert said in [mark.text for mark in header if isinstance(mark, Text)]
        predicted = [m for m in header if isinstance(m, Text) and m.text.startswith("class ")]
        pictures = [m for m in header if isinstance(m, Picture)]
        assert len(predicted) == len(pictures) == (found.fed is not None)

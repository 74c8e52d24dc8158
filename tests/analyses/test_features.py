"""The strongest cells of maps, and the input cells that they depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper, numpy_helper

import micam_fast
from micam_fast import demo
from micam_fast.analyses.features.features import (
    Feature,
    FeatureFinder,
    show_ranges,
    strongest_features,
    strongest_places,
)
from micam_fast.analyses.features.receptive_fields import read_cells
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.maps.taps import mean_taps
from tests.helpers.field_oracle import check_model, positive
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.models import (
    conv_net,
    make_model,
    open_net,
    random_array,
    single_conv,
    two_input_net,
)
from tests.helpers.real_models import load

DIGIT = 3


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    top=st.integers(1, 12),
)
def test_strongest_places(values: list[int], top: int) -> None:
    cam = np.array(values, np.float32).reshape(1, -1)
    expected = sorted(range(len(values)), key=lambda place: (-abs(values[place]), place))[:top]
    assert strongest_places(cam, top).tolist() == expected


def test_features_of_the_demo(demo_model: micam_fast.Model) -> None:
    sample = np.load(demo.DIGITS)[DIGIT]
    found = strongest_features(demo_model, sample, top=2, projection="transposed")
    cams = demo_model.explain(sample, projection="transposed").cams
    names = ["image", "conv_1", "relu_1", "pool_1", "conv_2", "relu_2", "pool_2"]
    assert [each.layer for each in found] == [name for name in names for _ in range(2)]
    for each in found:
        cam = np.abs(cams[each.layer])
        assert each.value == cams[each.layer][each.row, each.column]
        assert abs(each.value) >= np.sort(cam.reshape(-1))[-2]
        assert each.exact
    fields = {each.layer: each for each in found[::2]}
    # By hand: 5x5 kernels, pads of 2, pools of 2.
    image, relu, pool = fields["image"], fields["relu_1"], fields["pool_1"]
    assert image.rows == ((image.row, image.row),)
    assert relu.rows == ((max(0, relu.row - 2), min(27, relu.row + 2)),)
    assert pool.columns == ((max(0, 2 * pool.column - 2), min(27, 2 * pool.column + 3)),)


def test_circular_taps_reach_the_other_side() -> None:
    """SPEC section 2: the published projection reads row ``(y - u) mod h``."""
    model = micam_fast.load_model(single_conv(positive(1, 1, 1, 3, 2), ["N", 1, 12, 9]))
    sample = np.zeros((1, 12, 9), np.float32)
    fields = FeatureFinder(model).fields(model.explain(sample), sample)
    layer = fields.layer("conv")
    assert layer is not None
    # The kernel is applied turned: 2 rows of taps, 3 columns; on a grid of 10 x 8.
    corner = layer.cell(0, 0)
    assert corner.row_ranges == ((0, 2), (9, 11))
    assert corner.column_ranges == ((0, 1), (6, 8))
    inside = layer.cell(5, 4)
    assert (inside.row_ranges, inside.column_ranges) == (((4, 7),), ((2, 5),))
    np.testing.assert_array_equal(np.flatnonzero(corner.columns), [0, 1, 6, 7, 8])


def test_ranges_span_gaps_within_a_run() -> None:
    model = micam_fast.load_model(
        single_conv(positive(1, 1, 1, 2, 2), ["N", 1, 9, 9], dilations=[3, 4])
    )
    sample = np.zeros((1, 9, 9), np.float32)
    finder = FeatureFinder(model, "transposed")
    layer = finder.fields(model.explain(sample, projection="transposed"), sample).layer("conv")
    assert layer is not None
    # Column 4 is read by outputs 0 and 4, which are no neighbours but touch in the input.
    field = layer.cell(1, 4)
    np.testing.assert_array_equal(np.flatnonzero(field.rows), [1, 4])
    assert field.row_ranges == ((1, 4),)
    np.testing.assert_array_equal(np.flatnonzero(field.columns), [0, 4, 8])
    assert field.column_ranges == ((0, 8),)


def test_read_cells_of_a_mean_is_the_cell() -> None:
    taps = mean_taps(3, 4, 5)
    assert read_cells(taps, 2, 3).tolist() == [[2, 3]]


def test_flat_layers_and_maps_that_are_not_finite_are_left_out() -> None:
    model = micam_fast.load_model(conv_net())
    sample = random_array(1, 1, 8, 6)
    assert {each.layer for each in strongest_features(model, sample)} == {
        "x",
        "conv",
        "relu",
        "pool",
    }
    sample[0, 0, 0] = np.nan
    layers = {each.layer for each in strongest_features(model, sample)}
    assert "x" not in layers
    assert "conv" not in layers


def test_no_more_cells_than_there_are() -> None:
    model = micam_fast.load_model(conv_net(), layers="pool")
    found = strongest_features(model, random_array(1, 1, 8, 6), top=100)
    assert len(found) == 12
    assert len({(each.row, each.column) for each in found}) == 12


def test_samples_of_several_sizes() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])
    model = micam_fast.load_model(
        make_model([node], {"x": ["N", 1, "H", "W"]}, ["y"], {"w": positive(1, 1, 1, 3, 3)})
    )
    finder = FeatureFinder(model)
    # The first of equal cells; its circular taps read the last two rows, too.
    for size, rows in ((5, ((0, 4),)), (9, ((0, 1), (6, 8))), (5, ((0, 4),))):
        sample = np.zeros((1, size, 4), np.float32)
        (_, feature) = finder.find(model.explain(sample), sample, top=1)
        assert feature.rows == rows


def test_a_cell_that_depends_on_nothing() -> None:
    """A pad so wide that outer cells of the convolution see it alone."""
    model = micam_fast.load_model(
        single_conv(positive(1, 1, 1, 1, 1), ["N", 1, 3, 3], positive(2, 1), pads=[2, 2, 2, 2])
    )
    sample = np.zeros((1, 3, 3), np.float32)
    *_, feature = strongest_features(model, sample, top=1)
    assert (feature.rows, feature.columns, feature.exact) == ((), (), True)


def test_wrong_arguments() -> None:
    model = micam_fast.load_model(conv_net())
    sample = random_array(1, 1, 8, 6)
    with pytest.raises(ValueError, match="top must be at least 1, not 0"):
        strongest_features(model, sample, top=0)
    with pytest.raises(ValueError, match="unknown projection: 'sideways'"):
        strongest_features(model, sample, projection="sideways")  # type: ignore[arg-type]
    with pytest.raises(micam_fast.SampleError, match="a batch of 2 samples was given"):
        strongest_features(model, random_array(1, 2, 1, 8, 6))


def test_features_are_frozen() -> None:
    (feature, *_) = strongest_features(micam_fast.load_model(open_net()), random_array(1, 1, 8, 6))
    assert isinstance(feature, Feature)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'value'"):
        feature.value = 1.0  # type: ignore[misc]


def test_the_grid_is_the_first_spatial_input() -> None:
    model = micam_fast.load_model(two_input_net())
    sample = {"image": random_array(1, 1, 8, 6), "depth": random_array(2, 2, 8, 6)}
    layers = [each.layer for each in strongest_features(model, sample, top=1)]
    assert layers == ["image", "depth", "conv_image", "conv_depth", "add"]


@pytest.mark.parametrize(
    ("ranges", "names", "text"),
    [
        (((3, 9),), None, "3..9"),
        (((4, 4),), None, "4"),
        (((0, 1), (26, 27)), None, "0..1 and 26..27"),
        (((0, 2),), ("cpu_user", "cpu_nice", "cpu_sys"), "cpu_user..cpu_sys"),
        (((0, 0), (2, 2)), ("a", "b", "c"), "a and c"),
        ((), None, ""),
    ],
)
def test_ranges_as_text(ranges: Any, names: tuple[str, ...] | None, text: str) -> None:
    assert show_ranges(ranges, names) == text


# --- Models that nobody here made -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("name", ["mnist-8", "cls", "det", "shufflenet"])
def test_real_models_change_within_the_ranges_alone(
    name: str, projection: Projection, tmp_path: Path
) -> None:
    proto, shape = load(name, tmp_path)
    model = micam_fast.load_model(proto)
    sample = np.random.default_rng(1).random(shape, np.float32)
    found = strongest_features(model, sample, top=2, projection=projection)
    assert all(each.exact for each in found)
    rng = np.random.default_rng(2)
    changed = 0
    for row, column in rng.integers(0, shape[1:], (6, 2)):
        other = sample.copy()
        other[:, row, column] += 10
        cams = model.explain(other, projection=projection).cams
        for each in found:
            if cams[each.layer][each.row, each.column] != np.float32(each.value):
                changed += 1
                assert any(first <= row <= last for first, last in each.rows), each
                assert any(first <= column <= last for first, last in each.columns), each
    assert changed > 10


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize(
    "name",
    [
        "conv2d_dilated_same", "conv2d_grouped", "depthwise2d_strided", "separable2d_strided",
        "transpose2d_padded", "conv1d_causal_dilated", "conv3d_same", "max_pool_same",
        "zero_padding", "permute", "dense_on_picture", "group_norm", "functional", "nested_deep",
    ],
)  # fmt: skip
def test_keras_models(name: str, projection: Projection) -> None:
    from tests.helpers.keras_models import exported

    _, found = exported(name)
    proto = onnx.ModelProto()
    proto.CopyFrom(found.proto)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 4:
            weights = np.abs(numpy_helper.to_array(tensor)) + np.float32(0.1)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    model = micam_fast.load_model(proto, threads=1)
    shape = [size for size in model.inputs[0].shape[1:] if size is not None]
    axes = {2: (None, 0), 3: (0, 1), 4: (1, 2)}[len(shape)]
    check_model(model, positive(1, *shape), axes, projection, by=3.0)


@pytest.mark.slow
@needs_tensorflow
def test_keras_layers_with_a_loop_inside_are_told_at_most() -> None:
    from tests.helpers.keras_models import exported

    _, found = exported("gru_sequences")
    model = micam_fast.load_model(found.proto, threads=1)
    sample = positive(1, 9, 4)
    for each in strongest_features(model, sample, top=1):
        assert each.exact == (not each.layer.startswith("gru"))
        if not each.exact:
            assert (each.rows, each.columns) == (((0, 0),), ((0, 8),))

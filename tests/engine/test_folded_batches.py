"""Frames, windows and pairs in the batch axis, and inputs of one number, through whole models."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import micam_fast
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import LayerActivation
from tests.helpers import reference
from tests.helpers.activations import copies
from tests.helpers.chains import op
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run

FRAMES = 5
KERNEL, BIAS = random_array(1, 4, 3, 3, 3), random_array(2, 4)
CLIPS = random_array(3, 4, FRAMES, 3, 8, 6)
both = pytest.mark.parametrize("projection", PROJECTIONS)


def clip_net(**given: Any) -> onnx.ModelProto:
    """A clip ``(T, C, H, W)`` folded into the batch, through a CNN, and the mean of its frames."""
    nodes = [
        op("Reshape", "x folded", "fold"),
        op("Conv", "fold k b", "conv", **({"pads": [1] * 4} | given)),
        op("BatchNormalization", "conv scale shift mean variance", "norm"),
        op("Relu", "norm", "relu"),
        op("GlobalAveragePool", "relu", "pool"),
        op("Reshape", "pool apart", "unfold"),
        op("ReduceMean", "unfold", "y", axes=[1], keepdims=0),
    ]
    constants = {
        "folded": np.array([-1, 3, 8, 6]), "apart": np.array([-1, FRAMES, 4]), "k": KERNEL,
        "b": BIAS, "scale": random_array(4, 4), "shift": random_array(5, 4),
        "mean": random_array(6, 4), "variance": np.abs(random_array(7, 4)),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", FRAMES, 3, 8, 6]}, ["y"], constants)


def value_of(proto: onnx.ModelProto, clip: Array, name: str) -> Array:
    (found,) = run(proto, {"x": clip[np.newaxis]}, name)
    return found


def expected_map(proto: onnx.ModelProto, clip: Array, projection: Projection) -> Array:
    """The mean of the frames' own maps."""
    found = []
    for frame in value_of(proto, clip, "conv"):
        last = np.moveaxis(frame, 0, -1)
        if projection == "published":
            keras = np.moveaxis(KERNEL, (0, 1), (-1, -2))
            found.append(reference.published_conv(last, keras, BIAS))
        else:
            found.append(
                reference.adjoint_map(
                    last, KERNEL, BIAS, input_size=(8, 6), strides=(1, 1), pads_begin=(1, 1),
                    dilations=(1, 1), groups=1, transpose=False,
                )
            )  # fmt: skip
    return np.asarray(np.mean(found, axis=0))


def close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@both
@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("layers", [None, "conv,fold,pool", "relu,pool"])
def test_a_clip_in_the_batch_axis(
    projection: Projection, memory: int | None, layers: str | None
) -> None:
    proto = clip_net()
    model = micam_fast.load_model(proto, memory=memory, layers=layers)
    for clip, found in zip(CLIPS, model.explain_many(CLIPS, projection=projection), strict=True):
        for name, each in found.maps.items():
            array = value_of(proto, clip, name) if name != "x" else clip
            if name == "conv":
                close(each.cam, expected_map(proto, clip, projection))
            elif name == "pool":
                close(each.cam, reference.flat_map(array.mean(axis=0), *found.input_size))
            elif name in ("fold", "norm", "relu"):
                close(each.cam, array.mean(axis=(0, 1)))
            folded = name in ("fold", "conv", "norm", "relu", "pool")
            assert each.copies == (FRAMES if folded else 1)
            assert not folded or each.shape == array.shape
        assert found.output is not None
        close(found.output, value_of(proto, clip, "y")[0])


def test_bits_depend_on_no_batch_and_no_threads() -> None:
    """No wrong sharing: a batch of as many samples as there are frames looks like one clip."""
    clips = random_array(9, FRAMES + 1, FRAMES, 3, 8, 6)
    expected = [micam_fast.load_model(clip_net(), threads=1).explain(clip) for clip in clips]
    for threads, batch_size in ((1, FRAMES), (2, 2), (2, 1)):
        model = micam_fast.load_model(clip_net(), threads=threads)
        for one, other in zip(
            model.explain_many(clips, batch_size=batch_size), expected, strict=True
        ):
            for name, cam in other.cams.items():
                assert one.cams[name].tobytes() == cam.tobytes()
                assert one.maps[name].copies == other.maps[name].copies
            assert one.output is not None
            assert other.output is not None
            assert one.output.tobytes() == other.output.tobytes()


@both
def test_contributions_add_up_to_the_map(projection: Projection) -> None:
    model = micam_fast.load_model(clip_net())
    explanation = model.explain(CLIPS[0], projection=projection)
    (found,) = model.contributions([CLIPS[0]], copies, projection=projection)
    assert not isinstance(found, SampleError)
    for name in ("fold", "conv", "norm", "relu"):
        assert len(found[name]) == (3 if name == "fold" else 4)
        close(found[name].sum(axis=0, dtype=np.float64), explanation.cams[name])


def test_activations_are_means_and_all_values_are_there() -> None:
    proto = clip_net()
    model = micam_fast.load_model(proto)

    def take(index: int, slot: int, found: Any) -> dict[str, LayerActivation]:
        assert not isinstance(found, SampleError)
        kept = {}
        for each in found:
            array, values = each.array.copy(), each.values.copy()
            kept[each.layer] = LayerActivation(each.layer, array, None, each.copies, values)
        return kept

    (found,) = model.activations([CLIPS[1]], take)
    assert not isinstance(found, SampleError)
    for name in ("fold", "conv", "relu", "pool"):
        array = value_of(proto, CLIPS[1], name)
        each = found[name]
        assert each.copies == FRAMES
        mean = array.mean(axis=0)
        close(each.array, mean.reshape(-1) if name == "pool" else mean)
        assert each.whole is not None
        close(each.whole, np.moveaxis(array, 0, 1).reshape(len(array[0]), -1))
    assert found["x"].copies == 1


def test_statistics_count_each_frame() -> None:
    proto = clip_net()
    found = micam_fast.stats(micam_fast.load_model(proto), CLIPS)
    arrays = np.stack([value_of(proto, clip, "relu") for clip in CLIPS])
    layer = found.of("relu")
    by_channel = np.moveaxis(arrays, 2, 0).reshape(4, -1)
    assert layer.low == pytest.approx(by_channel.min(), rel=1e-5)
    assert layer.high == pytest.approx(by_channel.max(), rel=1e-5)
    assert layer.mean == pytest.approx(by_channel.mean(), rel=1e-5)
    assert found.of("conv").multiply_adds == FRAMES * 4 * 8 * 6 * 27


@both
def test_receptive_fields_are_those_of_all_frames(projection: Projection) -> None:
    """What lies outside of a cell's field changes the cell in no frame."""
    model = micam_fast.load_model(clip_net(), layers="conv,relu")
    explanation = model.explain(CLIPS[0], projection=projection)
    features = micam_fast.strongest_features(model, CLIPS[0], top=2, projection=projection)
    assert {feature.layer for feature in features} == {"conv", "relu"}
    for feature in features:
        inside = np.zeros((8, 6), bool)
        for first, last in feature.rows:
            for left, right in feature.columns:
                inside[first : last + 1, left : right + 1] = True
        assert not inside.all()
        other = np.where(inside, CLIPS[0], CLIPS[0] + 5).astype(np.float32)
        cams = model.explain(other, projection=projection).cams
        place = feature.row, feature.column
        assert cams[feature.layer][place] == pytest.approx(
            explanation.cams[feature.layer][place], rel=1e-4
        )
        assert not np.allclose(cams[feature.layer], explanation.cams[feature.layer])


def test_windows_with_channels_last() -> None:
    """``(N, H, W, C)`` cut in windows ``(N * 4, 4, 3, C)``, each normalized and convolved."""
    nodes = [
        op("Reshape", "x parts", "cut"),
        op("Transpose", "cut", "turned", perm=[0, 1, 3, 2, 4, 5]),
        op("Reshape", "turned join", "windows"),
        op("Transpose", "windows", "first", perm=[0, 3, 1, 2]),
        op("Conv", "first k b", "conv", pads=[1] * 4),
        op("Transpose", "conv", "back", perm=[0, 2, 3, 1]),
        op("Relu", "back", "relu"),
    ]
    constants = {
        "parts": np.array([-1, 2, 4, 2, 3, 3]), "join": np.array([-1, 4, 3, 3]), "k": KERNEL,
        "b": BIAS,
    }  # fmt: skip
    proto = make_model(nodes, {"x": ["N", 8, 6, 3]}, ["relu"], constants)
    samples = random_array(5, 3, 8, 6, 3)
    model = micam_fast.load_model(proto)
    for sample, found in zip(samples, model.explain_many(samples), strict=True):
        keras = np.moveaxis(KERNEL, (0, 1), (-1, -2))
        windows = np.moveaxis(value_of(proto, sample, "conv"), 1, -1)
        maps = [reference.published_conv(window, keras, BIAS) for window in windows]
        close(found.cams["conv"], np.mean(maps, axis=0))
        close(found.cams["relu"], value_of(proto, sample, "relu").mean(axis=(0, -1)))
        assert found.maps["conv"].copies == found.maps["relu"].copies == 4


def test_nothing_is_folded_where_the_batch_has_no_axis() -> None:
    """Positions that come first, as a list of coordinates does, of a single sample."""
    nodes = [
        op("Conv", "x k b", "conv"),
        op("Reshape", "conv lines", "rows"),
        op("CumSum", "rows first", "sums"),
    ]
    constants = {"k": KERNEL, "b": BIAS, "lines": np.array([-1, 8]), "first": np.array(0)}
    proto = make_model(nodes, {"x": [1, 3, 8, 6]}, ["sums"], constants)
    found = micam_fast.explain(proto, CLIPS[0, 0])
    for name in ("rows", "sums"):
        array = value_of(proto, CLIPS[0, 0], name)
        assert found.maps[name].copies == 1
        close(found.cams[name], array.mean(axis=1)[np.newaxis])


def test_a_label_says_how_many(tmp_path: Any) -> None:
    found = micam_fast.explain(clip_net(), CLIPS[0])
    file = tmp_path / "clip.svg"
    found.save(file)
    assert file.read_text().count("mean of 5 in the batch axis") == 5


# --- Inputs of one number ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [[], ["N"], ["N", 1], [1], ["N", 1, 1, 1]])
@pytest.mark.parametrize("rate", [16000.0, -16000.0])
def test_an_input_of_one_number_takes_no_part_in_the_global_range(
    shape: list[Any], rate: float
) -> None:
    nodes = [
        op("Conv", "x w", "conv"),
        op("ReduceMax", "rate", "most", keepdims=0),
        op("Mul", "most none", "zero"),
        op("Add", "conv zero", "add"),
    ]
    constants = {"w": random_array(1, 4, 1, 5), "none": np.float32(0)}
    proto = make_model(nodes, {"x": ["N", 1, 64], "rate": shape}, ["add"], constants)
    # A size of 1 beside an open batch is that batch.
    sizes = shape[1:]
    fed = {"x": random_array(2, 1, 64), "rate": np.full(sizes, rate, np.float32)}
    model = micam_fast.load_model(proto, layers="x,rate,conv,add")
    found = model.explain(fed)
    others = [cam for name, cam in found.cams.items() if name != "rate"]
    assert found.global_range == reference.global_range(others)
    assert found.maps["rate"].minimum == found.maps["rate"].maximum == rate
    assert found.rgba["conv"][..., 3].max() > 100
    assert found.rgba["rate"][0, 0, 3] == (255 if rate > 0 else 0)
    average = micam_fast.Average()
    average.add(found)
    assert average.mean().global_range == found.global_range


def test_a_number_that_is_no_input_takes_part() -> None:
    nodes = [op("ReduceMax", "x", "most", axes=[1, 2], keepdims=1), op("Mul", "most many", "mul")]
    proto = make_model(nodes, {"x": ["N", 1, 64]}, ["mul"], {"many": np.float32(1000)})
    found = micam_fast.explain(proto, np.ones((1, 64), np.float32))
    assert found.global_range == (0.0, 1000.0)


def test_a_number_that_is_the_only_input() -> None:
    double = op("Mul", "x two", "mul")
    proto = make_model([double], {"x": ["N", 1]}, ["mul"], {"two": np.float32(2)})
    found = micam_fast.explain(proto, np.full(1, 3, np.float32))
    assert found.global_range == (0.0, 6.0)
    assert found.maps["x"].maximum == 3

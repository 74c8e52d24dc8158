"""Frames, windows and pairs in the batch axis, and inputs of one number, through whole models."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import micam_fast
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.engine.activations import LayerActivation
from micam_fast.models.onnx.graph import Graph
from tests.helpers import reference
from tests.helpers.activations import copies
from tests.helpers.chains import op
from tests.helpers.clips import BIAS, CLIPS, FRAMES, KERNEL, clip_net, frames_net
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run

both = pytest.mark.parametrize("projection", PROJECTIONS)


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


# --- One frame ---------------------------------------------------------------------------------

FOLDED = ("fold", "conv", "norm", "relu", "pool")


@both
@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("layers", [None, "conv,fold,pool", "relu,pool"])
@pytest.mark.parametrize("frame", [0, 2, FRAMES - 1])
def test_one_frame_of_a_clip(
    projection: Projection, memory: int | None, layers: str | None, frame: int
) -> None:
    """Its maps are those of a clip that is this frame again and again."""
    model = micam_fast.load_model(clip_net(), memory=memory, layers=layers)
    given: dict[str, Any] = {"projection": projection, "frame": frame}
    for clip, found in zip(CLIPS, model.explain_many(CLIPS, **given), strict=True):
        still = np.repeat(clip[frame : frame + 1], FRAMES, axis=0)
        mean = model.explain(still, projection=projection)
        for name, each in found.maps.items():
            assert (each.copies, each.frame) == ((FRAMES, frame) if name in FOLDED else (1, None))
            if name in FOLDED:
                close(each.cam, mean.cams[name])


def test_what_is_not_finite_in_another_frame_spoils_nothing() -> None:
    clip = CLIPS[0].copy()
    clip[1, 0, 2, 3] = np.nan
    model = micam_fast.load_model(clip_net(), layers="fold,conv,relu,pool")
    assert all(each.bad_values is not None for each in model.explain(clip).maps.values())
    for frame in range(FRAMES):
        found = model.explain(clip, frame=frame)
        expected = model.explain(CLIPS[0], frame=frame)
        for name, each in found.maps.items():
            if frame == 1:
                assert each.bad_values
                assert name != "fold" or each.bad_values == 1
            else:
                assert each.bad_values is None
                assert each.cam.tobytes() == expected.cams[name].tobytes()


def test_one_frame_after_the_other_and_the_mean() -> None:
    """No map comes from a plan of another frame."""
    model = micam_fast.load_model(clip_net())
    for frame in (0, None, 3, 0, 4, 2, None):
        expected = micam_fast.load_model(clip_net()).explain(CLIPS[0], frame=frame)
        found = model.explain(CLIPS[0], frame=frame)
        for name, cam in expected.cams.items():
            assert found.cams[name].tobytes() == cam.tobytes()


@both
def test_contributions_of_one_frame_add_up_to_its_map(projection: Projection) -> None:
    model = micam_fast.load_model(clip_net())
    explanation = model.explain(CLIPS[0], projection=projection, frame=3)
    (found,) = model.contributions([CLIPS[0]], copies, projection=projection, frame=3)
    assert not isinstance(found, SampleError)
    for name in ("fold", "conv", "norm", "relu"):
        close(found[name].sum(axis=0, dtype=np.float64), explanation.cams[name])


def test_activations_of_one_frame() -> None:
    proto = clip_net()
    (found,) = micam_fast.load_model(proto).activations([CLIPS[1]], copies, frame=4)
    assert not isinstance(found, SampleError)
    for name in FOLDED:
        array = value_of(proto, CLIPS[1], name)[4]
        close(found[name], array.reshape(-1) if name == "pool" else array)


def test_a_frame_that_is_not_there() -> None:
    model = micam_fast.load_model(clip_net())
    said = "there is no frame 5: layer 'fold' has 5 frames, from 0"
    with pytest.raises(SampleError, match=said):
        model.explain(CLIPS[0], frame=5)
    (found,) = model.activations([CLIPS[0]], copies, frame=5)
    assert isinstance(found, SampleError)
    assert str(found) == said
    for run_model in (model.explain, micam_fast.strongest_features):
        first = (CLIPS[0],) if run_model == model.explain else (model, CLIPS[0])
        with pytest.raises(ValueError, match="frame must be at least 0, not -1"):
            run_model(*first, frame=-1)


@pytest.mark.parametrize("frame", ["1", 1.0, True, np.float32(1), [1]])
def test_a_frame_that_is_no_whole_number(frame: Any) -> None:
    model = micam_fast.load_model(clip_net())
    said = re.escape(f"frame must be a whole number, not {frame!r}")
    calls: list[Callable[[], Any]] = [
        lambda: model.explain(CLIPS[0], frame=frame),
        lambda: list(model.explain_many(CLIPS, frame=frame)),
        lambda: list(model.activations([CLIPS[0]], copies, frame=frame)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=said):
            call()


def test_a_numpy_integer_is_a_whole_number() -> None:
    model = micam_fast.load_model(clip_net())
    frames: list[Any] = [1, np.int64(1)]
    one, other = (model.explain(CLIPS[0], frame=frame) for frame in frames)
    assert one.cams["conv"].tobytes() == other.cams["conv"].tobytes()


def test_a_model_without_frames() -> None:
    proto = make_model([op("Relu", "x", "relu")], {"x": ["N", 3, 8, 6]}, ["relu"], {})
    model = micam_fast.load_model(proto)
    said = "none of the mapped layers holds frames"
    with pytest.raises(SampleError, match=said):
        model.explain(CLIPS[0, 0], frame=0)
    (found,) = model.activations([CLIPS[0, 0]], copies, frame=0)
    assert isinstance(found, SampleError)
    assert said in str(found)
    clips = micam_fast.load_model(clip_net(), layers="x,y,unfold")
    with pytest.raises(SampleError, match=said):
        clips.explain(CLIPS[0], frame=0)


@pytest.mark.parametrize("batch", ["N", 1])
def test_a_clip_of_one_frame_has_frame_0(batch: int | str) -> None:
    """Nothing but a longer clip tells that its layers hold frames."""
    clip = CLIPS[0, :1]
    model = micam_fast.load_model(frames_net(batch))
    plain = model.explain(clip)
    found = model.explain(clip, frame=0)
    for name, cam in plain.cams.items():
        assert found.cams[name].tobytes() == cam.tobytes()
    (array,) = model.activations([clip], copies, frame=0)
    assert not isinstance(array, SampleError)
    said = "there is no frame 1: layer 'fold' has 1 frame, from 0"
    with pytest.raises(SampleError, match=said):
        model.explain(clip, frame=1)
    (missing,) = model.activations([clip], copies, frame=1)
    assert str(missing) == said
    # In a run over clips none is left out.
    many = list(model.explain_many([CLIPS[0], clip], frame=0))
    assert [len(each.cams) for each in many] == [len(plain.cams)] * 2
    unmapped = micam_fast.load_model(frames_net(batch), layers="x,y")
    with pytest.raises(SampleError, match="none of the mapped layers holds frames"):
        unmapped.explain(clip, frame=0)


def test_one_cell_of_a_picture_is_no_frame() -> None:
    """A larger picture has more cells, and still no frames."""
    nodes = [op("Relu", "x", "relu"), op("GlobalAveragePool", "relu", "pool")]
    model = micam_fast.load_model(make_model(nodes, {"x": ["N", 3, "h", "w"]}, ["pool"], {}))
    for size in (1, 4):
        with pytest.raises(SampleError, match="none of the mapped layers holds frames"):
            model.explain(np.zeros((3, size, size), np.float32), frame=0)


def test_an_open_size_that_the_model_cannot_have_larger() -> None:
    nodes = [op("Flatten", "x", "flat"), op("MatMul", "flat w", "y")]
    proto = make_model(nodes, {"x": ["N", "T", 4]}, ["y"], {"w": random_array(1, 20, 3)})
    with pytest.raises(SampleError, match="none of the mapped layers holds frames"):
        micam_fast.load_model(proto).explain(random_array(2, 5, 4), frame=0)


def test_a_sample_that_would_be_too_large_if_it_were_larger() -> None:
    proto = make_model([op("Relu", "x", "relu")], {"x": ["N", "T", 4]}, ["relu"], {})
    model = micam_fast.load_model(proto)
    graph = model.find_graph({"x": random_array(1, 2, 4)})

    def refuse(self: Graph, name: str) -> None:
        raise ModelError("too large")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Graph, "shape", refuse)
        assert graph.find_frames(["relu"]) is None


def test_a_label_says_which_frame(tmp_path: Any) -> None:
    found = micam_fast.explain(clip_net(), CLIPS[0], frame=1)
    file = tmp_path / "clip.svg"
    found.save(file)
    text = file.read_text()
    assert text.count("frame 1 of 5 (from 0), in the batch axis") == 5
    assert "mean of" not in text


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

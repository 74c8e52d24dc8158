"""Whether maps can be trusted: rank correlations, weight randomization, deletion and insertion."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays as array_of
from onnx import helper

from micam_fast import Model, demo, load_model
from micam_fast.analyses.checks import Cascade, Check, check
from micam_fast.analyses.checks.cascade import first_steps, plan_steps
from micam_fast.analyses.checks.curves import PARTS
from micam_fast.analyses.checks.erasing import Eraser
from micam_fast.analyses.checks.ranks import mean_of_defined, order_cells, standard_ranks
from micam_fast.analyses.checks.tables import check_lines
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.randomizing import LayerWeights, randomize_weights
from tests.helpers.models import (
    Array,
    conv_net,
    conv_node,
    image_to_image_net,
    make_model,
    random_array,
    two_input_net,
)

stats: Any = pytest.importorskip("scipy.stats")
SHARES = np.linspace(0, 1, PARTS + 1)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def dense_model(weights: Array, *, softmaxed: bool = True) -> onnx.ModelProto:
    """Flatten and a dense layer ``(cells, classes)`` on pictures of one channel, 4 x 5."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flatten:0"], name="flatten"),
        helper.make_node("Gemm", ["flatten:0", "w"], ["dense:0"], name="dense"),
        helper.make_node("Softmax", ["dense:0"], ["softmax:0"], name="softmax"),
    ]
    output = "softmax:0" if softmaxed else "dense:0"
    count = 3 if softmaxed else 2
    return make_model(nodes[:count], {"x": ["batch", 1, 4, 5]}, [output], {"w": weights})


def lines_of(found: Check) -> list[str]:
    parts = found.cascade, found.curves, found.no_curves, len(found.counted)
    return list(check_lines(*parts))


def same(one: Check, other: Check) -> bool:
    assert one.curves is not None
    assert other.curves is not None
    pairs = [
        (one.cascade.signed, other.cascade.signed),
        (one.cascade.strength, other.cascade.strength),
        (one.curves.deletion, other.curves.deletion),
        (one.curves.insertion, other.curves.insertion),
        (one.curves.random, other.curves.random),
    ]
    return all(np.allclose(a, b, atol=1e-5, equal_nan=True) for a, b in pairs)


class TestRanks:
    """Spearman's correlation, and the order of cells."""

    @given(array_of(np.int8, (2, 30), elements=st.integers(-4, 4)))
    def test_products_are_spearmans_correlation(self, values: Array) -> None:
        one, other = (standard_ranks(row) for row in values)
        assert (one is None) == (len(set(values[0].tolist())) == 1)
        if one is not None and other is not None:
            expected = stats.spearmanr(values[0], values[1]).statistic
            assert one @ other == pytest.approx(expected, abs=1e-12)

    def test_equal_values_have_no_ranks(self) -> None:
        assert standard_ranks(np.full((3, 4), 2.5, np.float32)) is None
        assert standard_ranks(np.zeros(1)) is None

    def test_strong_cells_come_first_whatever_their_sign(self) -> None:
        cam = np.array([[1, -5, 2], [4, 0, -3]], np.float32)
        assert order_cells(cam, np.random.default_rng(0)).tolist() == [1, 3, 5, 2, 0, 4]

    def test_equal_cells_come_in_random_order(self) -> None:
        cam = np.zeros((10, 10), np.float32)
        cam[5, 5] = -1
        first, again, other = (order_cells(cam, np.random.default_rng(n)) for n in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        assert {first[0], other[0]} == {55}
        assert abs(np.corrcoef(first[1:], np.arange(99))[0, 1]) < 0.3

    def test_means_of_what_is_defined(self) -> None:
        values = np.array([[1, np.nan, 3], [np.nan, np.nan, 5]])
        found = mean_of_defined(values, axis=0)
        assert found[[0, 2]].tolist() == [1, 4]
        assert np.isnan(found[1])


def weights_of(**layers: tuple[str, str]) -> dict[str, LayerWeights]:
    """Layers by name: keys of weights, and layers that are read, as words."""
    return {
        name: LayerWeights(frozenset(keys.split()), frozenset(reads.split()))
        for name, (keys, reads) in layers.items()
    }


class TestSteps:
    """Which weights become random when, and which maps that reaches."""

    CHAIN = weights_of(
        x=("", ""), a=("wa", "x"), relu=("", "a"), b=("wb", "relu"), c=("wc", "b"), out=("", "c")
    )

    @pytest.mark.parametrize(
        ("most", "expected"),
        [(9, "c|b|a"), (3, "c|b|a"), (2, "c b|a"), (1, "c b a")],
    )
    def test_from_the_output_back(self, most: int, expected: str) -> None:
        steps = plan_steps(self.CHAIN, most)
        assert "|".join(" ".join(names) for names in steps) == expected

    def test_many_layers_are_spread_evenly(self) -> None:
        layers = {f"l{n}": ("w", "") for n in range(100)}
        steps = plan_steps(weights_of(**layers), 16)
        assert len(steps) == 16
        assert {len(names) for names in steps} == {6, 7}
        assert [name for names in steps for name in names] == list(layers)[::-1]

    def test_no_weights(self) -> None:
        assert plan_steps(weights_of(x=("", ""), relu=("", "x")), 4) == ()

    def test_a_map_changes_with_what_it_depends_on(self) -> None:
        assert first_steps(self.CHAIN, plan_steps(self.CHAIN, 9)) == {
            "a": 2, "relu": 2, "b": 1, "c": 0, "out": 0,
        }  # fmt: skip

    def test_branches(self) -> None:
        found = weights_of(
            x=("", ""), a=("wa", "x"), b=("wb", "x"), sum=("", "a b"), other=("", "a")
        )
        assert first_steps(found, plan_steps(found, 9)) == {"a": 1, "b": 0, "sum": 0, "other": 1}

    def test_shared_weights_are_random_with_the_last_layer(self) -> None:
        found = weights_of(x=("", ""), a=("w", "x"), b=("wb", "a"), c=("w", "b"))
        assert first_steps(found, plan_steps(found, 9)) == {"a": 0, "b": 0, "c": 0}


class TestRandomization:
    """Rank correlations while weights become random."""

    def test_against_the_maps_themselves(self) -> None:
        """Every step by hand: another model, its maps, SciPy's correlation."""
        file = open_model(conv_net())
        samples = [random_array(seed, 1, 8, 6) for seed in (20, 21)]
        found = check(load_model(conv_net()), samples, draws=2, seed=5).cascade
        assert found.steps == (("dense",), ("conv",))
        assert found.layers == ("x", "conv", "relu", "pool", "flatten", "dense", "softmax")
        assert found.first == (None, 1, 1, 1, 1, 0, 0)
        original = load_model(conv_net())
        for step, keys in enumerate([{"dw", "db"}, {"dw", "db", "w", "b"}]):
            others = [load_model(randomize_weights(file, keys, [5, draw]).proto) for draw in (0, 1)]
            for column, name in enumerate(found.layers):
                pairs = [
                    (original.explain(each).cams[name], other.explain(each).cams[name])
                    for other in others
                    for each in samples
                ]
                for kind, values in ((np.asarray, found.signed), (np.abs, found.strength)):
                    expected = [
                        stats.spearmanr(kind(a).ravel(), kind(b).ravel()).statistic
                        for a, b in pairs
                    ]
                    assert values[step, column] == pytest.approx(np.mean(expected), abs=1e-6)
        assert (found.counts == 4).all()
        assert found.own("relu") == (found.signed[1, 2], found.strength[1, 2])
        assert found.last("dense") == (found.signed[1, 5], found.strength[1, 5])

    def test_a_copy_of_the_input_stays_and_a_learned_map_does_not(self) -> None:
        nodes = [
            conv_node("conv", "x", "w", pads=[3, 3, 3, 3]),
            helper.make_node("Mul", ["conv:0", "little"], ["small:0"], name="small"),
            helper.make_node("Add", ["x", "small:0"], ["copy:0"], name="copy"),
        ]
        constants = {"w": random_array(1, 1, 1, 7, 7), "little": np.float32(1e-9)}
        model = load_model(make_model(nodes, {"x": [1, 1, 32, 32]}, ["copy:0"], constants))
        found = check(model, [random_array(2, 1, 32, 32)])
        assert found.cascade.last("copy") == pytest.approx((1, 1))
        assert max(map(abs, found.cascade.last("conv"))) < 0.5
        lines = " ".join(lines_of(found))
        assert "Still rank-correlated (0.5 or more) with all weights random" in lines
        assert "more than what was learned: 1 of 3 maps: copy." in lines
        assert "Changed with the weights: 2 of 3 maps: conv, small." in lines
        assert "No weights lead to x." in lines

    def test_fewer_steps_end_at_the_same_weights(self, demo_model: Model) -> None:
        samples = np.load(demo.DIGITS)[:2]
        few, all_of_them = (check(demo_model, samples, steps=n, draws=1) for n in (2, 16))
        assert [len(each.cascade.steps) for each in (few, all_of_them)] == [2, 4]
        np.testing.assert_array_equal(few.cascade.signed[-1], all_of_them.cascade.signed[-1])
        np.testing.assert_array_equal(few.cascade.signed[0], all_of_them.cascade.signed[1])

    def test_a_constant_map_has_no_correlation(self) -> None:
        nodes = [
            conv_node("conv", "x", "w"),
            helper.make_node("Relu", ["conv:0"], ["relu:0"], name="relu"),
        ]
        model = load_model(
            make_model(nodes, {"x": ["n", 1, 6, 6]}, ["relu:0"], {"w": random_array(1, 2, 1, 3, 3)})
        )
        blank, picture = np.zeros((1, 6, 6), np.float32), random_array(3, 1, 6, 6)
        alone = check(model, [blank])
        assert np.isnan(alone.cascade.signed).all()
        assert not alone.cascade.counts.any()
        assert "Not defined (a map is constant or not finite): conv, relu." in lines_of(alone)
        mixed, only = check(model, [blank, picture]), check(model, [picture])
        np.testing.assert_allclose(mixed.cascade.signed, only.cascade.signed, atol=1e-5)
        assert mixed.cascade.counts.max() == 3

    def test_a_layer_that_is_not_finite_does_not_count(self) -> None:
        samples = [random_array(n, 1, 8, 6) for n in (1, 2)]
        samples[0][0, 3, 3] = np.nan
        found = check(load_model(conv_net()), samples, draws=1)
        other = check(load_model(conv_net()), samples[1:], draws=1)
        assert found.counted == (0, 1)
        assert (found.cascade.counts == 1).all()
        np.testing.assert_allclose(found.cascade.signed, other.cascade.signed, atol=1e-5)

    def test_only_the_chosen_layers(self) -> None:
        model = load_model(conv_net(), layers="relu,softmax")
        whole = check(load_model(conv_net()), [random_array(1, 1, 8, 6)])
        found = check(model, [random_array(1, 1, 8, 6)])
        assert found.cascade.layers == ("relu", "softmax")
        np.testing.assert_allclose(found.cascade.signed, whole.cascade.signed[:, [2, 6]], atol=1e-5)
        assert found.cascade.steps == whole.cascade.steps

    def test_no_weights(self) -> None:
        node = helper.make_node("Relu", ["x"], ["relu:0"], name="relu")
        found = check(
            load_model(make_model([node], {"x": [1, 1, 6, 6]}, ["relu:0"])),
            [random_array(1, 1, 6, 6)],
        )
        assert found.cascade.steps == ()
        assert np.isnan(found.cascade.last("relu")).all()
        assert lines_of(found)[0] == "No layer has weights that could be made random."

    def test_nothing_is_kept_of_random_models(self, tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path))
            model = load_model(conv_net())
            # The model itself is compared with its file once.
            model.explain(random_array(1, 1, 8, 6))
            before = sorted(tmp_path.rglob("*.json"))
            check(model, [random_array(1, 1, 8, 6)])
            assert sorted(tmp_path.rglob("*.json")) == before


class TestSeeds:
    """What decides about random numbers."""

    def test_the_same_seed_gives_the_same(self, demo_model: Model) -> None:
        samples = np.load(demo.DIGITS)[:3]
        first = check(demo_model, samples, draws=1, seed=4)
        one_thread = check(load_model(demo.MODEL, threads=1), samples, draws=1, seed=4)
        assert same(first, check(demo_model, samples, draws=1, seed=4))
        assert same(first, one_thread)
        assert not same(first, check(demo_model, samples, draws=1, seed=5))


def erase(sample: Array, weights: Array, order: Array, *, insert: bool) -> list[float]:
    """A curve of `dense_model` by NumPy alone."""
    cells = sample.reshape(-1).astype(np.float64)
    predicted = softmax(cells @ weights).argmax()
    found = []
    for share in SHARES:
        chosen = np.isin(np.arange(cells.size), order[: round(share * cells.size)])
        left = np.where(chosen == insert, cells, cells.mean())
        found.append(softmax(left @ weights)[predicted])
    return found


class TestCurves:
    """Deletion and insertion."""

    def test_one_cell_decides(self) -> None:
        weights = np.zeros((20, 2), np.float32)
        weights[7, 1] = 2.0
        sample = np.zeros((1, 4, 5), np.float32)
        sample[0, 1, 2] = 4.0  # cell 7, the strongest
        curves = check(load_model(dense_model(weights)), [sample]).curves
        assert curves is not None
        assert curves.layers == ("x",)
        high, low = softmax(np.array([0, 8.0]))[1], softmax(np.array([0, 0.4]))[1]
        # 20 cells, 20 parts: the first part is that cell.
        np.testing.assert_allclose(curves.deletion[0], [high] + [low] * 20, rtol=1e-5)
        np.testing.assert_allclose(curves.insertion[0], [low] + [high] * 20, rtol=1e-5)
        rest = (high - low) / 40
        deletion, insertion, random = curves.areas("x")
        assert deletion == pytest.approx(low + rest, rel=1e-5)
        assert insertion == pytest.approx(high - rest, rel=1e-5)
        assert deletion < random < insertion
        assert curves.better_than_random("x") == (1, 1)
        # Random orders erase it somewhere on the way.
        assert (np.diff(curves.random) <= 1e-6).all()
        assert low < curves.random[10] < high

    @pytest.mark.parametrize("softmaxed", [True, False])
    def test_against_numpy(self, softmaxed: bool) -> None:
        weights = random_array(1, 20, 3)
        samples = [random_array(seed, 1, 4, 5) for seed in (2, 3, 4)]
        curves = check(load_model(dense_model(weights, softmaxed=softmaxed)), samples).curves
        assert curves is not None
        orders = [np.argsort(-np.abs(sample.reshape(-1))) for sample in samples]
        for insert, found in ((False, curves.deletion), (True, curves.insertion)):
            expected = [
                erase(sample, weights, order, insert=insert)
                for sample, order in zip(samples, orders, strict=True)
            ]
            np.testing.assert_allclose(found[0], np.mean(expected, axis=0), rtol=1e-4)
            areas = np.trapezoid(expected, SHARES, axis=1)
            given = curves.insertion_areas if insert else curves.deletion_areas
            np.testing.assert_allclose(given[0], areas, rtol=1e-4)

    def test_maps_on_the_grid(self) -> None:
        curves = check(load_model(conv_net()), [random_array(1, 1, 8, 6)]).curves
        assert curves is not None
        assert curves.layers == ("x", "conv", "relu")

    def test_a_list_of_values_lies_on_no_grid(self) -> None:
        nodes = [helper.make_node("Gemm", ["x", "w"], ["dense:0"], name="dense")]
        model = make_model(nodes, {"x": ["n", 6]}, ["dense:0"], {"w": random_array(1, 6, 6)})
        curves = check(load_model(model), [random_array(2, 6)]).curves
        assert curves is not None
        assert curves.layers == ("x",)

    def test_a_valid_convolution_lies_there_by_its_adjoint(self) -> None:
        nodes = [
            conv_node("conv", "x", "w"),
            helper.make_node("GlobalAveragePool", ["conv:0"], ["pool:0"], name="pool"),
            helper.make_node("Flatten", ["pool:0"], ["flatten:0"], name="flatten"),
        ]
        proto = make_model(
            nodes, {"x": ["n", 1, 8, 6]}, ["flatten:0"], {"w": random_array(1, 3, 1, 3, 3)}
        )
        model, sample = load_model(proto, logits=True), random_array(2, 1, 8, 6)
        layers = {}
        for projection in ("published", "transposed"):
            curves = check(model, [sample], projection=projection).curves
            assert curves is not None
            layers[projection] = curves.layers
        assert layers == {"published": ("x",), "transposed": ("x", "conv")}

    def test_another_input_stays_and_is_no_map_of_the_first(self) -> None:
        sample = {"image": random_array(1, 1, 8, 6), "depth": random_array(2, 2, 8, 6)}
        curves = check(load_model(two_input_net()), [sample]).curves
        assert curves is not None
        assert curves.layers == ("image",)

    def test_a_fixed_batch(self) -> None:
        weights, sample = random_array(1, 20, 3), random_array(2, 1, 4, 5)
        fixed = dense_model(weights)
        fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        assert same(
            check(load_model(fixed), [sample]), check(load_model(dense_model(weights)), [sample])
        )

    def test_no_class_vector(self) -> None:
        found = check(load_model(image_to_image_net()), [random_array(1, 1, 8, 6)])
        assert found.curves is None
        assert lines_of(found)[-1] == (
            "No deletion and insertion: no output is known to say classes; name one as the "
            "prediction."
        )

    def test_no_map_on_the_grid(self) -> None:
        found = check(load_model(conv_net(), layers="dense"), [random_array(1, 1, 8, 6)])
        assert found.curves is None
        assert found.no_curves == "no map lies on the grid of the input"

    def test_a_sample_without_a_class_is_left_out(self) -> None:
        samples = [random_array(n, 1, 8, 6) for n in (1, 2)]
        samples[0][0, 3, 3] = np.nan
        found = check(load_model(conv_net()), samples, draws=1).curves
        assert found is not None
        assert found.random_areas.shape == (1,)
        assert np.isfinite(found.deletion).all()


def image_input(shape: tuple[int | None, ...], channel: int, dtype: str = "float32") -> ModelInput:
    return ModelInput("x", shape, Axes(0, channel), dtype)


class TestEraser:
    """Which values a cell stands for, and what they become."""

    @pytest.mark.parametrize("last", [False, True])
    def test_pictures(self, last: bool) -> None:
        picture = random_array(1, 3, 4, 5)
        means = picture.mean(axis=(1, 2))
        expected = picture.copy()
        expected[:, 0, 2] = expected[:, 3, 4] = means
        spec = image_input((None, 4, 5, 3) if last else (None, 3, 4, 5), 3 if last else 1)
        if last:
            picture, expected = (each.transpose(1, 2, 0) for each in (picture, expected))
        eraser = Eraser([spec], {"x": picture})
        assert (eraser.name, eraser.count) == ("x", 20)
        found = eraser.without(np.array([2, 19]))["x"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_array_equal(eraser.without(np.arange(0))["x"], picture)

    def test_a_sequence_loses_steps(self) -> None:
        sequence = random_array(1, 6, 3)
        eraser = Eraser([ModelInput("x", (None, 6, 3), Axes(0, 2), "float32")], {"x": sequence})
        found = eraser.without(np.array([4]))["x"]
        assert eraser.count == 6
        np.testing.assert_allclose(found[4], sequence.mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(np.delete(found, 4, 0), np.delete(sequence, 4, 0))

    def test_a_flat_input_loses_values(self) -> None:
        values = random_array(1, 9)
        eraser = Eraser([ModelInput("x", (None, 9), Axes(0, None), "float32")], {"x": values})
        found = eraser.without(np.array([0, 8]))["x"]
        assert eraser.count == 9
        np.testing.assert_allclose(found[[0, 8]], values.mean(), rtol=1e-6)
        np.testing.assert_array_equal(found[1:8], values[1:8])

    def test_a_volume_loses_its_whole_depth(self) -> None:
        volume = random_array(1, 2, 3, 4, 5)
        spec = ModelInput("x", (None, 2, 3, 4, 5), Axes(0, 1), "float32")
        eraser = Eraser([spec], {"x": volume})
        found = eraser.without(np.array([6]))["x"]
        assert eraser.count == 20
        expected = volume.copy()
        expected[:, :, 1, 1] = volume.mean(axis=(1, 2, 3))[:, np.newaxis]
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_whole_numbers_stay_whole(self) -> None:
        pixels = np.array([[[0, 255], [3, 1]]], np.uint8)
        eraser = Eraser([image_input((None, 1, 2, 2), 1, "uint8")], {"x": pixels})
        found = eraser.without(np.array([0]))["x"]
        assert found.dtype == np.uint8
        assert found.tolist() == [[[65, 255], [3, 1]]]

    def test_of_several_inputs_the_spatial_one(self) -> None:
        flat = ModelInput("flat", (None, 3), Axes(0, None), "float32")
        sample = {"flat": random_array(1, 3), "x": random_array(2, 1, 4, 5)}
        eraser = Eraser([flat, image_input((None, 1, 4, 5), 1)], sample)
        found = eraser.without(np.arange(20))
        assert eraser.name == "x"
        assert found["flat"] is sample["flat"]
        np.testing.assert_allclose(found["x"], sample["x"].mean(), rtol=1e-6)


class TestSamples:
    """What is refused, and what fails."""

    def test_failed_samples_are_told(self) -> None:
        error = SampleError("cannot read it")
        found = check(
            load_model(conv_net()),
            [error, random_array(1, 1, 8, 6), np.zeros((2, 2), np.float32)],
            draws=1,
        )
        assert found.counted == (1,)
        assert set(found.failed) == {0, 2}
        assert found.failed[0] is error
        assert "does not fit input 'x'" in str(found.failed[2])

    def test_none_that_can_be_run(self) -> None:
        with pytest.raises(SampleError, match="no readable sample"):
            check(load_model(conv_net()), [SampleError("no readable sample")])
        with pytest.raises(SampleError, match="there is no sample to check"):
            check(load_model(conv_net()), [])

    def test_wrong_arguments(self) -> None:
        model = load_model(conv_net())
        sample = random_array(1, 1, 8, 6)
        with pytest.raises(ValueError, match="unknown projection: 'sideways'"):
            check(model, [sample], projection="sideways")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
            check(model, [sample], steps=0)
        with pytest.raises(ValueError, match="draws must be at least 1, not -1"):
            check(model, [sample], draws=-1)

    def test_it_tells_how_far_it_is(self) -> None:
        told: list[tuple[str, int, int]] = []
        samples = [random_array(n, 1, 8, 6) for n in (1, 2)]
        check(load_model(conv_net()), samples, draws=2, done=lambda *each: told.append(each))
        assert told == [
            *(("randomizing", n, 4) for n in (1, 2, 3, 4)),
            *(("erasing", n, 2) for n in (1, 2)),
        ]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestFiles:
    """The numbers as CSV."""

    def test_all_numbers(self, tmp_path: Path) -> None:
        samples = [random_array(n, 1, 8, 6) for n in (1, 2)]
        found = check(load_model(conv_net()), samples)
        paths = found.save(tmp_path / "sub.check.csv")
        names = ["sub.check.csv", "sub.check_steps.csv", "sub.check_curves.csv"]
        assert [path.name for path in paths] == names
        layers, steps, curves = map(read, paths)
        assert [row["layer"] for row in layers] == list(found.cascade.layers)
        assert [row["first_step"] for row in layers] == ["", "2", "2", "2", "2", "1", "1"]
        assert found.curves is not None
        conv = {key: float(value) for key, value in layers[1].items() if key != "layer"}
        areas = found.curves.areas("conv")
        assert [conv[f"{name}_area"] for name in ("deletion", "insertion", "random")] == list(areas)
        own = conv["own_correlation"], conv["own_strength_correlation"]
        assert own == found.cascade.own("conv")
        last = conv["all_correlation"], conv["all_strength_correlation"]
        assert last == found.cascade.last("conv")
        assert conv["samples"] == 2
        assert conv["deletion_below_random"] == found.curves.better_than_random("conv")[0]
        # No weights come before the input, and a dense layer lies on no grid.
        assert {layers[0][key] for key in ("own_correlation", "all_correlation")} == {""}
        assert {layers[5][key] for key in ("deletion_area", "random_area")} == {""}
        assert len(steps) == 2 * 7
        assert [row["random_from"] for row in steps[::7]] == ["dense", "conv"]
        assert [float(row["correlation"]) for row in steps[7:]] == found.cascade.signed[1].tolist()
        assert {row["count"] for row in steps} == {"6"}
        orders = [row["order"] for row in curves[:: PARTS + 1]]
        assert orders == ["x", "x", "conv", "conv", "relu", "relu", "", ""]
        second = curves[PARTS + 1 : 2 * (PARTS + 1)]
        assert {row["curve"] for row in second} == {"insertion"}
        assert [float(row["share"]) for row in second] == SHARES.tolist()
        assert [float(row["probability"]) for row in second] == found.curves.insertion[0].tolist()

    def test_what_is_not_defined_is_empty(self, tmp_path: Path) -> None:
        found = check(load_model(image_to_image_net()), [np.zeros((1, 8, 6), np.float32)])
        paths = found.save(tmp_path / "check.csv")
        assert [path.name for path in paths] == ["check.csv", "check_steps.csv"]
        layers, steps = map(read, paths)
        assert layers[1]["first_step"] == "1"
        assert layers[1]["all_correlation"] == steps[1]["correlation"] == ""
        assert steps[1]["count"] == "0"


def made_cascade(last: dict[str, float]) -> Cascade:
    """One step that makes all weights random."""
    values = np.array([list(last.values())])
    return Cascade(
        steps=(("end", "start"),),
        layers=("x", *last),
        first=(None, *(0 for _ in last)),
        signed=np.concatenate([[[1.0]], -values], axis=1),
        strength=np.concatenate([[[1.0]], values], axis=1),
        counts=np.ones((1, len(last) + 1), np.intp),
        draws=3,
    )


class TestTables:
    """What is printed."""

    def test_columns_are_aligned_and_words_fit(self) -> None:
        last = {"kept": 0.7, "a_long_name": 0.2, "constant": np.nan, "edge": 0.5, "none": -0.001}
        found = Check("net", "published", made_cascade(last), None, "none asked", (0, 1), {})
        lines = lines_of(found)
        assert lines[0].startswith("Weights made random from end back to start, 2 layers in 1 step")
        begin = lines.index("") + 1
        assert lines[begin : begin + 7] == [
            "                own and later       all weights",
            "layer            map    |map|      map    |map|",
            "kept           -0.70     0.70    -0.70     0.70",
            "a_long_name    -0.20     0.20    -0.20     0.20",
            "constant           -        -        -        -",
            "edge           -0.50     0.50    -0.50     0.50",
            "none            0.00     0.00     0.00     0.00",
        ]
        text = " ".join(lines[begin + 8 :])
        assert "more than what was learned: 2 of 5 maps: kept, edge." in text
        assert "Changed with the weights: 2 of 5 maps: a_long_name, none." in text
        assert "Not defined (a map is constant or not finite): constant." in text
        assert "No weights lead to x." in text
        assert "No deletion and insertion: none asked." in text
        assert max(map(len, lines)) <= 96

    def test_of_many_names_the_first(self) -> None:
        last = {f"layer_{n}": 0.9 for n in range(40)}
        found = Check("net", "published", made_cascade(last), None, "none asked", (0,), {})
        text = " ".join(lines_of(found))
        assert str(found) == "\n".join(lines_of(found))
        assert "40 of 40 maps" in text
        assert "layer_11 and 28 more." in text

    def test_curves_beside_random_order(self) -> None:
        weights = np.zeros((20, 2), np.float32)
        weights[7, 1] = 2.0
        sample = np.zeros((1, 4, 5), np.float32)
        sample[0, 1, 2] = 4.0
        lines = lines_of(check(load_model(dense_model(weights)), [sample]))
        start = next(n for n, line in enumerate(lines) if line.startswith("order by |map| of"))
        names = [line.split("  ")[0] for line in lines[start : start + 3]]
        assert names == ["order by |map| of", "x", "random order"]
        assert lines[start + 1].split()[1:] == ["0.61", "1", "0.99", "1"]
        assert lines[-1] == "Better than random order for most samples, both ways: x."


def test_a_sample_that_fails_in_the_model() -> None:
    """A size that only a later layer refuses; the others are checked as if it were not there."""
    proto = dense_model(random_array(1, 20, 3))
    for axis in proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_param = "open"
    model = load_model(proto)
    one, other = random_array(2, 1, 4, 5), random_array(3, 1, 4, 5)
    found = check(model, [one, random_array(4, 1, 4, 6), other], draws=1)
    assert found.counted == (0, 2)
    assert "onnxruntime cannot run" in str(found.failed[1])
    assert same(found, check(model, [one, other], draws=1))

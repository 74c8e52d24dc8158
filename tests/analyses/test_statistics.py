"""Statistics of a data set, against NumPy on the activations of ONNX Runtime."""

from __future__ import annotations

import csv
import gc
import pickle
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from micam_fast import load_model
from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.errors import OutputError, SampleError
from micam_fast.engine.loaded_model import SampleLike
from tests.helpers import models
from tests.helpers.models import conv_net, conv_node, make_model, random_array
from tests.helpers.reference import effective_rank

SAMPLES = [random_array(seed, 1, 8, 6) for seed in range(9)]
LABELS = ["b", "a", "a", "b", "a", "c", "b", "b", "a"]


def activations(proto: onnx.ModelProto, samples: Sequence[Any]) -> dict[str, NDArray[np.float64]]:
    """Each node's first output over all samples ``(n, ...)``, by ONNX Runtime alone."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(proto)
    names = [node.output[0] for node in proto.graph.node]
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(tapped.SerializeToString())
    (fed,) = [value.name for value in session.get_inputs()]
    runs = [session.run(names, {fed: sample[np.newaxis]}) for sample in samples]
    found = {node.name: n for n, node in enumerate(proto.graph.node)}
    return {
        name: np.concatenate([run[n] for run in runs]).astype(np.float64)
        for name, n in found.items()
    }


def check_row(row: LayerStatistics, values: NDArray[np.float64]) -> None:
    """Compare a row with the whole array ``(n, C, *space)``."""
    channels = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    assert (row.samples, row.channels, row.values) == (len(values), len(channels), values.size)
    for found, expected in {
        row.mean: values.mean(),
        row.deviation: values.std(),
        row.low: values.min(),
        row.high: values.max(),
        row.energy: (values**2).mean(),
        row.sparsity: (values == 0).mean(),
        row.dead_channels: (channels.max(axis=1) <= 0).mean(),
        row.effective_rank: effective_rank(channels),
    }.items():
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.fixture(scope="module")
def found() -> Statistics:
    return stats(conv_net(), SAMPLES, labels=LABELS)


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[np.float64]]:
    return activations(conv_net(), SAMPLES)


def test_every_layer_of_all_samples(
    found: Statistics, expected: dict[str, NDArray[np.float64]]
) -> None:
    names = ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
    assert [row.layer for row in found.rows if row.label is None] == names
    check_row(found.of("x"), np.stack(SAMPLES).astype(np.float64))
    for name in names[1:]:
        check_row(found.of(name), expected[name])


@pytest.mark.parametrize("label", ["a", "b"])
def test_every_layer_of_a_class(
    found: Statistics, expected: dict[str, NDArray[np.float64]], label: str
) -> None:
    chosen = np.array(LABELS) == label
    for name, values in expected.items():
        check_row(found.of(name, label), values[chosen])


def test_a_class_of_one_sample(found: Statistics) -> None:
    assert found.labels == ("a", "b", "c")
    assert found.of("dense", "c").samples == 1
    assert found.of("dense", "c").effective_rank is None
    with pytest.raises(KeyError, match="no statistics of layer 'dense' and class 'd'"):
        found.of("dense", "d")


def test_costs_stand_in_the_rows(found: Statistics) -> None:
    conv, dense = found.of("conv"), found.of("dense")
    assert (conv.parameters, conv.multiply_adds) == (4 * 9 + 4, 4 * 9 * 8 * 6)
    assert (dense.parameters, dense.multiply_adds) == (48 * 5 + 5, 48 * 5)
    assert conv.energy is not None
    assert conv.energy_per_parameter == conv.energy / 40
    assert found.of("relu").energy_per_parameter is None


def test_the_same_bits_in_each_run(found: Statistics) -> None:
    again = stats(load_model(conv_net()), iter(SAMPLES), labels=iter(LABELS))
    assert again.rows == found.rows


@pytest.mark.parametrize("threads", [1, 3])
def test_other_numbers_of_threads(found: Statistics, threads: int) -> None:
    again = stats(load_model(conv_net(), threads=threads), SAMPLES, labels=LABELS)
    assert same(again, found)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_shards_merge_to_the_whole(found: Statistics, cut: int) -> None:
    whole = stats(conv_net(), SAMPLES[:cut], labels=LABELS[:cut])
    _ = whole.rows
    other = stats(conv_net(), SAMPLES[cut:], labels=LABELS[cut:])
    whole.merge(pickle.loads(pickle.dumps(other)))
    assert same(whole, found)


def same(one: Statistics, other: Statistics) -> bool:
    """Tell whether two statistics are the same but for float64's rounding."""
    return len(one.rows) == len(other.rows) and all(
        mine == theirs if isinstance(theirs, str | None) else mine == pytest.approx(theirs, 1e-11)
        for row, known in zip(one.rows, other.rows, strict=True)
        for mine, theirs in zip(vars(row).values(), vars(known).values(), strict=True)
    )


def test_other_models_do_not_merge(found: Statistics) -> None:
    with pytest.raises(ValueError, match="different layers cannot be merged"):
        found.merge(stats(models.rgb_net(), [random_array(1, 3, 8, 6)]))
    with pytest.raises(ValueError, match=r"different thresholds cannot be merged: 0.0 and 1.0"):
        found.merge(stats(conv_net(), SAMPLES[:1], dead_threshold=1.0))


def test_chosen_layers() -> None:
    found = stats(conv_net(), SAMPLES, layers="conv,relu")
    assert [row.layer for row in found.rows] == ["conv", "relu"]


def test_a_sample_that_fails_is_left_out(found: Statistics) -> None:
    error = SampleError("it is gone")
    samples: list[SampleLike | SampleError] = [*SAMPLES, error]
    samples.insert(4, random_array(1, 5, 5))
    labels = [*LABELS[:4], "odd", *LABELS[4:]]
    again = stats(conv_net(), samples, labels=labels)
    assert same(again, found)
    assert [index for index, _ in again.failed] == [4, 10]
    assert again.failed[1][1] is error


def test_no_sample_at_all() -> None:
    with pytest.raises(SampleError, match="there is no sample to measure"):
        stats(conv_net(), [])
    with pytest.raises(SampleError, match=r"no sample could be measured; sample 0: .*\(5, 5\)"):
        stats(conv_net(), [random_array(1, 5, 5)])


def test_samples_without_a_label_count_in_all(expected: dict[str, NDArray[np.float64]]) -> None:
    found = stats(conv_net(), SAMPLES, labels=["a", None, "a"])
    assert found.labels == ("a",)
    check_row(found.of("relu"), expected["relu"])
    check_row(found.of("relu", "a"), expected["relu"][[0, 2]])


def test_a_memory_bound_leaves_out_the_largest() -> None:
    # 48 channels of pool and flatten take 4 * 48 * 49 + 4 * 512 * 48 bytes each.
    found = stats(load_model(conv_net(), threads=1), SAMPLES, memory=100_000)
    assert found.unranked == {"flatten": "the covariance does not fit the memory bound"}
    assert found.of("flatten").effective_rank is None
    assert found.of("dense").effective_rank is not None
    assert found.of("flatten").deviation == found.of("pool").deviation


def test_a_memory_bound_holds_for_all_classes() -> None:
    found = stats(load_model(conv_net(), threads=1), SAMPLES, labels=LABELS, memory=200_000)
    assert set(found.unranked) == {"flatten"}
    assert all(row.effective_rank is None for row in found.rows if row.layer == "flatten")


def linear_net(bias: bool) -> onnx.ModelProto:
    """A 3x3 convolution, batch normalization, 1x1 convolutions to more and fewer channels."""
    nodes = [
        conv_node("wide", "x", "w1"),
        helper.make_node("BatchNormalization", ["wide:0", "s", "t", "m", "v"], ["bn:0"], name="bn"),
        conv_node("more", "bn:0", "w2", "b2" if bias else None),
        helper.make_node("Mul", ["more:0", "f"], ["twice:0"], name="twice"),
        helper.make_node("Relu", ["twice:0"], ["relu:0"], name="relu"),
        conv_node("fewer", "relu:0", "w3"),
        helper.make_node("Add", ["fewer:0", "b3"], ["added:0"], name="added"),
        conv_node("strided", "added:0", "w4", strides=[2, 2]),
        conv_node("padded", "strided:0", "w4", pads=[1, 1, 1, 1]),
    ]
    constants = {
        "w1": random_array(1, 6, 2, 3, 3), "s": random_array(2, 6), "t": random_array(3, 6),
        "m": random_array(4, 6), "v": random_array(5, 6) ** 2 + 1,
        "w2": random_array(6, 9, 6, 1, 1), "b2": random_array(7, 9), "f": np.full(1, 2, np.float32),
        "w3": random_array(8, 4, 9, 1, 1), "b3": random_array(9, 4, 1, 1),
        "w4": random_array(10, 4, 4, 1, 1),
    }  # fmt: skip
    return make_model(nodes, {"x": ["batch", 2, 9, 8]}, ["padded:0"], constants)


@pytest.mark.parametrize("bias", [True, False])
def test_ranks_that_follow_from_other_layers(bias: bool) -> None:
    proto = linear_net(bias)
    samples = [random_array(seed, 2, 9, 8) for seed in range(9)]
    found = stats(proto, samples, labels=LABELS)
    follow = {name: source for name, (source, _) in found.linear.items()}
    assert follow == {"bn": "wide", "more": "bn", "twice": "more", "fewer": "relu"}
    held = found.groups["a"].layers
    assert [name for name, each in held.items() if each.covariance is None] == list(follow)
    expected = activations(proto, samples)
    expected["fewer"] += random_array(9, 4, 1, 1)
    chosen = np.array(LABELS) == "a"
    for name in ("wide", "bn", "more", "twice", "relu", "fewer", "strided", "padded"):
        for label, values in ((None, expected[name]), ("a", expected[name][chosen])):
            rank = effective_rank(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1))
            # The model's own rounding is in NumPy's number, and not in one that follows.
            assert found.of(name, label).effective_rank == pytest.approx(rank, rel=1e-6)


def test_a_rank_needs_the_layer_that_it_follows_from() -> None:
    samples = [random_array(seed, 2, 9, 8) for seed in range(3)]
    found = stats(linear_net(True), samples, layers="more,twice")
    assert set(found.linear) == {"twice"}
    assert all(row.effective_rank is not None for row in found.rows)
    bound = stats(load_model(linear_net(True), threads=1), samples, memory=12_000, layers="wide,bn")
    assert set(bound.unranked) == {"wide", "bn"}
    assert all(row.effective_rank is None for row in bound.rows)


def test_positions_of_the_effective_rank() -> None:
    few = stats(conv_net(), SAMPLES, positions=12)
    values = activations(conv_net(), SAMPLES)["conv"].reshape(9, 4, 48)[:, :, ::4]
    expected = effective_rank(np.moveaxis(values, 1, 0).reshape(4, -1))
    assert few.of("conv").effective_rank == pytest.approx(expected, rel=1e-9)
    none = stats(conv_net(), SAMPLES, positions=0)
    assert all(row.effective_rank is None for row in none.rows)
    assert none.unranked == {}
    with pytest.raises(ValueError, match="positions must be at least 0, not -1"):
        stats(conv_net(), SAMPLES, positions=-1)


def test_sizes_that_vary() -> None:
    nodes = [conv_node("conv", "x", "w"), helper.make_node("Flatten", ["conv:0"], ["y"], "flat")]
    proto = make_model(
        nodes, {"x": ["batch", 1, "height", 6]}, ["y"], {"w": random_array(1, 2, 1, 3, 3)}
    )
    samples = [random_array(seed, 1, size, 6) for seed, size in enumerate((5, 8, 5))]
    found = stats(proto, samples)
    assert found.unranked == {"flat": "the number of channels varies"}
    assert found.of("conv").multiply_adds == 2 * 9 * 4 * (3 + 6 + 3) / 3
    assert found.of("conv").values == 2 * 4 * (3 + 6 + 3)
    assert found.of("conv").effective_rank is not None
    assert (found.of("flat").channels, found.of("flat").values) == (48, 96)


def test_a_batch_that_the_model_fixes() -> None:
    kernel = random_array(1, 2, 1, 3, 3)
    found = stats(models.single_conv(kernel, [4, 1, 8, 6]), SAMPLES)
    free = stats(models.single_conv(kernel, ["batch", 1, 8, 6]), SAMPLES)
    assert same(found, free)


def test_integers_and_sequences() -> None:
    samples = [np.array(each) for each in ([1, 2, 3, 4], [9, 0, 0, 5])]
    found = stats(models.gather_net(), samples)
    assert (found.of("x").mean, found.of("x").high) == (3.0, 9.0)
    assert found.of("rows").parameters == 30
    assert found.of("conv").multiply_adds == 4 * 3 * 2 * 3


def test_strays_are_counted() -> None:
    nodes = [helper.make_node("Log", ["x"], ["y"], "log")]
    proto = make_model(nodes, {"x": ["batch", 2, 2, 2]}, ["y"])
    found = stats(proto, [np.array([[[1, -1], [1, 1]], [[0, 1], [2, 1]]], np.float32)])
    row = found.of("log")
    assert (row.values, row.not_finite) == (6, 2)
    assert row.mean == pytest.approx(np.log(2) / 6)


def test_csv_of_all_numbers(found: Statistics, tmp_path: Path) -> None:
    path = found.save(tmp_path / "stats.csv")
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found.rows) == 7 * 4
    assert list(lines[0])[:3] == ["class", "layer", "type"]
    for line, row in zip(lines, found.rows, strict=True):
        assert (line["class"], line["layer"]) == (row.label or "", row.layer)
        for name, value in {"min": row.low, "deviation": row.deviation, **vars(row)}.items():
            if isinstance(value, float) and name in line:
                assert float(line[name]) == value
    assert lines[-2]["effective_rank"] == ""


def test_parquet_of_all_numbers(found: Statistics, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(found.save(tmp_path / "stats.parquet"))
    assert table.schema.field("samples").type == "int64"
    assert table.schema.field("class").type == "string"
    columns = table.to_pydict()
    assert columns["class"] == [row.label for row in found.rows]
    assert columns["effective_rank"] == [row.effective_rank for row in found.rows]
    assert columns["max"] == [row.high for row in found.rows]


def test_other_formats(found: Statistics, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"stats\.xls: its name must end in one of .*\.csv, "):
        found.save(tmp_path / "stats.xls")


def test_mean_diagrams_of_classes() -> None:
    model = load_model(conv_net())
    found = stats(model, SAMPLES, labels=LABELS, diagrams=True)
    maps = [model.explain(sample).cams["conv"].astype(np.float64) for sample in SAMPLES]
    chosen = [each for each, label in zip(maps, LABELS, strict=True) if label == "b"]
    mean = found.mean_diagram("b")
    assert (mean.sample, mean.label) == ("mean of 4 samples", "b")
    np.testing.assert_allclose(mean.cams["conv"], np.mean(chosen, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.deviation_diagram("b").cams["conv"], np.std(chosen, axis=0), rtol=1e-5, atol=1e-6
    )
    whole = found.mean_diagram()
    np.testing.assert_allclose(whole.cams["conv"], np.mean(maps, axis=0), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"no class 'z' \(must be one of a, b, c\)"):
        found.mean_diagram("z")
    with pytest.raises(ValueError, match="make the statistics with diagrams=True"):
        stats(model, SAMPLES[:1]).mean_diagram()


@pytest.mark.parametrize("memory", [None, 1])
def test_a_sample_that_fails_in_the_model(memory: int | None) -> None:
    """A size that only the last layer refuses counts nowhere, in slices neither."""
    nodes = [
        conv_node("conv", "x", "w"),
        helper.make_node("Flatten", ["conv:0"], ["flat:0"], "flat"),
        helper.make_node("MatMul", ["flat:0", "m"], ["y"], "dense"),
    ]
    weights = {"w": random_array(1, 2, 1, 3, 3), "m": random_array(2, 24, 3)}
    proto = make_model(nodes, {"x": ["batch", 1, "height", 6]}, ["y"], weights)
    samples = [random_array(seed, 1, size, 6) for seed, size in enumerate((5, 8, 5))]
    model = load_model(proto, memory=memory)
    found = stats(model, samples, memory=2**20)
    assert [index for index, _ in found.failed] == [1]
    assert "onnxruntime cannot run" in str(found.failed[0][1])
    again = stats(model, [samples[0], found.failed[0][1], samples[2]], memory=2**20)
    assert same(found, again)
    assert found.of("conv").samples == 2
    assert found.unranked == {}


def test_an_empty_label_is_none() -> None:
    found = stats(conv_net(), SAMPLES[:3], labels=["a", "", "a"])
    assert found.labels == ("a",)


def test_a_threshold_that_nothing_can_be_compared_with() -> None:
    with pytest.raises(ValueError, match="dead_threshold must be a number, not nan"):
        stats(conv_net(), SAMPLES, dead_threshold=float("nan"))


def test_samples_are_told_as_they_are_done() -> None:
    told: list[tuple[int, str]] = []
    samples = [SAMPLES[0], random_array(1, 5, 5), SAMPLES[1]]
    stats(conv_net(), samples, done=lambda index, error: told.append((index, str(error)[:13])))
    assert told == [(0, "None"), (1, "shape (5, 5) "), (2, "None")]


def test_samples_that_fail_are_let_go_of() -> None:
    held: list[weakref.ref[NDArray[np.float32]]] = []

    def give() -> Iterator[NDArray[np.float32]]:
        for sample in (SAMPLES[0].copy(), random_array(1, 5, 5), random_array(2, 5, 5)):
            held.append(weakref.ref(sample))
            yield sample

    found = stats(conv_net(), give())
    gc.collect()
    assert len(found.failed) == 2
    assert [each() for each in held] == [None] * 3

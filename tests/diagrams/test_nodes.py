"""What a diagram draws as one node: modules, and mapped layers alone."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Collection, Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.choices import Detail
from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Holding, Link, Node, draw_nodes


def layer(name: str, *inputs: str, within: str = "") -> Layer:
    """A layer in modules, each by its path."""
    pieces = within.split(".") if within else []
    cluster = tuple(".".join(pieces[: depth + 1]) for depth in range(len(pieces)))
    classes = tuple(f"net.{piece.title()}" for piece in pieces)
    return Layer(
        name, "Relu", "Relu", inputs, cluster=cluster, onnx_name=name, cluster_classes=classes
    )


RESIDUAL = (
    layer("x"),
    layer("stem", "x"),
    layer("a.0.conv", "stem", within="a.0"),
    layer("a.0.add", "stem", "a.0.conv", within="a.0"),
    layer("a.1.conv", "a.0.add", within="a.1"),
    layer("a.1.add", "a.0.add", "a.1.conv", within="a.1"),
    layer("fc", "a.1.add"),
)
NAMES = [each.name for each in RESIDUAL]


def shape(nodes: Sequence[Node]) -> dict[str, list[tuple[str, int]]]:
    titles = {node.key: node.title for node in nodes}
    return {node.title: [(titles[e.source], e.hidden) for e in node.links] for node in nodes}


def drawn(
    layers: Sequence[Layer], depth: int | None = None, only: Collection[str] | None = None
) -> tuple[Node, ...]:
    mapped = [each.name for each in layers] if only is None else only
    return draw_nodes(layers, mapped, Detail(depth, only is not None))


def test_without_a_wish_each_layer_is_a_node() -> None:
    nodes = drawn(RESIDUAL)
    assert [node.layer for node in nodes] == list(RESIDUAL)
    assert [node.index for node in nodes] == list(range(7))
    assert nodes[3].links == (Link("stem"), Link("a.0.conv"))
    assert nodes[3].module is None


def test_a_module_at_the_depth_is_one_node() -> None:
    nodes = drawn(RESIDUAL, 1)
    assert shape(nodes) == {"x": [], "stem": [("x", 0)], "a": [("stem", 0)], "fc": [("a", 0)]}
    a = nodes[2]
    assert a.layer.name == "a.1.add"
    assert a.index == 5
    assert a.module == Holding("a", "net.A", layers=4, exits=1)
    assert a.cluster == ()


def test_deeper_modules_lie_in_frames() -> None:
    nodes = drawn(RESIDUAL, 2)
    assert [node.title for node in nodes] == ["x", "stem", "a.0", "a.1", "fc"]
    assert [node.cluster for node in nodes] == [(), (), ("a",), ("a",), ()]
    assert nodes[2].module == Holding("a.0", "net.0", layers=2, exits=1)
    assert shape(drawn(RESIDUAL, 3)) == shape(drawn(RESIDUAL))


def test_a_module_of_one_layer_is_that_layer() -> None:
    nodes = drawn([layer("x"), layer("a.conv", "x", within="a")], 1)
    assert [(node.title, node.module, node.cluster) for node in nodes][1] == ("a.conv", None, ())


def test_the_exit_is_the_last_layer_that_is_read_outside() -> None:
    layers = (
        layer("m.a", within="m"),
        layer("m.b", "m.a", within="m"),
        layer("m.aside", "m.b", within="m"),
        layer("m.c", "m.aside", within="m"),
        layer("end", "m.a", "m.aside"),
    )
    module, end = drawn(layers, 1)
    assert module.layer.name == "m.c"
    assert module.module is not None
    # Nobody reads m.c, so it is an output.
    assert module.module.exits == 3
    assert end.links == (Link("m.c"),)


def test_each_call_of_a_module_is_a_node() -> None:
    layers = (
        layer("m.a", within="m"),
        layer("m.b", "m.a", within="m"),
        layer("between", "m.b"),
        layer("m.a#2", "between", within="m"),
        layer("m.b#2", "m.a#2", within="m"),
    )
    assert shape(drawn(layers, 1)) == {"m": [], "between": [("m", 0)], "m#2": [("between", 0)]}


def test_parallel_parts_of_a_list_are_nodes_of_their_own() -> None:
    layers = (
        layer("x"),
        *(
            layer(f"heads.{head}.{step}", source, within=f"heads.{head}")
            for head in range(2)
            for step, source in (("a", "x"), ("b", f"heads.{head}.a"))
        ),
    )
    nodes = drawn(layers, 1)
    assert shape(nodes) == {"x": [], "heads.0": [("x", 0)], "heads.1": [("x", 0)]}
    assert [node.module and node.module.class_name for node in nodes][1:] == ["net.0", "net.1"]


def test_modules_that_would_make_a_circle_are_drawn_deeper() -> None:
    layers = (
        layer("a.0.x", within="a.0"),
        layer("b.0.x", within="b.0"),
        layer("a.1.x", "b.0.x", within="a.1"),
        layer("b.1.x", "a.0.x", within="b.1"),
        layer("a.1.y", "a.1.x", "a.0.x", within="a.1"),
        layer("b.1.y", "b.1.x", "b.0.x", within="b.1"),
    )
    assert [node.title for node in drawn(layers, 1)] == ["a.0.x", "b.0.x", "a.1", "b.1"]


def test_a_dotted_link_counts_the_layers_that_are_not_drawn() -> None:
    found = drawn(RESIDUAL, only=["stem", "a.0.add", "fc"])
    # Of a.1 three ways lead to fc, through two layers.
    assert shape(found) == {
        "stem": [],
        "a.0.add": [("stem", 0), ("stem", 1)],
        "fc": [("a.0.add", 2)],
    }
    assert [node.index for node in found] == [1, 3, 6]


def test_a_module_that_is_not_drawn_counts_all_its_layers() -> None:
    found = drawn(RESIDUAL, 1, only=["stem", "fc"])
    assert shape(found) == {"stem": [], "fc": [("stem", 4)]}


def test_no_dotted_link_leads_past_a_node() -> None:
    found = drawn(RESIDUAL, only=["a.0.conv", "a.1.conv", "fc"])
    assert shape(found) == {
        "a.0.conv": [],
        "a.1.conv": [("a.0.conv", 1)],
        "fc": [("a.1.conv", 1)],
    }


def test_a_frame_around_one_thing_that_says_the_same_is_left_out() -> None:
    layers = (
        layer("net.body.a.conv", within="net.body.a"),
        layer("net.body.b.conv", within="net.body.b"),
        layer("net.body.b.relu", within="net.body.b"),
    )
    body, b = ("net.body",), ("net.body", "net.body.b")
    assert [node.cluster for node in drawn(layers)] == [body, b, b]
    # A Keras model's name says nothing of what it holds.
    assert drawn([Layer("conv", "Conv", "Conv", cluster=("inner",))])[0].cluster == ("inner",)


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be a whole number from 1 on, not 0"):
        Detail(0)
    assert Detail(np.int64(2)) == Detail(2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not True"):
        Detail(True)
    with pytest.raises(ValueError, match="not '1'"):
        Detail("1")  # type: ignore[arg-type]


@st.composite
def networks(draw: st.DrawFn) -> list[Layer]:
    count = draw(st.integers(1, 12))
    places = st.sampled_from(["", "a", "b", "a.0", "a.1", "b.0", "b.0.c"])
    return [
        layer(
            str(index),
            *draw(st.lists(st.sampled_from([str(e) for e in range(index)]), unique=True))
            if index
            else (),
            within=draw(places),
        )
        for index in range(count)
    ]


@given(networks(), st.integers(1, 4))
@settings(deadline=None)
def test_nodes_of_any_network_hold_each_layer_once_and_make_no_circle(
    layers: list[Layer], depth: int
) -> None:
    nodes = drawn(layers, depth)
    assert sum(node.holds for node in nodes) == len(layers)
    assert len({node.title for node in nodes}) == len(nodes)
    graph = {node.key: [link.source for link in node.links] for node in nodes}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)
    assert all(layers[node.index] is node.layer for node in nodes)


@given(networks(), st.data())
@settings(deadline=None)
def test_drawn_layers_of_any_network_are_linked_as_ways_lead(
    layers: list[Layer], data: st.DataObject
) -> None:
    shown = data.draw(st.sets(st.sampled_from([each.name for each in layers])))
    inputs = {each.name: each.inputs for each in layers}

    def ways(name: str) -> list[list[str]]:
        """All ways to a layer from drawn ones, through others."""
        found = []
        for source in inputs[name]:
            found += [[source]] if source in shown else [[*w, source] for w in ways(source)]
        return found

    nodes = {node.key: node for node in drawn(layers, only=shown)}
    assert set(nodes) == shown
    told = {key: {link.source for link in node.links} for key, node in nodes.items()}
    above: dict[str, set[str]] = {}
    for key in (each.name for each in layers if each.name in shown):
        hidden: dict[str, set[str]] = {}
        for source, *between in ways(key):
            hidden.setdefault(source, set()).update(between)
        assert told[key] <= set(hidden)
        # What has no link of its own is reached through another node.
        above[key] = set().union(*({each} | above[each] for each in told[key]))
        assert set(hidden) <= above[key]
        counts = [(link.source, link.hidden) for link in nodes[key].links]
        assert [each for each, count in counts if not count] == [
            each.name for each in layers if each.name in inputs[key] and each.name in shown
        ]
        for source, count in counts:
            assert count in (0, len(hidden[source]))
        for one, (other, count) in itertools.product(told[key], counts):
            assert not (count and other in above[one])

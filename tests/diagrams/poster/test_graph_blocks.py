"""Blocks from the graph alone."""

from __future__ import annotations

import pytest

from micam_fast.diagrams.poster.flow import Flow, flow_of
from micam_fast.diagrams.poster.graph_blocks import find_groups
from micam_fast.diagrams.poster.kinds import INPUT
from micam_fast.diagrams.poster.shortcuts import main_ways
from tests.helpers.drawn_graphs import Graph
from tests.helpers.network_layers import nodes_of


def flow(graph: Graph) -> Flow:
    return flow_of(nodes_of(graph.layers))


def letters(graph: Graph) -> list[str]:
    """The letters of each block."""
    found = flow(graph)
    groups = find_groups(found).groups
    assert sorted(step for steps in groups for step in steps) == list(range(len(found)))
    return [" ".join(found.kinds[step].letter for step in steps) for steps in groups]


def test_residual_blocks_with_their_followers() -> None:
    graph = Graph()
    graph.chain("c n a p")
    for _ in range(3):
        graph.residual("c n a c n")
    graph.chain("p ~ f")
    block = "c n a c n + a"
    assert letters(graph) == ["in c n a p", block, block, block, "p ~ f"]
    assert len(find_groups(flow(graph)).regions) == 3


def test_followers_lead_where_regions_begin_with_a_normalization() -> None:
    """DenseNet: a layer normalizes what it reads, and so does a transition."""
    graph = Graph()
    graph.chain("c n a p")
    for _ in range(2):
        for _ in range(3):
            start = graph.last
            graph.add("Concat", start, graph.chain("n a c n a c"))
        graph.chain("n a c p")
    layer = "n a c n a c ||"
    stage = [layer, layer, layer, "n a c p"]
    assert letters(graph) == ["in c n a p", *stage, *stage]


def test_concat_of_all_before_is_that_of_the_last_and_one_more() -> None:
    """In torchvision, DenseNet joins a list that grows."""
    graph = Graph()
    features = [graph.chain("c n a p")]
    joined = features[0]
    for _ in range(4):
        features.append(graph.chain("n a c n a c", joined))
        joined = graph.add("Concat", *features)
    layer = "n a c n a c ||"
    assert letters(graph) == ["in c n a p", layer, layer, layer, layer]


def test_units_that_repeat() -> None:
    """MobileNet: pads and strides make no difference, sizes of kernels do."""
    graph = Graph()
    graph.chain("c n a")
    for pad in (False, True, False, True):
        graph.chain("° d n a 1 n a" if pad else "d n a 1 n a")
    pair = "d n a c n a"
    assert letters(graph) == ["in c n a", pair, f"° {pair}", pair, f"° {pair}"]


def test_chain_of_units_that_are_all_alike() -> None:
    graph = Graph()
    graph.chain("c a " * 40)
    assert letters(graph) == ["in", *["c a"] * 40]


def test_sizes_divide_a_chain() -> None:
    """VGG: a pool ends what is of one size."""
    graph = Graph(32)
    for count, size in ((2, 32), (3, 16), (4, 8), (5, 4)):
        graph.chain("c a " * count, size=size)
        graph.chain("p", size=size // 2)
    counts = (2, 3, 4, 5)
    assert letters(graph) == [
        *(f"{'in ' if count == 2 else ''}{'c a ' * count}p" for count in counts)
    ]


def test_large_region_is_searched_inside() -> None:
    """Branches of an inception cell: two blocks of about the same size."""
    graph = Graph()
    start = graph.chain("c n a")
    ends = [graph.chain("c n a " * count, start) for count in (1, 3, 5, 1)]
    graph.add("Concat", *ends)
    graph.chain("p f")
    blocks = letters(graph)
    assert blocks[0] == "in c n a"
    assert sorted(len(each.split()) for each in blocks[1:-1]) == [12, 19]
    assert sum(each.count("||") for each in blocks) == 1


def test_inside_of_a_region_without_a_way_around() -> None:
    """MobileNetV2: where sizes change, a block has no shortcut."""
    graph = Graph()
    graph.chain("c n a")
    inside = "c n a ° c n"
    for shortcut in (False, True, False, True, True):
        if shortcut:
            start = graph.last
            graph.add("Add", graph.chain(inside), start)
        else:
            graph.chain(inside)
    assert letters(graph) == [
        "in c n a", inside, f"{inside} +", inside, f"{inside} +", f"{inside} +",
    ]  # fmt: skip


def test_edges_over_sizes_make_no_region() -> None:
    """U-Net: skips lead past what makes maps smaller and larger again."""
    graph = Graph(32)
    double = "c n a c n a"
    fine = graph.chain(double, size=32)
    middle = graph.chain(double, graph.chain("p", size=16), size=16)
    graph.chain(double, graph.chain("p", size=8), size=8)
    for skip, size in ((middle, 16), (fine, 32)):
        graph.chain("^", size=size)
        graph.chain(double, graph.add("Concat", skip, graph.last, size=size), size=size)
    graph.chain("c", size=32)
    assert letters(graph) == [
        f"in {double}", f"p {double}", f"p {double}", f"^ || {double}", f"^ || {double}", "c",
    ]  # fmt: skip
    found = flow(graph)
    far = {found.nodes[step].key for step in main_ways(found).far}
    assert far == {fine, middle}


def test_gate_makes_no_edge_over_sizes() -> None:
    """Squeeze and excite: the gate is small, and nothing makes it larger."""
    graph = Graph()
    start = graph.chain("c n a")
    gate = graph.chain("p c a c", start, size=1)
    graph.add("Mul", start, gate)
    assert not main_ways(flow(graph)).far


def test_convolution_behind_a_concat_belongs_to_it() -> None:
    """YOLO's C2f ends in what mixes its channels; a step to another size does not."""
    graph = Graph()
    start = graph.chain("c n a")
    half = graph.chain("1 n a", start)
    graph.add("Concat", start, half, graph.chain("c n a c n a", half))
    graph.chain("1 n a")
    graph.chain("c n a", size=8)
    graph.residual("c n c n", graph.last)
    assert letters(graph) == [
        "in c n a", "c n a c n a c n a || c n a", "c n a", "c n c n + a",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 30, 200])
def test_graph_without_edges(size: int) -> None:
    graph = Graph()
    for _ in range(size):
        graph.add("Input")
    found = find_groups(flow(graph))
    assert len(found.groups) == size + 1
    assert set(flow(graph).kinds) == {INPUT}


def test_everything_reads_everything() -> None:
    """Deep nesting ends in single steps."""
    graph = Graph()
    for _ in range(150):
        graph.add("Add", *(layer.name for layer in graph.layers))
    found = find_groups(flow(graph))
    assert sum(map(len, found.groups)) == 151
    assert max(map(len, found.groups)) <= 24

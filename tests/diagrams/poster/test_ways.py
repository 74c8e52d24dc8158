"""Ways around: elbows, side branches, long edges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.blocks import Block, find_blocks
from micam_fast.diagrams.poster.ways import BlockWays, Elbow, LongEdge, SideBranch, find_ways
from tests.helpers.drawn_graphs import Graph, random_graphs
from tests.helpers.network_layers import network_nodes, nodes_of


def ways_of(graph: Graph, *sizes: int) -> tuple[tuple[BlockWays, ...], tuple[LongEdge, ...]]:
    """The ways of blocks of these sizes; places are those of the layers."""
    nodes = nodes_of(graph.layers)
    blocks, start = [], 0
    for size in sizes:
        members = tuple(range(start, start + size))
        blocks.append(Block("any", members, members[-1]))
        start += size
    found = find_ways(blocks, nodes)
    return found.blocks, found.long


def titled(nodes: Sequence[Node], place: int | None) -> str | None:
    return None if place is None else nodes[place].title


def test_elbow_from_what_enters() -> None:
    graph = Graph()
    graph.residual("c n")
    (_, block), long = ways_of(graph, 1, 4)
    assert block == BlockWays((1, 2, 3, 4), (Elbow(None, 3),), None, follows=True)
    assert not long


def test_elbow_from_a_member() -> None:
    """A gate: the way around begins inside."""
    graph = Graph()
    start = graph.chain("c")
    graph.add("Mul", start, graph.chain("p c a c", start))
    (_, block), _ = ways_of(graph, 1, 6)
    assert block.row == (1, 2, 3, 4, 5, 6)
    assert block.elbows == (Elbow(1, 6),)
    assert block.side is None


def test_side_branch_beside_the_main_way() -> None:
    graph = Graph()
    start = graph.chain("c")
    main = graph.chain("c n a c n", start)
    side = graph.chain("c n", start)
    graph.chain("a", graph.add("Add", main, side))
    (_, block), _ = ways_of(graph, 2, 9)
    assert block.side == SideBranch((7, 8), None, 9)
    assert block.row == (2, 3, 4, 5, 6, 9, 10)
    assert block.elbows == ()


def test_side_branch_that_leaves_inside() -> None:
    graph = Graph()
    start = graph.chain("c")
    main = graph.chain("c n a c n", start)
    graph.add("Add", main, graph.chain("c", start))
    (_, block), _ = ways_of(graph, 1, 8)
    assert block.side == SideBranch((7,), 1, 8)


@pytest.mark.parametrize(("side", "is_beside"), [("c n a", True), ("c n a c", False)])
def test_side_branch_has_three_layers_at_most(side: str, is_beside: bool) -> None:
    graph = Graph()
    main = graph.chain("c n a c n a", "n0")
    graph.add("Add", main, graph.chain(side, "n0"))
    (_, block), _ = ways_of(graph, 1, 7 + len(side.split()))
    assert (block.side is not None) == is_beside


def test_ways_of_the_same_length_stay_in_the_row() -> None:
    graph = Graph()
    graph.add("Add", graph.chain("c n", "n0"), graph.chain("c n", "n0"))
    (_, block), _ = ways_of(graph, 1, 5)
    assert block.side is None
    assert block.elbows == (Elbow(2, 5),)


def test_long_edges() -> None:
    graph = Graph()
    skip = graph.chain("c n")
    graph.chain("c n")
    graph.chain("c n")
    graph.add("Concat", skip, graph.last)
    graph.chain("c")
    blocks, long = ways_of(graph, 3, 2, 2, 2)
    assert long == (LongEdge(0, 3),)
    assert [block.follows for block in blocks] == [False, True, True, True]
    # What comes by a long edge has a pill, and no elbow.
    assert all(not block.elbows for block in blocks)


def test_block_that_does_not_read_the_one_before() -> None:
    graph = Graph()
    graph.chain("c n", "n0")
    graph.chain("c n", "n0")
    blocks, long = ways_of(graph, 1, 2, 2)
    assert [block.follows for block in blocks] == [False, True, False]
    assert long == (LongEdge(0, 2),)


def test_resnet() -> None:
    nodes = network_nodes("ResNet50")
    blocks = find_blocks(nodes).blocks
    found = find_ways(blocks, nodes)
    assert not found.long
    assert [each.follows for each in found.blocks] == [False, *[True] * 17]
    for block, each in zip(blocks[1:-1], found.blocks[1:-1], strict=True):
        if block.title.endswith("_block1"):
            assert each.side is not None
            titles = [nodes[place].title for place in each.side.members]
            assert titles == [f"{block.title}_0_conv", f"{block.title}_0_bn"]
            assert each.side.source is None
            assert not each.elbows
        else:
            assert each.side is None
            (elbow,) = each.elbows
            assert elbow.source is None
            assert nodes[elbow.join].title == f"{block.title}_add"


def test_densenet_has_an_elbow_in_each_layer() -> None:
    nodes = network_nodes("DenseNet121")
    found = find_ways(find_blocks(nodes).blocks, nodes)
    assert sum(len(each.elbows) for each in found.blocks) == 58
    assert not found.long


def test_u_net_has_two_pills() -> None:
    nodes = network_nodes("unet")
    found = find_ways(find_blocks(nodes).blocks, nodes)
    assert found.long == (LongEdge(0, 4), LongEdge(1, 3))
    assert all(not each.elbows and each.side is None for each in found.blocks)


def test_squeeze_and_excite() -> None:
    nodes = network_nodes("EfficientNetB0")
    blocks = find_blocks(nodes).blocks
    found = find_ways(blocks, nodes)
    (block2b,) = (
        each for block, each in zip(blocks, found.blocks, strict=True) if block.title == "block2b"
    )
    assert [(titled(nodes, e.source), titled(nodes, e.join)) for e in block2b.elbows] == [
        ("block2b_activation", "block2b_se_excite"), (None, "block2b_add"),
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(random_graphs(60))
def test_ways_are_edges(layers: tuple[Layer, ...]) -> None:
    nodes = nodes_of(layers)
    blocks = find_blocks(nodes).blocks
    found = find_ways(blocks, nodes)
    place_of = {node.key: place for place, node in enumerate(nodes)}
    reads = [{place_of[link.source] for link in node.links} for node in nodes]
    block_of = {place: number for number, block in enumerate(blocks) for place in block.members}
    pairs = {(block_of[s], block_of[p]) for p, read in enumerate(reads) for s in read}
    assert {(e.source, e.target) for e in found.long} == {p for p in pairs if p[1] - p[0] > 1}
    for number, (block, ways) in enumerate(zip(blocks, found.blocks, strict=True)):
        side = () if ways.side is None else ways.side.members
        assert sorted((*ways.row, *side)) == sorted(block.members)
        assert len(side) <= 3
        assert ways.follows == ((number - 1, number) in pairs)
        for elbow in ways.elbows:
            assert ways.row[ways.row.index(elbow.join) - 1] in reads[elbow.join]
            outside = reads[elbow.join] - set(block.members)
            assert elbow.source in reads[elbow.join] if elbow.source is not None else outside
        if ways.side is not None:
            assert ways.side.members[-1] in reads[ways.side.join]

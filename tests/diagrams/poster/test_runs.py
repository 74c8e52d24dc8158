"""Runs of blocks that are alike."""

from __future__ import annotations

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.runs import Entry, shorter_entries, single_entries
from micam_fast.diagrams.poster.stages import Stage


def network(kernels: list[int]) -> tuple[tuple[Node, ...], list[Block]]:
    """A block of a convolution and a Relu for each size of a kernel."""
    layers: list[Layer] = []
    for number, size in enumerate(kernels):
        before = (layers[-1].name,) if layers else ()
        kernel = (4, 4, size, size)
        layers.append(Layer(f"c{number}", "Conv", "Conv", before, kernel_shape=kernel))
        layers.append(Layer(f"r{number}", "Relu", "Relu", (f"c{number}",)))
    blocks = [Block(f"b{n}", (2 * n, 2 * n + 1), 2 * n + 1) for n in range(len(kernels))]
    return draw_nodes(layers, [layer.name for layer in layers]), blocks


def test_the_longest_run_is_joined_first() -> None:
    nodes, blocks = network([3] * 3 + [5] * 5 + [1])
    found = list(shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 9, 18)]))
    assert found[0] == [*map(Entry, range(3), range(1, 4)), Entry(3, 8), Entry(8, 9)]
    assert found[1] == [Entry(0, 3), Entry(3, 8), Entry(8, 9)]
    assert len(found) == 2


def test_a_run_ends_where_its_stage_ends() -> None:
    nodes, blocks = network([3] * 8)
    stages = [Stage("8 x 8", 0, 4, 8), Stage("4 x 4", 4, 8, 8)]
    assert list(shorter_entries(blocks, nodes, stages)) == [[Entry(0, 4), Entry(4, 8)]]


def test_blocks_that_differ_are_cards_of_their_own() -> None:
    nodes, blocks = network([1, 3, 1, 3, 5])
    assert list(shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 5, 10)])) == []
    assert [entry.shown for entry in single_entries(blocks)] == [(n,) for n in range(5)]


def test_a_run_shows_its_first_and_its_last_block() -> None:
    assert Entry(3, 20).shown == (3, 19)
    assert Entry(3, 20).count == 17

"""Runs of blocks that are alike."""

from __future__ import annotations

import pytest

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.runs import Entry, joined_blocks, shorter_entries, single_entries
from micam_fast.diagrams.poster.stages import Stage


def network(kernels: list[int], *, keras: bool = False) -> tuple[tuple[Node, ...], list[Block]]:
    """A block of a convolution and a Relu for each size of a kernel."""
    layers: list[Layer] = []
    for number, size in enumerate(kernels):
        before = (layers[-1].name,) if layers else ()
        name = f"c{number}"
        kernel = (size, size, 4, 4) if keras else (4, 4, size, size)
        onnx_name = None if keras else name
        layers.append(Layer(name, "Conv", "Conv", before, kernel_shape=kernel, onnx_name=onnx_name))
        layers.append(Layer(f"r{number}", "Relu", "Relu", (f"c{number}",)))
    blocks = [Block(f"b{n}", (2 * n, 2 * n + 1), 2 * n + 1) for n in range(len(kernels))]
    return draw_nodes(layers, [layer.name for layer in layers]), blocks


def test_the_longest_run_is_joined_first() -> None:
    nodes, blocks = network([1] + [3] * 3 + [5] * 5 + [1])
    found = list(shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 10, 20)]))
    assert found[0] == [*map(Entry, range(4), range(1, 5)), Entry(4, 9), Entry(9, 10)]
    assert found[1] == [Entry(0, 1), Entry(1, 4), Entry(4, 9), Entry(9, 10)]
    assert len(found) == 2


def test_a_run_ends_where_its_stage_ends() -> None:
    nodes, blocks = network([3] * 10)
    stages = [Stage("8 x 8", 0, 5, 10), Stage("4 x 4", 5, 10, 10)]
    (found,) = shorter_entries(blocks, nodes, stages)
    assert found == [Entry(0, 1), Entry(1, 5), Entry(5, 9), Entry(9, 10)]


def test_the_first_and_the_last_block_are_no_part_of_a_run() -> None:
    nodes, blocks = network([3] * 5)
    (found,) = shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 5, 10)])
    assert found == [Entry(0, 1), Entry(1, 4), Entry(4, 5)]


def test_small_neighbours_of_one_stage_are_one_block() -> None:
    _, blocks = network([3] * 10)
    stages = [Stage("8 x 8", 0, 7, 14), Stage("4 x 4", 7, 10, 6)]
    found = [[len(b.members) for b in each] for each in joined_blocks(blocks, stages)]
    assert found == [[6, 6, 2, 6], [12, 2, 6], [14, 6]]
    first = next(joined_blocks(blocks, stages))[0]
    assert first == Block("b0 … b2", tuple(range(6)), 5)


@pytest.mark.parametrize("keras", [False, True])
def test_kernels_of_other_sizes_make_blocks_differ(keras: bool) -> None:
    nodes, blocks = network([1] + [3] * 3 + [5] * 3 + [1], keras=keras)
    (found,) = shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 8, 16)])
    assert found == [Entry(0, 1), Entry(1, 4), Entry(4, 7), Entry(7, 8)]


def test_blocks_that_differ_are_cards_of_their_own() -> None:
    nodes, blocks = network([1, 3, 1, 3, 5])
    assert list(shorter_entries(blocks, nodes, [Stage("8 x 8", 0, 5, 10)])) == []
    assert [entry.shown for entry in single_entries(blocks)] == [(n,) for n in range(5)]


def test_a_run_shows_its_first_and_its_last_block() -> None:
    assert Entry(3, 20).shown == (3, 19)
    assert Entry(3, 20).count == 17

"""Stages of blocks."""

from __future__ import annotations

import numpy as np

from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.stages import Stage, find_stages
from tests.helpers.posters import chain_nodes, layer_map, maps_of


def blocks_of(count: int) -> list[Block]:
    return [Block(f"b{n}", (2 * n, 2 * n + 1), 2 * n + 1) for n in range(count)]


def test_consecutive_blocks_of_one_size_are_a_stage() -> None:
    nodes = chain_nodes(8)
    maps = maps_of(nodes, [(8, 8)] * 4 + [(4, 4)] * 2 + [(8, 8)] * 2)
    found = find_stages(blocks_of(4), nodes, maps)
    assert found == (
        Stage("8 x 8", 0, 2, 4),
        Stage("4 x 4", 2, 3, 2),
        Stage("8 x 8", 3, 4, 2),
    )


def test_lists_and_single_values_are_values() -> None:
    nodes = chain_nodes(4)
    maps = dict(maps_of(nodes, [(8, 8), (8, 8), (8, 8), (1, 1)]))
    maps["l1"] = layer_map(np.ones((2, 5)), flat=True)
    assert find_stages(blocks_of(2), nodes, maps) == (Stage("values", 0, 2, 4),)


def test_a_block_without_a_map_joins_the_stage_before() -> None:
    nodes = chain_nodes(4)
    maps = dict(maps_of(nodes, [(8, 8)] * 4))
    del maps["l3"]
    assert find_stages(blocks_of(2), nodes, maps) == (Stage("8 x 8", 0, 2, 4),)

"""Blocks: by layers, by names, with leftovers, in order, with titles and exits."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from micam_fast.core.choices import Detail
from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.poster.blocks import Grouping, find_blocks
from micam_fast.diagrams.poster.kinds import kind_of
from tests.helpers.drawn_graphs import Graph, random_graphs
from tests.helpers.network_layers import network_layers, network_nodes, nodes_of, without_names


def letters(nodes: Sequence[Node], found: Grouping) -> list[str]:
    return [
        " ".join(kind_of(nodes[place]).letter for place in block.members) for block in found.blocks
    ]


def residual(*paths: str, ops: str = "c n a c n") -> Graph:
    """A stem, a residual block for each path, a head; layers in modules."""
    graph = Graph()
    graph.chain("c n a")
    for path in paths:
        pieces = path.split(".")
        around = [".".join(pieces[: n + 1]) for n in range(len(pieces))]
        start = read = graph.last
        for number, letter in enumerate(ops.split()):
            op = {"c": "Conv", "n": "BatchNormalization", "a": "Relu"}[letter]
            read = graph.add(op, read, name=f"{path}.{letter}{number}", cluster=around)
        graph.add("Add", read, start, name=f"{path}.add", cluster=around)
    graph.chain("p ~ f", size=1)
    return graph


def test_small_network_is_shown_layer_by_layer() -> None:
    graph = Graph()
    graph.chain("c a p c a p ~ f a f")
    nodes = nodes_of(graph.layers)
    found = find_blocks(nodes)
    assert found.by == "layers"
    assert [block.members for block in found.blocks] == [(place,) for place in range(11)]
    assert [block.title for block in found.blocks] == [node.title for node in nodes]
    assert all(block.exit == block.members[0] for block in found.blocks)


@pytest.mark.parametrize(("count", "by"), [(24, "layers"), (25, "graph")])
def test_more_layers_than_a_block_holds(count: int, by: str) -> None:
    graph = Graph()
    graph.chain("c " * (count - 1))
    assert find_blocks(nodes_of(graph.layers)).by == by


def test_modules() -> None:
    graph = residual("layer1.0", "layer1.1", "layer2.0", "layer2.1", ops="c n a c n a c n a c n a")
    found = find_blocks(nodes_of(graph.layers))
    # A stage is more than a block holds.
    assert found.by == "names"
    assert [block.title for block in found.blocks] == [
        "stem", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "head",
    ]  # fmt: skip
    assert found.regions == found.whole_regions == 4


def test_shortest_module_that_a_block_holds() -> None:
    graph = residual("layer1.0", "layer1.1", "layer2.0", "layer2.1")
    found = find_blocks(nodes_of(graph.layers))
    assert [block.title for block in found.blocks] == ["stem", "layer1", "layer2", "head"]


@pytest.mark.parametrize("sign", ["/", ".", "_"])
def test_names_that_are_split_at_a_sign(sign: str) -> None:
    """Layers without modules: only their names tell."""
    graph = residual(*(f"block{number}" for number in range(5)))
    layers = tuple(
        Layer(
            layer.name.replace(".", sign), layer.op_type, layer.class_label,
            tuple(read.replace(".", sign) for read in layer.inputs), layer.input_shapes,
            layer.output_shape, layer.kernel_shape, onnx_name=layer.onnx_name,
        )
        for layer in graph.layers
    )  # fmt: skip
    found = find_blocks(nodes_of(layers))
    assert found.by == "names"
    assert [block.title for block in found.blocks] == [
        "stem", *(f"block{number}" for number in range(5)), "head",
    ]  # fmt: skip


def test_names_across_regions_lose() -> None:
    """What is called alike does not hold the ways that belong together."""
    graph = Graph()
    graph.chain("c n a")
    for _ in range(6):
        start = graph.last
        graph.add("Add", graph.chain("c n a", start), start)
    renamed = {
        layer.name: f"part{place // 3}.{layer.name}" for place, layer in enumerate(graph.layers)
    }
    layers = tuple(
        Layer(
            renamed[layer.name], layer.op_type, layer.class_label,
            tuple(renamed[read] for read in layer.inputs), layer.input_shapes, layer.output_shape,
            layer.kernel_shape, onnx_name=layer.onnx_name,
        )
        for layer in graph.layers
    )  # fmt: skip
    found = find_blocks(nodes_of(layers))
    assert found.by == "graph"
    assert found.regions == found.whole_regions == 6


def test_module_that_a_way_leaves_and_comes_back_to_is_several_blocks() -> None:
    """Two encoders that are called in turn: each call of either is a block."""
    graph = Graph()
    graph.chain("c n a")
    for number in range(4):
        path = "even" if number % 2 == 0 else "odd"
        for letter, op in zip("cnad", ("Conv", "BatchNormalization", "Relu", "Conv"), strict=True):
            name = f"{path}.{letter}{number}"
            graph.add(op, graph.last, name=name, cluster=(path,))
    for number in range(2):
        graph.add("Conv", graph.last, name=f"end.{number}", cluster=("end",))
    graph.chain("p ~ f", size=1)
    found = find_blocks(nodes_of(graph.layers))
    assert found.by == "names"
    assert [len(block.members) for block in found.blocks[1:5]] == [4, 4, 4, 4]


def test_module_of_layers_that_do_not_hang_together_is_several_blocks() -> None:
    """Heads of two scales in one list."""
    nodes = network_nodes("yolo")
    found = find_blocks(nodes)
    heads = [block for block in found.blocks if block.title.startswith("model.10.cv2")]
    assert [len(block.members) for block in heads] == [4, 4]
    assert len({block.title for block in heads}) == 2


def test_leftovers() -> None:
    """A resize and a concat go on, what follows goes back, a pool makes the next one's size."""
    graph = Graph(32)
    graph.chain("c n a", size=32)
    for path, size in (("down", 32), ("deep", 16), ("up", 32)):
        if path == "deep":
            graph.add("MaxPool", graph.last, name="pool", size=16)
        if path == "up":
            graph.add("Resize", graph.last, name="resize", size=32)
            graph.add("Concat", graph.last, "down.c7", name="concat", size=32)
        for number in range(8):
            graph.add("Conv", graph.last, name=f"{path}.c{number}", cluster=(path,), size=size)
    graph.add("Relu", graph.last, name="after", size=32)
    nodes = nodes_of(graph.layers)
    found = find_blocks(nodes)
    convolutions = " ".join("c" * 8)
    assert [block.title for block in found.blocks] == ["stem", "down", "deep", "up"]
    assert letters(nodes, found) == [
        "in c n a", convolutions, f"p {convolutions}", f"^ || {convolutions} a",
    ]  # fmt: skip


def test_values_at_the_end_are_the_head() -> None:
    """The last block shows its maps, and not their means."""
    nodes = network_nodes("ResNet50")
    found = find_blocks(nodes)
    assert [nodes[place].title for place in found.blocks[-1].members] == [
        "avg_pool", "predictions",
    ]  # fmt: skip
    assert nodes[found.blocks[-2].exit].layer.output_shape == (None, 7, 7, 2048)


def test_two_inputs() -> None:
    """No stem: each input's block has a name of its own."""
    graph = Graph()
    ends = []
    for number in range(2):
        graph.add("Input") if number else None
        ends.append(graph.chain("c n a c n a c n a c n a"))
    graph.add("Concat", *ends)
    graph.chain("c n a p ~ f", size=1)
    nodes = nodes_of(graph.layers)
    found = find_blocks(nodes)
    assert sum(text.startswith("in") for text in letters(nodes, found)) == 2
    assert found.blocks[-1].title == "head"


def test_exit_of_a_concat_of_old_and_new() -> None:
    graph = Graph()
    graph.chain("c n a")
    for _ in range(4):
        start = graph.last
        graph.add("Concat", start, graph.chain("n a c n a c", start))
    nodes = nodes_of(graph.layers)
    found = find_blocks(nodes)
    exits = [kind_of(nodes[block.exit]).letter for block in found.blocks]
    assert exits == ["a", "c", "c", "c", "c"]


def test_exit_of_a_concat_of_new_ways() -> None:
    graph = Graph()
    graph.chain("c n a")
    for _ in range(4):
        start = graph.last
        graph.add("Concat", graph.chain("c n a", start), graph.chain("c n a c n a", start))
    nodes = nodes_of(graph.layers)
    found = find_blocks(nodes)
    assert [kind_of(nodes[block.exit]).letter for block in found.blocks] == ["a", *["||"] * 4]


def test_modules_as_nodes() -> None:
    """With a depth, a node may be a whole module; blocks go by the modules around it."""
    layers = network_layers("yolo")
    nodes = draw_nodes(layers, {layer.name for layer in layers}, Detail(depth=3))
    assert any(node.module is not None for node in nodes)
    found = find_blocks(nodes)
    places = [place for block in found.blocks for place in block.members]
    assert sorted(places) == list(range(len(nodes)))
    assert found.by == "names"


def test_mapped_nodes_alone() -> None:
    """Links that lead past what is not drawn."""
    layers = network_layers("ResNet50")
    mapped = {layer.name for layer in layers if layer.kernel_shape is not None}
    nodes = draw_nodes(layers, mapped, Detail(only_mapped=True))
    found = find_blocks(nodes)
    assert found.by == "names"
    assert {block.title for block in found.blocks} >= {"conv2", "conv3", "conv4", "conv5"}
    assert found.blocks[-1].title == "head"


def test_no_nodes() -> None:
    assert find_blocks(()) == Grouping((), "layers", 0, 0)


# --- Whatever the graph is -------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(random_graphs())
def test_every_node_is_in_one_block_and_nothing_reads_a_later_one(
    layers: tuple[Layer, ...],
) -> None:
    nodes = nodes_of(layers)
    found = find_blocks(nodes)
    places = [place for block in found.blocks for place in block.members]
    assert sorted(places) == list(range(len(nodes)))
    order = {nodes[place].key: number for number, place in enumerate(places)}
    assert all(order[link.source] < order[node.key] for node in nodes for link in node.links)
    assert all(block.exit in block.members for block in found.blocks)
    assert found.whole_regions <= found.regions
    assert find_blocks(nodes) == found


@settings(max_examples=30, deadline=None)
@given(random_graphs())
def test_names_that_tell_nothing_change_nothing(layers: tuple[Layer, ...]) -> None:
    found = find_blocks(nodes_of(layers))
    other = find_blocks(nodes_of(without_names(layers)))
    assert [block.members for block in found.blocks] == [block.members for block in other.blocks]


@pytest.mark.parametrize("name", ["ResNet50", "DenseNet121", "MobileNetV2", "NASNetMobile"])
@pytest.mark.parametrize("bare", [False, True])
def test_one_layer_more_changes_blocks_nearby_alone(name: str, bare: bool) -> None:
    layers = network_layers(name)
    if bare:
        layers = without_names(layers)
    place = len(layers) // 2
    after = layers[place]
    more = Layer(
        f"{after.name}_more", "Relu", "Relu", (after.name,), (after.output_shape,),
        after.output_shape, onnx_name=after.onnx_name,
    )  # fmt: skip
    changed = tuple(
        Layer(
            layer.name, layer.op_type, layer.class_label,
            tuple(more.name if read == after.name else read for read in layer.inputs),
            layer.input_shapes, layer.output_shape, layer.kernel_shape, onnx_name=layer.onnx_name,
        )
        for layer in layers
    )  # fmt: skip
    both = [
        {frozenset(nodes[place].key for place in block.members) for block in found.blocks}
        for nodes in (
            nodes_of(layers),
            nodes_of((*changed[: place + 1], more, *changed[place + 1 :])),
        )
        for found in [find_blocks(nodes)]
    ]
    assert len(both[0] - both[1]) <= 4


@pytest.mark.parametrize("count", [1000, 3000])
def test_long_networks_take_little_time(count: int) -> None:
    """Time that grows with the network alone: so does a chain, and so do residual blocks."""
    graph = Graph()
    while len(graph.layers) < count:
        graph.residual("c n a c n") if count == 3000 else graph.chain("c a")
    nodes = nodes_of(graph.layers)
    find_blocks(nodes)
    start = time.process_time()
    find_blocks(nodes)
    assert time.process_time() - start < count / 5000

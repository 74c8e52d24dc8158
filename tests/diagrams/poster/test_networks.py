"""Blocks of networks that everybody knows: how many, and what they hold."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import micam_fast
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.blocks import Block, Grouping, find_blocks
from micam_fast.diagrams.poster.kinds import ADD, CONCAT, MULTIPLY, kind_of
from micam_fast.models.keras import export_model
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.network_layers import network_names, network_nodes, nodes_of
from tests.helpers.real_models import load


@dataclass(frozen=True)
class Wanted:
    """Figures of a network: what tells its blocks, how many, and regions that lie in one."""

    by: str
    blocks: int
    regions: int


NAMED = {
    "ConvNeXtTiny": Wanted("names", 23, 18),
    "DenseNet121": Wanted("names", 63, 58),
    "EfficientNetB0": Wanted("names", 19, 16),
    "InceptionV3": Wanted("graph", 19, 5),
    "MobileNet": Wanted("graph", 15, 0),
    "MobileNetV2": Wanted("names", 20, 10),
    "MobileNetV3Small": Wanted("graph", 13, 10),
    "NASNetMobile": Wanted("graph", 58, 3),
    "ResNet50": Wanted("names", 18, 16),
    "Xception": Wanted("graph", 14, 12),
    "densenet": Wanted("names", 5, 5),
    "mobilenet_v3": Wanted("names", 6, 2),
    "resnet": Wanted("names", 4, 4),
    "swin": Wanted("graph", 11, 6),
    "unet": Wanted("names", 6, 0),
    "yolo": Wanted("names", 15, 5),
}
BARE = {
    "ConvNeXtTiny": 23, "DenseNet121": 63, "EfficientNetB0": 18, "InceptionV3": 19, "MobileNet": 15,
    "MobileNetV2": 19, "MobileNetV3Small": 13, "NASNetMobile": 58, "ResNet50": 18, "Xception": 14,
    "densenet": 8, "mobilenet_v3": 6, "resnet": 6, "swin": 11, "unet": 5, "yolo": 11,
}  # fmt: skip
"""Blocks of the same networks by the graph alone."""


def test_all_known_networks_have_figures() -> None:
    assert sorted(NAMED) == sorted(BARE) == network_names()


@pytest.mark.parametrize("name", sorted(NAMED))
def test_blocks_of_a_network(name: str) -> None:
    nodes = network_nodes(name)
    found = find_blocks(nodes)
    assert (found.by, len(found.blocks)) == (NAMED[name].by, NAMED[name].blocks)
    assert found.regions == found.whole_regions == NAMED[name].regions
    check(found, nodes)


@pytest.mark.parametrize("name", sorted(BARE))
def test_blocks_without_names(name: str) -> None:
    nodes = network_nodes(name, bare=True)
    found = find_blocks(nodes)
    assert (found.by, len(found.blocks)) == ("graph", BARE[name])
    assert found.regions == found.whole_regions == NAMED[name].regions
    check(found, nodes)
    assert found.blocks[0].title == "stem"
    assert found.blocks[-1].title == "head"
    middle = [block.title for block in found.blocks[1:-1]]
    assert not any(middle)


@needs_tensorflow
@pytest.mark.slow
def test_stored_layers_are_those_of_keras() -> None:
    import keras

    notes = export_model(keras.applications.ResNet50(weights=None)).notes
    found = find_blocks(nodes_of([note.layer for note in notes]))
    assert found == find_blocks(network_nodes("ResNet50"))


def check(found: Grouping, nodes: tuple[Node, ...]) -> None:
    """Every node is in one block, none reads a later one, and none is too large for a card."""
    places = [place for block in found.blocks for place in block.members]
    assert sorted(places) == list(range(len(nodes)))
    order = {nodes[place].key: number for number, place in enumerate(places)}
    assert all(order[link.source] < order[node.key] for node in nodes for link in node.links)
    assert max(len(block.members) for block in found.blocks) <= 30


def blocks_of(name: str, *, bare: bool = False) -> tuple[tuple[Node, ...], tuple[Block, ...]]:
    nodes = network_nodes(name, bare=bare)
    return nodes, find_blocks(nodes).blocks


def letters(nodes: tuple[Node, ...], block: Block) -> str:
    return " ".join(kind_of(nodes[place]).letter for place in block.members)


def test_resnet_50() -> None:
    nodes, blocks = blocks_of("ResNet50")
    counts = {2: 3, 3: 4, 4: 6, 5: 3}
    inner = [f"conv{stage}_block{n + 1}" for stage, count in counts.items() for n in range(count)]
    assert [block.title for block in blocks] == ["stem", *inner, "head"]
    assert letters(nodes, blocks[0]) == "in ° c n a ° p"
    assert letters(nodes, blocks[2]) == "c n a c n a c n + a"
    assert letters(nodes, blocks[-1]) == "p f"
    assert [nodes[block.exit].title for block in blocks[:3]] == [
        "pool1_pool", "conv2_block1_out", "conv2_block2_out",
    ]  # fmt: skip


def test_densenet_121() -> None:
    """What is new is the main tile, not the concat of old and new."""
    nodes, blocks = blocks_of("DenseNet121")
    layers = [block for block in blocks if re.fullmatch(r"conv\d_block\d+", block.title)]
    assert len(layers) == 58
    for block in layers:
        assert nodes[block.exit].title == f"{block.title}_2_conv"
        assert letters(nodes, block) == "n a c n a c ||"
    between = [block for block in blocks if block.title.startswith("pool")]
    assert [letters(nodes, block) for block in between] == ["n a c p"] * 3
    assert letters(nodes, blocks[-1]) == "n a p f"


@pytest.mark.parametrize("bare", [False, True])
def test_efficientnet_b0(bare: bool) -> None:
    """A block of each expansion; those without a shortcut are known by those with one."""
    nodes, blocks = blocks_of("EfficientNetB0", bare=bare)
    inner = blocks[1:17]
    assert [letters(nodes, block).count("d") for block in inner] == [1] * 16
    assert sum("+" in letters(nodes, block) for block in inner) == 9
    if not bare:
        assert [block.title for block in inner[:3]] == ["block1a", "block2a", "block2b"]


def test_mobilenet_has_13_pairs() -> None:
    nodes, blocks = blocks_of("MobileNet", bare=True)
    pairs = [letters(nodes, block).removeprefix("° ") for block in blocks[1:-1]]
    assert pairs == ["d n a c n a"] * 13


@pytest.mark.parametrize("bare", [False, True])
def test_mobilenet_v2(bare: bool) -> None:
    nodes, blocks = blocks_of("MobileNetV2", bare=bare)
    inverted = Counter(
        letters(nodes, block).replace("° ", "").removesuffix(" +") for block in blocks
    )
    assert inverted["c n a d n a c n"] == 16


def test_inception_v3() -> None:
    """Cells of up to 24 layers are a block each, larger ones are two."""
    nodes, blocks = blocks_of("InceptionV3")
    cells = [block for block in blocks if "||" in letters(nodes, block)]
    assert [len(block.members) for block in cells[:4]] == [23, 23, 23, 14]
    assert len(blocks) - 2 == 4 + 4 * 2 + 1 + 2 * 2


def test_nasnet() -> None:
    """A cell reads the one before the last, and is more than a card holds."""
    nodes, blocks = blocks_of("NASNetMobile")
    sizes = [len(block.members) for block in blocks]
    assert len(nodes) == 771
    assert max(sizes) <= 24
    # A normal cell's sums are each in one block with both of what they add.
    block_of = {place: number for number, block in enumerate(blocks) for place in block.members}
    place_of = {node.key: place for place, node in enumerate(nodes)}
    split = 0
    for place, node in enumerate(nodes):
        if kind_of(node) is ADD:
            read = {block_of[place_of[link.source]] for link in node.links}
            split += block_of[place] not in read
    assert split == 0


@pytest.mark.parametrize("bare", [False, True])
def test_u_net(bare: bool) -> None:
    nodes, blocks = blocks_of("unet", bare=bare)
    double = "c n a c n a"
    assert [letters(nodes, block) for block in blocks[:4]] == [
        f"in {double}", f"p {double}", f"p {double}", f"c ° || {double}",
    ]  # fmt: skip
    if not bare:
        assert [block.title for block in blocks] == [
            "stem", "down1", "down2", "up1", "up2", "head",
        ]  # fmt: skip


def test_yolo_by_names() -> None:
    _, blocks = blocks_of("yolo")
    titles = [block.title for block in blocks]
    assert titles[:9] == ["stem", *(f"model.{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9))]
    heads = {f"model.10.cv{kind}.{scale}" for kind in (2, 3) for scale in (0, 1)}
    assert set(titles[9:13]) == heads


def test_swin_without_module_tree() -> None:
    """Attention and the two dense layers behind it are a block each."""
    nodes, blocks = blocks_of("swin", bare=True)
    found = [letters(nodes, block) for block in blocks]
    assert found.count("n f a f +") == 3
    assert sum("@ + a @" in each for each in found) == 2


def test_thin_resnet_of_a_package(tmp_path: Path) -> None:
    """Caffe's names tell nothing: 16 residual blocks by the graph alone."""
    proto, _ = load("open_nsfw", tmp_path)
    nodes = nodes_of(micam_fast.load_model(proto).layers)
    found = find_blocks(nodes)
    assert (found.by, len(found.blocks), found.regions) == ("graph", 18, 16)
    assert found.whole_regions == 16
    joins = [kind_of(nodes[block.exit]).word for block in found.blocks[1:-1]]
    assert set(joins) == {"activation"}


@pytest.mark.parametrize(
    ("name", "blocks", "regions"),
    [("densenet121", 63, 58), ("inception_v1", 11, 9), ("resnet50", 18, 16),
     ("shufflenet", 18, 16), ("squeezenet", 10, 8)],
)  # fmt: skip
def test_networks_of_the_package_onnx(name: str, blocks: int, regions: int, tmp_path: Path) -> None:
    """Exported from Caffe2: their names are numbers."""
    proto, _ = load(name, tmp_path)
    found = find_blocks(nodes_of(micam_fast.load_model(proto).layers))
    assert (found.by, len(found.blocks)) == ("graph", blocks)
    assert found.regions == found.whole_regions == regions


def test_titles_by_names_differ() -> None:
    for name, wanted in NAMED.items():
        if wanted.by == "names":
            _, blocks = blocks_of(name)
            titles = Counter(block.title for block in blocks)
            assert max(titles.values()) == 1, name


def test_exits_are_members() -> None:
    for name in NAMED:
        nodes, blocks = blocks_of(name)
        for block in blocks:
            assert block.exit in block.members
            if kind_of(nodes[block.exit]) in (CONCAT, ADD, MULTIPLY):
                assert len(nodes[block.exit].links) > 0

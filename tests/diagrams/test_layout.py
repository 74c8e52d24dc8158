"""The layout: finding Graphviz, reading where it put things, and what happens when it fails."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.errors import LayoutEngineError
from micam_fast.diagrams.dot import EdgeSpec, NodeSpec
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.places import EDGE_LABEL_SIZE, Box, DiagramLayout
from tests.helpers.pictures import border_distance, contains, overlap

NODES = [NodeSpec("a", 635, 205), NodeSpec("b", 220, 117), NodeSpec("c", 635, 205)]
EDGES = [EdgeSpec("a", "b"), EdgeSpec("b", "c"), EdgeSpec("a", "c")]
TOUCH = 3.0
"""Pixels that an arrow may end away from the node's border."""
INSTALL = r"install one with 'pip install graphviz-pure' or .* or name it with --engine$"


def script(folder: Path, text: str) -> Path:
    """An engine of a few lines of shell."""
    path = folder / "engine"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def joined(found: DiagramLayout) -> Counter[tuple[str, str]]:
    """Pairs of nodes whose borders the routes touch."""

    def touched(point: tuple[float, float]) -> str:
        near = {name: border_distance(box, point) for name, box in found.nodes.items()}
        nearest = min(near, key=lambda name: near[name])
        assert near[nearest] <= TOUCH
        return nearest

    return Counter((touched(route.points[0]), touched(route.tip)) for route in found.routes)


def check(found: DiagramLayout, nodes: Sequence[NodeSpec], edges: Sequence[EdgeSpec]) -> None:
    """All that holds for every layout."""
    sizes = {node.name: (node.width, node.height) for node in nodes}
    assert {name: (box.width, box.height) for name, box in found.nodes.items()} == sizes
    whole = Box(-1, -1, found.width + 2, found.height + 2)
    assert all(contains(whole, box) for box in found.nodes.values())
    assert not any(
        overlap(one, other) for one, other in itertools.combinations(found.nodes.values(), 2)
    )
    assert joined(found) == Counter((tail, head) for tail, head, _ in edges)
    for route in found.routes:
        assert len(route.points) % 3 == 1
    paths = {node.cluster[: depth + 1] for node in nodes for depth in range(len(node.cluster))}
    assert Counter(cluster.name for cluster in found.clusters) == Counter(p[-1] for p in paths)
    assert all(contains(whole, cluster.box) for cluster in found.clusters)


# --- Finding the engine ---------------------------------------------------------------------


def test_a_given_path_is_used(tmp_path: Path) -> None:
    engine = script(tmp_path, "exit 0")
    assert find_engine(engine) == engine
    assert find_engine(str(engine)) == engine


def test_a_path_from_here_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = script(tmp_path, "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_engine(Path("./engine")).resolve() == engine.resolve()


def test_a_given_name_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = script(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("engine") == engine


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable"])
def test_a_given_path_without_program(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "engine"
    if kind == "folder":
        path.mkdir()
    elif kind == "not executable":
        path.write_text("#!/bin/sh\n")
    with pytest.raises(LayoutEngineError, match=rf"^no Graphviz program at {path}; {INSTALL}"):
        find_engine(path)


def test_graphviz_pure_beside_the_interpreter_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, elsewhere = tmp_path / "scripts", tmp_path / "bin"
    for folder, name in ((beside, "graphviz-pure"), (elsewhere, "dot")):
        folder.mkdir()
        script(folder, "exit 0").rename(folder / name)
    monkeypatch.setattr(
        "micam_fast.diagrams.layout.sysconfig.get_path", {"scripts": str(beside)}.__getitem__
    )
    monkeypatch.setenv("PATH", str(elsewhere))
    assert find_engine() == beside / "graphviz-pure"
    (beside / "graphviz-pure").unlink()
    assert find_engine() == elsewhere / "dot"


def test_no_engine_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "micam_fast.diagrams.layout.sysconfig.get_path", {"scripts": str(tmp_path)}.__getitem__
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LayoutEngineError, match=f"^no Graphviz to lay the diagram out; {INSTALL}"):
        find_engine()


# --- Engines that fail ----------------------------------------------------------------------


def test_an_engine_that_fails_is_quoted(tmp_path: Path) -> None:
    engine = script(tmp_path, "cat > /dev/null; echo first >&2; echo 'no memory' >&2; exit 3")
    with pytest.raises(LayoutEngineError, match=rf"^{engine} failed with exit code 3: no memory$"):
        lay_out(NODES, EDGES, engine=engine)


def test_an_engine_that_fails_in_silence(tmp_path: Path) -> None:
    engine = script(tmp_path, "exit 1")
    said = rf"^{engine} failed with exit code 1 and said nothing$"
    with pytest.raises(LayoutEngineError, match=said):
        lay_out(NODES, EDGES, engine=engine)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.write_bytes(b"\x7fELF no program")
    engine.chmod(0o755)
    with pytest.raises(LayoutEngineError, match=rf"^cannot run {engine}: .*; {INSTALL}"):
        lay_out(NODES, EDGES, engine=engine)


@pytest.mark.parametrize("answer", ["", "hello", "[]", "{}", '{"bb": "0,0,10,10"}'])
def test_a_program_that_is_no_graphviz(answer: str, tmp_path: Path) -> None:
    engine = script(tmp_path, f"cat > /dev/null; echo '{answer}'")
    with pytest.raises(LayoutEngineError, match=rf"^{engine} wrote no layout that can be"):
        lay_out(NODES, EDGES, engine=engine)


def test_an_engine_that_takes_too_long(tmp_path: Path) -> None:
    engine = script(tmp_path, "exec sleep 30")
    begin = time.monotonic()
    with pytest.raises(
        LayoutEngineError,
        match=rf"^{engine} took longer than 0\.2 s to lay out 3 nodes and 3 edges; choose fewer",
    ):
        lay_out(NODES, EDGES, engine=engine, timeout=0.2)
    assert time.monotonic() - begin < 10


def test_where_curves_take_too_long_lines_are_drawn(tmp_path: Path) -> None:
    engine = script(
        tmp_path,
        'source=$(cat)\ncase "$source" in *splines=line*) ;; *) exec sleep 30 ;; esac\n'
        f'printf \'%s\' "$source" | {find_engine()} "$@"',
    )
    check(lay_out(NODES, EDGES, engine=engine, timeout=1), NODES, EDGES)


def test_an_engine_that_fails_by_its_limits_works_without_them(tmp_path: Path) -> None:
    nodes = [NodeSpec(str(index), 10, 10) for index in range(302)]
    chain = [EdgeSpec(str(index), str(index + 1)) for index in range(301)]
    engine = script(
        tmp_path,
        'source=$(cat)\ncase "$source" in *nslimit*) echo "not ranked" >&2; exit 1 ;; esac\n'
        f'printf \'%s\' "$source" | {find_engine()} "$@"',
    )
    assert len(lay_out(nodes, chain, engine=engine).routes) == 301
    engine = script(tmp_path, "echo never >&2; exit 1")
    with pytest.raises(LayoutEngineError, match=r"failed with exit code 1: never$"):
        lay_out(nodes, chain, engine=engine)


# --- What comes back ------------------------------------------------------------------------


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_a_small_graph(rankdir: str, any_engine: Path) -> None:
    found = lay_out(NODES, EDGES, rankdir=rankdir, engine=any_engine)
    check(found, NODES, EDGES)
    first, second, third = (found.nodes[name] for name in "abc")
    if rankdir == "TB":
        assert first.y + first.height < second.y < second.y + second.height < third.y
    else:
        assert first.x + first.width < second.x < second.x + second.width < third.x


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_clusters_are_around_their_nodes_and_no_others(rankdir: str, any_engine: Path) -> None:
    nodes = [
        NodeSpec("image", 635, 205),
        NodeSpec("o1", 635, 205, ("outer",)),
        NodeSpec("i1", 635, 205, ("outer", "inner")),
        NodeSpec("i2", 220, 100, ("outer", "inner")),
        NodeSpec("o2", 635, 205, ("outer",)),
        NodeSpec("head", 635, 205),
    ]
    names = [node.name for node in nodes]
    edges = [*itertools.starmap(EdgeSpec, itertools.pairwise(names)), EdgeSpec("image", "head")]
    found = lay_out(nodes, edges, rankdir=rankdir, engine=any_engine)
    check(found, nodes, edges)
    frames = {cluster.name: cluster.box for cluster in found.clusters}
    assert contains(frames["outer"], frames["inner"])
    for node in nodes:
        for name, frame in frames.items():
            if name in node.cluster:
                assert contains(frame, found.nodes[node.name])
            else:
                assert not overlap(frame, found.nodes[node.name])


def test_clusters_leave_room_for_their_names(any_engine: Path) -> None:
    nodes = [
        NodeSpec("o", 300, 100, ("outer",)),
        NodeSpec("i", 300, 100, ("outer", "inner")),
    ]
    found = lay_out(nodes, [EdgeSpec("i", "o")], engine=any_engine)
    frames = {cluster.name: cluster.box for cluster in found.clusters}
    # A line of 15 pixels with 4 above and 4 below.
    assert frames["inner"].y - frames["outer"].y >= 23
    assert found.nodes["i"].y - frames["inner"].y >= 23


def test_clusters_of_one_name_in_different_places(any_engine: Path) -> None:
    nodes = [NodeSpec(f"n{part}", 300, 100, (part, "block")) for part in ("left", "right")]
    found = lay_out(nodes, [], engine=any_engine)
    check(found, nodes, [])
    blocks = [cluster.box for cluster in found.clusters if cluster.name == "block"]
    assert not overlap(*blocks)


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_an_edge_with_a_label_has_room_for_it(rankdir: str, any_engine: Path) -> None:
    edges = [*EDGES, EdgeSpec("a", "c", "128 layers")]
    found = lay_out(NODES, edges, rankdir=rankdir, engine=any_engine)
    check(found, NODES, edges)
    (label,) = (route.label for route in found.routes if route.label is not None)
    assert label.text == "128 layers"
    (x, y), half = label.place, text_width("128 layers", EDGE_LABEL_SIZE) / 2
    room = Box(x - half, y - EDGE_LABEL_SIZE, 2 * half, EDGE_LABEL_SIZE)
    assert contains(Box(0, 0, found.width, found.height), room)
    assert not any(overlap(room, box) for box in found.nodes.values())


def test_nodes_stand_on_whole_pixels(any_engine: Path) -> None:
    found = lay_out(NODES, EDGES, engine=any_engine)
    assert all(box.x == int(box.x) and box.y == int(box.y) for box in found.nodes.values())


def test_a_graph_of_one_node_and_one_without_any(any_engine: Path) -> None:
    check(lay_out(NODES[:1], [], engine=any_engine), NODES[:1], [])
    assert not lay_out([], [], engine=any_engine).nodes


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_any_graph(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 9))
    places = st.sampled_from([(), (), ("m",), ("m", "k"), ("n",)])
    nodes = [
        NodeSpec(
            f"name {index}",
            data.draw(st.sampled_from([635, 220])),
            data.draw(st.sampled_from([205, 90, 117])),
            data.draw(places),
        )
        for index in range(count)
    ]
    pairs = [EdgeSpec(*pair) for pair in itertools.combinations([n.name for n in nodes], 2)]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12)) if pairs else []
    rankdir = data.draw(st.sampled_from(["TB", "LR"]))
    check(lay_out(nodes, edges, rankdir=rankdir, engine=find_engine()), nodes, edges)


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_arrows_meet_nodes_in_a_long_chain(rankdir: str, any_engine: Path) -> None:
    nodes = [NodeSpec(str(index), 635, 205) for index in range(400)]
    edges = [EdgeSpec(str(index), str(index + 1)) for index in range(399)]
    found = lay_out(nodes, edges, rankdir=rankdir, engine=any_engine)
    by_tip = sorted(route.tip[rankdir == "TB"] for route in found.routes)
    heads = [found.nodes[str(index)] for index in range(1, 400)]
    for tip, head in zip(by_tip, heads, strict=True):
        assert tip == pytest.approx(head.y if rankdir == "TB" else head.x, abs=TOUCH)


@pytest.mark.heavy
@pytest.mark.parametrize("block", [7, 20])
def test_a_dense_network_is_laid_out_in_time(block: int, any_engine: Path) -> None:
    # In each block of nodes every one reads all before it.
    names = [str(index) for index in range(433)]
    pairs = [*itertools.pairwise(names)]
    for begin in range(0, 433, block):
        pairs += itertools.combinations(names[begin : begin + block], 2)
    edges = [EdgeSpec(*pair) for pair in dict.fromkeys(pairs)]
    begin_time = time.monotonic()
    found = lay_out([NodeSpec(name, 635, 205) for name in names], edges, engine=any_engine)
    assert time.monotonic() - begin_time < 20
    assert len(found.nodes) == 433
    assert len(found.routes) == len(edges) > 1300

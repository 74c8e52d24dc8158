"""DOT text, to the letter; and that any text survives Graphviz."""

from __future__ import annotations

import functools
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from micam_fast.core.texts import printable
from micam_fast.diagrams.dot import EdgeSpec, NodeSpec, cluster_paths, diagram_source, layout_source

NODES = [
    NodeSpec("image", 635, 205),
    NodeSpec("a", 150, 75, ("outer",)),
    NodeSpec("b", 300, 75, ("outer", "inner")),
    NodeSpec("c", 300, 75, ("other", "inner")),
    NodeSpec("d", 220, 100),
]
EDGES = [EdgeSpec(*pair) for pair in (("image", "a"), "ab", "bc", "cd", "ad")]

LAYOUT = """\
digraph layout {
	graph [nodesep=0.3 rankdir=TB ranksep=0.3 splines=spline]
	node [fixedsize=true label="" shape=box]
	edge [arrowsize=0.7]
	n0 [height=1.3667 width=4.2333]
	n4 [height=0.6667 width=1.4667]
	subgraph cluster_0 {
		graph [label=" " labeljust=l margin=14]
		n1 [height=0.5000 width=1.0000]
		subgraph cluster_1 {
			graph [label=" " labeljust=l margin=14]
			n2 [height=0.5000 width=2.0000]
		}
	}
	subgraph cluster_2 {
		graph [label=" " labeljust=l margin=14]
		subgraph cluster_3 {
			graph [label=" " labeljust=l margin=14]
			n3 [height=0.5000 width=2.0000]
		}
	}
	n0 -> n1
	n1 -> n2
	n2 -> n3
	n3 -> n4
	n1 -> n4
}
"""

_OPEN = '<<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" COLOR="#c8c8c8"><TR>'
_BREAK = '<BR ALIGN="LEFT"/>'
_TILE = '<TD><IMG SRC="d_dot/000.png"/></TD>'
_CELL = '<TD ALIGN="LEFT" VALIGN="TOP">'
_CLOSE = "</TD></TR></TABLE>>"
DIAGRAM = f"""\
digraph micam {{
	graph [nodesep=0.3 rankdir=LR ranksep=0.3 splines=spline]
	graph [fontname=Helvetica labeljust=l labelloc=t]
	graph [label=<net<BR ALIGN="LEFT"/>sample: x<BR ALIGN="LEFT"/>>]
	graph [imagepath="/tmp/x:."]
	node [fontname=Helvetica fontsize=10 shape=plain]
	n0 [label={_OPEN}{_TILE}{_CELL}image{_BREAK}map min: 0{_BREAK}{_CLOSE}]
	subgraph cluster_0 {{
		graph [label=<outer> labeljust=l margin=14]
		n1 [label={_OPEN}{_CELL}a<BR ALIGN="LEFT"/>{_CLOSE}]
	}}
	n0 -> n1
}}
"""

HOSTILE = [
    'quo"te',
    "<b>&amp;</b>",
    "a & b",
    "back\\slash",
    "trailing\\",
    "net\\Node\\Graph\\Tail",
    "new\nline\r\ttab",
    "nul\x00bell\x07del\x7f",
    "lone \ud800 surrogate",
    "bad \ufffe\uffff ends",
    "]]> --> */ // #",
    "{record|label}",
    "<>",
    "",
    " ",
    "cluster_0",
    "node",
    "日本 é 🙂",
]


def shown(text: str) -> str:
    """What a label can show: codes for what is not printable."""
    return " ".join(printable(text).split())


def run(engine: Path, source: str, kind: str) -> str:
    answer = subprocess.run([engine, f"-T{kind}"], input=source.encode(), capture_output=True)
    said = answer.stderr.decode().splitlines()
    # graphviz-pure estimates the width of characters that its font does not have.
    assert not [line for line in said if "no value for width of non-ASCII" not in line]
    assert answer.returncode == 0
    return answer.stdout.decode()


def svg_lines(svg: str) -> list[str]:
    """All lines of text of Graphviz's SVG."""
    root = ET.fromstring(svg)
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(text.itertext()).split()) for text in texts]


def diagram(names: Sequence[str], folder: str = "") -> str:
    nodes = [NodeSpec(name, 100, 50, (name,)) for name in names]
    return diagram_source(
        nodes,
        [EdgeSpec(names[0], name) for name in names],
        labels={name: [name, "O: ?"] for name in names},
        pictures={},
        header=names,
        folder=folder,
    )


def test_layout_source_to_the_letter() -> None:
    assert layout_source(NODES, EDGES) == LAYOUT


def test_layout_source_of_other_directions_and_lines() -> None:
    source = layout_source(NODES, EDGES, rankdir="LR", splines="line")
    assert source == LAYOUT.replace("rankdir=TB", "rankdir=LR").replace("=spline]", "=line]")


def test_large_graphs_get_limits() -> None:
    nodes = [NodeSpec(str(index), 10, 10) for index in range(302)]
    chain = [EdgeSpec(str(index), str(index + 1)) for index in range(301)]
    limits = "\tgraph [mclimit=0.1 nslimit=0.02 nslimit1=0.02]\n"
    assert limits in layout_source(nodes, chain)
    assert limits not in layout_source(nodes, chain[:300])
    assert limits not in layout_source(nodes, chain, limited=False)


@pytest.mark.parametrize("name", HOSTILE)
def test_layout_source_holds_no_names(name: str) -> None:
    nodes = [NodeSpec("first", 635, 205), NodeSpec(name, 635, 205, (name, name))]
    plain = [NodeSpec("first", 635, 205), NodeSpec("x", 635, 205, ("x", "x"))]
    assert layout_source(nodes, [EdgeSpec("first", name)]) == layout_source(
        plain, [EdgeSpec("first", "x")]
    )


def test_diagram_source_to_the_letter() -> None:
    source = diagram_source(
        NODES[:2],
        EDGES[:1],
        labels={"image": ["image", "map min: 0"], "a": ["a"]},
        pictures={"image": "d_dot/000.png"},
        header=["net", "sample: x"],
        rankdir="LR",
        folder="/tmp/x",
    )
    assert source == DIAGRAM


def test_texts_are_escaped_to_the_letter() -> None:
    source = diagram(['<b>"&"</b>\n\x00\ud800'])
    text = r"&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;\\n\\x00\\ud800"
    assert f'graph [label=<{text}<BR ALIGN="LEFT"/>>]' in source
    assert f"graph [label=<{text}> labeljust=l margin=14]" in source
    assert f'{_CELL}{text}<BR ALIGN="LEFT"/>O: ?<BR ALIGN="LEFT"/></TD>' in source


def test_picture_names_are_escaped() -> None:
    source = diagram_source(
        [NodeSpec("a", 1, 1)], [], labels={"a": []}, pictures={"a": 'x"&<.png'}, header=[]
    )
    assert '<IMG SRC="x&quot;&amp;&lt;.png"/>' in source


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_shown_as_it_is(name: str, any_engine: Path) -> None:
    lines = svg_lines(run(any_engine, diagram(["first", name]), "svg"))
    # In the header, above the cluster and in the node.
    for wanted in ("first", shown(name)):
        assert lines.count(wanted) == 3 or not wanted


def test_names_make_no_difference_to_the_graph(any_engine: Path) -> None:
    source = run(any_engine, diagram(HOSTILE), "canon")
    assert len(re.findall(r"subgraph cluster_\d+", source)) == len(HOSTILE)
    assert len(re.findall(r"n0 -> n\d+", source)) == len(HOSTILE)


@pytest.mark.parametrize("folder", ['/tmp/qu"ote', "/tmp/back\\slash", "/tmp/a & <b>", "/tmp/日本"])
def test_any_folder_is_kept(folder: str, any_engine: Path) -> None:
    source = diagram(["a"], folder)
    (kept,) = re.findall(r"imagepath=(\"?.*:\.\"?)[,\]]", run(any_engine, source, "canon"))
    assert kept.strip('"').replace('\\"', '"') == f"{folder}:."


def test_cluster_paths_are_all_places_in_order() -> None:
    assert cluster_paths(NODES) == [
        ("outer",),
        ("outer", "inner"),
        ("other",),
        ("other", "inner"),
    ]


def test_two_models_of_one_name_in_different_places_stay_apart() -> None:
    source = layout_source(NODES, EDGES)
    assert source.count("subgraph") == len(cluster_paths(NODES)) == 4


@pytest.mark.parametrize("make", ["layout", "diagram"])
def test_unknown_rankdir(make: str) -> None:
    diagram = functools.partial(diagram_source, labels={}, pictures={}, header=[])
    source = layout_source if make == "layout" else diagram
    with pytest.raises(ValueError, match=r"unknown rankdir: 'XY' \(must be one of TB, LR\)"):
        source(NODES, EDGES, rankdir="XY")

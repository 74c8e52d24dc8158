"""Identifiers of a page: by their order in it, and nothing else is touched."""

from __future__ import annotations

import json
import re

import numpy as np

from micam_fast import Model, demo
from micam_fast.viewer.identifiers import stable_identifiers
from micam_fast.viewer.page import page_html

UUIDS = [f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "abcde"]


def page(first: int, uuids: list[str], title: str) -> str:
    """What Bokeh writes, in short: two models, one of them a root, and a name of the user's."""
    root, other = f"p{first}", f"p{first + 7}"
    document = {"roots": [{"id": root, "title": title, "child": {"id": other}}]}
    items = [{"docid": uuids[0], "roots": {root: uuids[1]}, "root_ids": [root]}]
    compact = {"separators": (",", ":")}
    return (
        f'<head><script>"id":"p{first}"</script></head>\n<body><div id="{uuids[1]}" '
        f'data-root-id="{root}"></div>\n<script type="application/json" id="{uuids[2]}">'
        f"{json.dumps({uuids[0]: document}, **compact)}</script>\n"  # type: ignore[arg-type]
        f"<script>const docs = document.getElementById('{uuids[2]}');\n"
        f"const render_items = {json.dumps(items, **compact)};</script></body>"  # type: ignore[arg-type]
    )


def test_pages_of_other_numbers_are_the_same() -> None:
    found = stable_identifiers(page(1001, UUIDS[:3], "net"))
    body = found.partition("<body>")[2]
    assert body == stable_identifiers(page(90211, UUIDS[2:], "net")).partition("<body>")[2]
    assert not re.search(r"\bp1\d+|[a-e]{8}-", body)
    # Each has one of its own, wherever it stands.
    assert body.count('"m1"') == 4
    assert body.count("m3") == 1
    assert body.count("e0") == 2


def test_names_of_the_users_are_kept() -> None:
    title = f'p1001 p1008 {UUIDS[4]} "id":"p1001" const render_items = [{{"p1001"}}];'
    found = stable_identifiers(page(1001, UUIDS[:3], title))
    text = re.search(r'"title":("(?:[^"\\]|\\.)*")', found)
    assert text is not None
    assert json.loads(text[1]) == title


def test_pages_of_one_process(demo_model: Model) -> None:
    one = demo_model.explain(np.load(demo.DIGITS)[3])
    assert page_html([one]) == page_html([one])

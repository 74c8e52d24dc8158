"""Identifiers of a page: by their order in it, and nothing else is touched."""

from __future__ import annotations

import html
import json
import re

import numpy as np

from micam_fast import Model, demo
from micam_fast.viewer import View
from micam_fast.viewer.graph import bokeh
from micam_fast.viewer.identifiers import render_page

TEMPLATE = "{% from macros import embed %}<body>{{ embed(roots.main) }}{{ plot_script }}</body>"


def page(title: str) -> str:
    """A page of two models, one of them a root, and a name of the user's."""
    models, document = bokeh("models"), bokeh("document").Document()
    document.add_root(models.Row(children=[models.Div(text=title)], name="main"))
    return render_page(document, TEMPLATE, {})


def test_pages_of_other_numbers_are_the_same() -> None:
    found = page("net")
    assert found == page("net")
    assert not re.search(r"\bp[0-9]{3,}|[0-9a-f]{8}-", found)
    # Each has one of its own, wherever it stands.
    assert found.count('"m1"') == 4
    assert found.count('"id":"m5"') == 1
    assert found.count('"e0"') == 2


def test_names_of_the_users_are_kept() -> None:
    first = bokeh("models").Div().id
    uuid = "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee"
    title = f'p1001 {first} {uuid} "id":"{first}" const render_items = [{{"{first}"}}];'
    text = re.search(r'"text":("(?:[^"\\]|\\.)*")', html.unescape(page(title)))
    assert text is not None
    assert json.loads(text[1]) == title


def test_pages_of_one_process(demo_model: Model) -> None:
    one = demo_model.explain(np.load(demo.DIGITS)[3])
    assert View([one]).html == View([one]).html

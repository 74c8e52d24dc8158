"""The same page has the same bytes: identifiers by their order in it, none by chance."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from micam_fast.viewer.graph import bokeh


class _Root(NamedTuple):
    """What Bokeh reads of a root."""

    id: str
    name: str
    tags: tuple[str, ...] = ()


def render_page(document: Any, template: str, variables: Mapping[str, str]) -> str:
    """Fill in the template of a page, as ``bokeh.embed.file_html`` does with random identifiers.

    Bokeh numbers its models through a process, in which threads may write several pages at a time,
    and draws the names of a page's elements.

    Parameters
    ----------
    document
        A Bokeh document whose roots have names.
    template
        It embeds each root as ``embed(roots.NAME)``.
    variables
        What else the template reads.
    """
    embed, templates = bokeh("embed"), bokeh("core.templates")
    numbers = itertools.count()
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    for root in sorted(document.roots, key=lambda root: template.index(f"(roots.{root.name})")):
        places[root.name], names[root.id] = f"e{next(numbers)}", f"m{next(numbers)}"
    json_name = f"e{next(numbers)}"

    def rename(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [rename(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "id" in value and value["id"] not in names:
            names[value["id"]] = f"m{next(numbers)}"
        return {key: names[each] if key == "id" else rename(each) for key, each in value.items()}

    content = rename(document.to_json(deferred=False))
    document_name = f"e{next(numbers)}"
    content = bokeh("core.json_encoder").serialize_json({document_name: content})
    roots = {_Root(names[root.id], root.name): places[root.name] for root in document.roots}
    item = embed.util.RenderItem(document_name, roots=roots)
    resources = bokeh("resources").Resources(mode="inline")
    scripts, styles = embed.bundle.bundle_for_objs_and_resources([document], resources)
    tag = embed.wrappers.wrap_in_script_tag
    # Given as text, Bokeh would put the template into a page of its own.
    page = templates.get_env().from_string(template)
    text: str = page.render(
        **variables,
        bokeh_js=scripts,
        bokeh_css=styles,
        roots=item.roots,
        macros=templates.MACROS,
        plot_script=tag(html.escape(content, quote=False), "application/json", json_name)
        + tag(embed.elements.script_for_render_items(json_name, [item])),
    )
    return text

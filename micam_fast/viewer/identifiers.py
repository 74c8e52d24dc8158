"""The same page has the same bytes: identifiers by their order in it, none by chance."""

from __future__ import annotations

import re

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Where Bokeh writes identifiers. What a user named cannot stand there: in JSON its quotation marks
# are escaped, and so they are in HTML.
_PLACES = re.compile(
    rf'"(?:id|docid)":"({_UUID}|p[0-9]+)"'
    rf'|<div id="({_UUID})" data-root-id="(p[0-9]+)"'
    rf'|<script type="application/json" id="({_UUID})"'
)
_ITEMS = re.compile(r'const render_items = \[\{"docid":".*\}\];')
_MODEL = re.compile(r"\bp[0-9]+\b")


def stable_identifiers(html: str) -> str:
    """A page with its own identifiers, whatever others this process has made.

    Bokeh numbers its models through a process, in which threads may write several pages at a time,
    and takes random names for the elements of a page.

    Parameters
    ----------
    html
        A page of ``bokeh.embed.file_html``.
    """
    # Before it stands Bokeh itself, which is most of the page.
    head, begin, body = html.partition("<body")
    found = dict.fromkeys(each for match in _PLACES.findall(body) for each in match if each)
    names = {each: f"{'m' if each[0] == 'p' else 'e'}{place}" for place, each in enumerate(found)}

    def rename(match: re.Match[str]) -> str:
        return _MODEL.sub(lambda each: names.get(each[0], each[0]), match[0])

    body = _ITEMS.sub(rename, _PLACES.sub(rename, body))
    # Random ones are nothing else, wherever they stand.
    body = re.sub(_UUID, lambda each: names.get(each[0], each[0]), body)
    return f"{head}{begin}{body}"

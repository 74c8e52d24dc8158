"""The data inside a page's HTML."""

from __future__ import annotations

import json
import re
from typing import Any


def element(html: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="[a-z/]*" id="{name}">(.*?)</script>', html, re.DOTALL)
    return str(found)


def held(html: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(element(html, "micam-page"))
    return found

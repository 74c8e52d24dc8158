"""Digests of explanations: the same for the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import micam_fast


def digest(found: Any) -> str:
    """A digest of everything that an explanation holds."""
    assert isinstance(found, micam_fast.Explanation)
    content = hashlib.sha256()
    for layer, cam in found.cams.items():
        for array in (cam, found.rgba[layer]):
            content.update(f"{layer} {array.dtype} {array.shape}".encode() + array.tobytes())
    content.update(repr((dict(found.ranges), found.global_range, found.prediction)).encode())
    if found.output is not None:
        content.update(found.output.tobytes())
    return content.hexdigest()


def digests(model: micam_fast.Model, samples: Iterable[Any], **how: Any) -> list[str]:
    return [digest(found) for found in model.explain_many(samples, **how)]

"""Limits that a difference may not exceed, and all of it as one record, for scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.layers import LayerDifference


def _of_noise(read: str) -> Callable[[LayerDifference], float | None]:
    return lambda each: None if each.noise is None else getattr(each.noise, read)


def _relative_l2(each: LayerDifference) -> float | None:
    return each.relative_l2 if each.are_alike else None


def _noise_db(each: LayerDifference) -> float | None:
    return None if each.noise is None else -each.noise.snr_db


METRICS: dict[str, Callable[[LayerDifference], float | None]] = {
    "relative-l2": _relative_l2,
    "relative-error": _of_noise("relative_error"),
    "noise-db": _noise_db,
    "saturated": _of_noise("saturated"),
}
"""What each layer has of a metric, ``None`` for nothing; of all, the larger is the worse."""
NOT_COMPARED = "not-compared"
"""A metric of the whole: how many layers have no difference."""


@dataclass(frozen=True)
class Verdict:
    """Whether a difference exceeds a limit.

    Attributes
    ----------
    metric, limit
        What may be at most how large.
    worst
        The largest value; NaN where a layer is not finite, ``None`` where nothing was measured.
    layers
        Names of those above the limit, the worst first.
    """

    metric: str
    limit: float
    worst: float | None
    layers: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether the limit is exceeded. A limit for what was not measured is."""
        return self.worst is None or not self.worst <= self.limit

    def __str__(self) -> str:
        """What the limit is, and which layers exceed it."""
        if self.worst is None:
            return f"{self.metric}: no layer was measured, at most {self.limit:g} is allowed"
        if not self.fails:
            return f"{self.metric}: at most {self.worst:.4g}, {self.limit:g} is allowed"
        count = f"{len(self.layers)} above {self.limit:g}"
        worst = "not finite" if math.isnan(self.worst) else f"{self.worst:.4g}"
        return f"{self.metric}: {count}, the worst {self.layers[0]}: {worst}"


def judge(difference: Comparison, limits: Iterable[tuple[str, float]]) -> list[Verdict]:
    """Hold a difference against limits ``(metric, most)``.

    A layer that is not finite exceeds every limit.
    """
    return [_judge(difference, metric, limit) for metric, limit in limits]


def _judge(difference: Comparison, metric: str, limit: float) -> Verdict:
    if metric == NOT_COMPARED:
        left_out = [e for e in difference.layers.values() if e.difference is None and not e.within]
        names = tuple(each.layer.name for each in left_out)
        return Verdict(metric, limit, len(names), names)
    values = {name: METRICS[metric](each) for name, each in difference.layers.items()}
    found = {name: value for name, value in values.items() if value is not None}
    order = sorted(found, key=lambda name: -_size(found[name]))
    above = tuple(name for name in order if not found[name] <= limit)
    return Verdict(metric, limit, found[order[0]] if order else None, above)


def _size(value: float) -> float:
    return math.inf if math.isnan(value) else value


def as_record(difference: Comparison, verdicts: Iterable[Verdict] = ()) -> dict[str, Any]:
    """All numbers for JSON, the layers that differ most first.

    What is undefined is ``None``; JSON has no infinity, which is the text ``"inf"``.
    """
    ranked = difference.ranked
    known = {id(each) for each in ranked}
    rest = [each for each in difference.layers.values() if id(each) not in known]
    sides = {"a": difference.a, "b": difference.b}
    return {
        **{name: {"model": e.scene.model, "sample": e.sample} for name, e in sides.items()},
        "compared": len(difference.compared),
        "layers": [_record(each) for each in (*ranked, *rest)],
        "limits": [
            {
                "metric": each.metric,
                "limit": each.limit,
                "worst": _number(each.worst),
                "layers": each.layers,
                "fails": each.fails,
            }
            for each in verdicts
        ],
        "fails": any(each.fails for each in verdicts),
    }


def _record(each: LayerDifference) -> dict[str, Any]:
    noise, partner = each.noise, each.layer if each.a is None else each.partner
    return {
        "a": None if each.a is None else each.layer.name,
        "b": None if each.b is None or partner is None else partner.name,
        "class": each.layer.class_label,
        "relative_l2": _number(each.relative_l2),
        "cosine": _number(each.cosine),
        "correlation": _number(each.correlation),
        "snr_db": None if noise is None else _number(noise.snr_db),
        "relative_error": None if noise is None else _number(noise.relative_error),
        "added_error": _number(each.added),
        "saturated": None if noise is None else noise.saturated,
        "changes": each.changes,
        "note": each.note or None,
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)

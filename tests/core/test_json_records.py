"""Dataclasses from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from micam_fast.core.json_records import read_record


@dataclass(frozen=True)
class Inner:
    """A record in another."""

    size: int
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    """A record of all kinds of fields."""

    name: str
    kind: Literal["one", "two"]
    shape: tuple[int | None, ...] | None
    point: tuple[float, float]
    inner: Inner | None
    by_name: dict[str, Inner]
    frozen: Mapping[str, tuple[str, ...]]
    flag: bool = False


WHOLE = Outer(
    "a", "two", (None, 3), (1, 2.5), Inner(3, 4), {"b": Inner(1)}, {"c": ("d", "e")}, True
)
EMPTY = Outer("", "one", None, (0.1, -0.0), None, {}, {})


@pytest.mark.parametrize("record", [WHOLE, EMPTY])
def test_what_was_written_is_read(record: Outer) -> None:
    found = read_record(Outer, json.loads(json.dumps(asdict(record))))
    assert found == record
    assert repr(found) == repr(record)  # ints are ints, floats floats, tuples tuples


WRONG: dict[str, dict[str, Any]] = {
    "number for a text": {"name": 1},
    "no choice": {"kind": "three"},
    "list for a choice": {"kind": ["one"]},
    "truth for a number": {"shape": [True]},
    "fraction for a whole number": {"shape": [1.5]},
    "object for a tuple": {"shape": {}},
    "text for a tuple": {"shape": "12"},
    "too long": {"point": [1, 2, 3]},
    "text in a tuple": {"point": [1, "2"]},
    "list for a record": {"inner": [1]},
    "record that lacks a field": {"inner": {"size": 1}},
    "record with a stranger": {"inner": {"size": 1, "share": 1, "more": 1}},
    "list for a dictionary": {"by_name": []},
    "nothing in a dictionary": {"by_name": {"b": None}},
    "number for a truth": {"flag": 1},
}


@pytest.mark.parametrize("case", WRONG)
def test_values_of_other_types(case: str) -> None:
    content = json.loads(json.dumps(asdict(WHOLE))) | WRONG[case]
    with pytest.raises(TypeError, match=r"where .* (is|are) expected"):
        read_record(Outer, content)


def test_no_record_at_all() -> None:
    with pytest.raises(TypeError, match=r"None where .*Outer.* is expected"):
        read_record(Outer, None)

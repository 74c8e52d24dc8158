"""Dataclasses from JSON: every field is there, and every value is of its type, all the way down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

ReadValue = Callable[[Any], Any]


def read_record(kind: Any, value: Any) -> Any:
    """A value of a dataclass, a plain type, a literal, or a union, tuple or dictionary of these.

    It is made from what JSON made of ``dataclasses.asdict``.

    Raises
    ------
    TypeError
        If it is of another type, all the way down.
    """
    return _reader(kind)(value)


@functools.cache
def _reader(kind: Any) -> ReadValue:
    """What reads a type; made once, as type hints take longer to look at than the values."""
    origin, choices = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    if origin is UnionType:
        return _union_reader(kind, choices)
    if origin is tuple:
        return _tuple_reader(kind, choices)
    if origin in (dict, Mapping):
        return _dict_reader(kind, choices[1])
    if origin is Literal:
        return _plain_reader(kind, lambda value: type(value) is str and value in choices)
    # To Python's type hints an int is a float, too.
    types = (int, float) if kind is float else (kind,)
    return _plain_reader(kind, lambda value: type(value) in types)


def _dataclass_reader(kind: Any) -> ReadValue:
    kinds = get_type_hints(kind)
    readers = {name: _reader(hint) for name, hint in kinds.items()}

    def read(value: Any) -> Any:
        _check(type(value) is dict, kind, value)
        if value.keys() != readers.keys():
            raise TypeError(f"the fields {', '.join(value)} where {', '.join(kinds)} are expected")
        return kind(**{name: reader(value[name]) for name, reader in readers.items()})

    return read


def _union_reader(kind: Any, choices: tuple[Any, ...]) -> ReadValue:
    readers = [_reader(choice) for choice in choices if choice is not type(None)]
    optional = len(readers) < len(choices)

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        for reader in readers:
            try:
                return reader(value)
            except TypeError:
                continue
        return _check(False, kind, value)

    return read


def _tuple_reader(kind: Any, choices: tuple[Any, ...]) -> ReadValue:
    if choices[-1] is ...:
        reader = _reader(choices[0])

        def read_any_number(value: Any) -> Any:
            _check(type(value) is list, kind, value)
            return tuple([reader(each) for each in value])

        return read_any_number
    readers = [_reader(choice) for choice in choices]

    def read(value: Any) -> Any:
        _check(type(value) is list and len(value) == len(readers), kind, value)
        return tuple([reader(each) for reader, each in zip(readers, value, strict=True)])

    return read


def _dict_reader(kind: Any, choice: Any) -> ReadValue:
    reader = _reader(choice)

    def read(value: Any) -> Any:
        _check(type(value) is dict, kind, value)
        return {name: reader(each) for name, each in value.items()}

    return read


def _plain_reader(kind: Any, fits: Callable[[Any], bool]) -> ReadValue:
    def read(value: Any) -> Any:
        _check(fits(value), kind, value)
        return value

    return read


def _check(fits: bool, kind: Any, value: Any) -> None:
    if not fits:
        raise TypeError(f"{value!r} where {kind} is expected")


def try_record(kind: Any, content: Any) -> Any:
    """What was kept, or ``None`` if that is nothing of this kind."""
    try:
        return read_record(kind, content)
    except TypeError:
        return None

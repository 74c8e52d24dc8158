"""Mutations of ONNX models, made from a seed alone: of fields, nodes, edges and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from tests.helpers.mutations import LARGEST, NUMBERS, WORDS, Random, mutate_bytes


def mutate_onnx(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """Fields, nodes and edges of the parsed model; in a third of the cases its bytes."""
    model = onnx.ModelProto()
    if rng.random() < 0.33:
        return mutate_bytes(data, rng, other)
    try:
        model.ParseFromString(data)
    except DecodeError:
        return mutate_bytes(data, rng, other)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        messages = list(_messages(model))
        # As many of deep messages as of the few on top: most of all are nodes' and shapes'.
        message = rng.choice(rng.choice((messages, messages[:40])))
        field = rng.choice(message.DESCRIPTOR.fields)
        with suppress(ValueError, TypeError, RecursionError):
            _edit_field(message, field, rng, messages)
    with suppress(ValueError, RecursionError):
        found = model.SerializeToString(deterministic=True)
        return found if len(found) <= 4 * LARGEST else data
    return data


def _messages(message: Message) -> Any:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from _messages(each)


def _edit_field(message: Any, field: Any, rng: Random, messages: Sequence[Message]) -> None:
    if field.is_repeated:
        _edit_list(getattr(message, field.name), field, rng, messages)
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    elif field.message_type is not None:
        alike = [each for each in messages if each.DESCRIPTOR is field.message_type]
        if alike:
            copy = _copied(rng.choice(alike))
            getattr(message, field.name).CopyFrom(copy)
    else:
        setattr(message, field.name, _value(field, rng, messages))


def _edit_list(values: Any, field: Any, rng: Random, messages: Sequence[Message]) -> None:
    place = rng.randrange(len(values)) if values else 0
    what = rng.choice(("remove", "double", "swap", "set"))
    if not values or what == "double":
        if field.message_type is None:
            values.append(values[place] if values else _value(field, rng, messages))
        elif alike := [each for each in messages if each.DESCRIPTOR is field.message_type]:
            values.add().CopyFrom(_copied(rng.choice(alike)))
    elif what == "remove":
        del values[place]
    elif what == "swap":
        target = rng.randrange(len(values))
        if field.message_type is None:
            values[place], values[target] = values[target], values[place]
        else:
            first, second = _copied(values[place]), _copied(values[target])
            values[place].CopyFrom(second)
            values[target].CopyFrom(first)
    elif field.message_type is None:
        values[place] = _value(field, rng, messages)


def _copied(message: Any) -> Any:
    """A copy, as what holds it may be what it is put into."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _value(field: Any, rng: Random, messages: Sequence[Message]) -> Any:
    if field.enum_type is not None:
        return rng.choice([each.number for each in field.enum_type.values])
    if field.cpp_type == field.CPPTYPE_STRING:
        known = [
            name
            for message in messages
            if isinstance(message, onnx.NodeProto)
            for name in (*message.input, *message.output, message.op_type)
        ]
        word = rng.choice(rng.choice((WORDS, known or WORDS)))
        return word.encode() * rng.choice((1, 1, 9)) if field.type == field.TYPE_BYTES else word
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"), 1e-40))
    return rng.choice(NUMBERS)

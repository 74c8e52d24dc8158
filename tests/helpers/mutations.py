"""Mutations of files, made from a seed alone: of any bytes, and of each format's own parts."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from micam_fast._loops.checksums import sum_bytes

Random = random.Random
LARGEST = 1 << 16
"""Bytes of a mutated file; duplicated blocks do not let it grow further."""

NUMBERS = (
    0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 10**6, 2**24, 2**31 - 1,
    2**31, -(2**31), 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64 - 1,
)  # fmt: skip
WORDS = (
    "", "x", "../../x", "/etc/passwd", "a" * 3000, "\x00", "\x1b[31m", "a\nb", "=1+1", "<b>&amp;",
    '"', "\\N", "\u202e", "\U0001f600", "%s%n", "{0}", "CON", ".", "..", "batch", "N",
)  # fmt: skip
FIELDS = (
    "", "nan", "inf", "-inf", "1e999", "-1e38", "1e39", "1e-999", "0x10", "1_000", "\u0661", '"',
    '"1', "'1'", "=1+1", "1,5", " 1 ", "+1", "--1", ".", "1e", "9" * 400, "a" * 3000, "\x00",
    "\ufeff", "True", "\x85", "\u2028", "1;2", "1\t2",
)  # fmt: skip
DTYPES = (
    "<f4", ">f8", "<f2", "|b1", "<i8", "<u8", "|u1", "<c8", "<f16", "|O", "|S4", "|S0", "<U3",
    "|V8", "|V0", "<M8[ns]", "<m8", "<f4,<f4", "<f0", "<i99999999", "junk", "(99999,99999)f4", "",
)  # fmt: skip


# --- Bytes -----------------------------------------------------------------------------------


def mutate_bytes(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """A few of: bits and bytes set, numbers put in, blocks cut, doubled, spliced."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        if not found:
            found += rng.randbytes(rng.randrange(1, 30))
        rng.choice(_EDITS)(found, rng.randrange(len(found)), rng, other)
    return bytes(found[:LARGEST])


def _flip(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    data[place] ^= 1 << rng.randrange(8)


def _set(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    data[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _number(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) & (1 << 8 * size) - 1
    data[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _digits(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    """A number in a text: a header, JSON."""
    found = re.compile(rb"-?\d+").search(data, place)
    if found is not None:
        data[found.start() : found.end()] = str(rng.choice(NUMBERS)).encode()


def _cut(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    del data[place : place + rng.choice((1, 1, 2, 4, 8, 30, 200))]


def _insert(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    data[place:place] = rng.randbytes(rng.choice((1, 1, 2, 4, 8, 30)))


def _double(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    block = data[place : place + rng.choice((1, 4, 16, 100, 1000))]
    data[place:place] = block * rng.choice((1, 1, 2, 9))


def _move(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    block = data[place : place + rng.choice((1, 4, 16, 100))]
    target = rng.randrange(len(data))
    data[target : target + len(block)] = block


def _truncate(data: bytearray, place: int, rng: Random, _: bytes) -> None:
    del data[place:]


def _splice(data: bytearray, place: int, rng: Random, other: bytes) -> None:
    if other:
        data[place:] = other[rng.randrange(len(other)) :]


_EDITS: Sequence[Callable[[bytearray, int, Random, bytes], None]] = (
    *(_flip, _set, _number) * 3,
    *(_digits, _cut, _insert, _double, _move) * 2,
    *(_truncate, _splice),
)


# --- Arrays ----------------------------------------------------------------------------------


def mutate_npy(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """The header's version, length and fields; in a third of the cases its bytes."""
    found = re.match(rb"\x93NUMPY(.)\x00(..)(.*?\n)", data, re.DOTALL)
    if found is None or rng.random() < 0.33:
        return mutate_bytes(data, rng, other)
    text = found[3].decode("latin-1")
    values = data[found.end() :]
    version = found[1][0]
    for _ in range(rng.choice((1, 1, 2))):
        what = rng.randrange(5)
        if what == 0:
            text = re.sub(r"'descr': [^,]*", f"'descr': {rng.choice(DTYPES)!r}", text)
        elif what == 1:
            sizes = [
                rng.choice((*NUMBERS, 1, 1, 6, 8)) for _ in range(rng.choice((0, 1, 2, 3, 4, 33)))
            ]
            text = re.sub(r"'shape': \([^)]*\)?", f"'shape': {tuple(sizes)}", text)
        elif what == 2:
            text = re.sub("True|False", rng.choice(("True", "False", "None", "1", "[]")), text)
        elif what == 3:
            version = rng.choice((0, 1, 2, 3, 4, 255))
        else:
            text = mutate_bytes(text.encode("latin-1"), rng).decode("latin-1")
    head = text.encode("latin-1")
    length = len(head) if rng.random() < 0.8 else rng.choice(NUMBERS)
    size = 2 if version < 2 else 4
    packed = (length & (1 << 8 * size) - 1).to_bytes(size, "little")
    if rng.random() < 0.2:
        values = mutate_bytes(values, rng)
    return (b"\x93NUMPY" + bytes([version, 0]) + packed + head + values)[:LARGEST]


def mutate_npz(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """Members and their names in a sound zip file; in half of the cases the zip file itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(each.filename, archive.read(each)) for each in archive.infolist()]
            method = archive.infolist()[0].compress_type
    except Exception:
        return mutate_bytes(data, rng, other)
    if rng.random() < 0.5 or not members:
        return mutate_bytes(data, rng, other)
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(len(members))
        name, content = members[place]
        what = rng.random()
        if what < 0.7:
            members[place] = name, mutate_npy(content, rng, data)
        elif what < 0.85:
            members[place] = rng.choice(WORDS) + rng.choice(("", ".npy")), content
        else:
            members.insert(place, (name, mutate_npy(content, rng, data)))
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # Of two members of one name.
        for name, content in members:
            info = zipfile.ZipInfo("x")
            # Set, not given: the constructor would tidy it.
            info.filename = name
            with archive.open(info, "w") as member:
                member.write(content)
    return file.getvalue()


# --- Pictures --------------------------------------------------------------------------------

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL",
           b"fcTL", b"fdAT", b"gAMA", b"pHYs", b"abcd", b"ABCD")  # fmt: skip


def mutate_picture(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """A PNG's chunks, with right checksums in half of the cases; of other pictures the bytes."""
    if not data.startswith(_SIGNATURE) or rng.random() < 0.25:
        return mutate_bytes(data, rng, other)
    chunks: list[tuple[bytes, bytes]] = []
    place = len(_SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    right = rng.random() < 0.6
    for _ in range(rng.choice((1, 1, 2, 3)) if chunks else 0):
        number = rng.randrange(len(chunks))
        name, content = chunks[number]
        what = rng.random()
        if name == b"IHDR" and len(content) == 13 and what < 0.5:
            fields = list(struct.unpack(">IIBBBBB", content))
            where = rng.randrange(7)
            fields[where] = rng.choice(NUMBERS) & (0xFFFFFFFF if where < 2 else 0xFF)
            chunks[number] = name, struct.pack(">IIBBBBB", *fields)
        elif name == b"IDAT" and what < 0.5:
            with suppress(zlib.error):
                content = zlib.compress(mutate_bytes(zlib.decompress(content), rng))
                chunks[number] = name, content
        elif what < 0.7:
            chunks[number] = name, mutate_bytes(content, rng, other)
        elif what < 0.8:
            chunks[number] = rng.choice(_CHUNKS), content
        elif what < 0.9:
            chunks.insert(rng.randrange(len(chunks) + 1), chunks[number])
        elif len(chunks) > 1:
            del chunks[number]
    found = bytearray(_SIGNATURE)
    for name, content in chunks:
        length = len(content) if right or rng.random() < 0.9 else rng.choice(NUMBERS)
        checksum = zlib.crc32(name + content) if right else rng.getrandbits(32)
        found += struct.pack(">I", length & 0xFFFFFFFF) + name + content
        found += struct.pack(">I", checksum)
    return bytes(found[:LARGEST])


# --- Tables ----------------------------------------------------------------------------------


def mutate_csv(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """Fields, rows, separators and encoding; in a fifth of the cases its bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng, other)
    rows = [line.split(",") for line in data.decode("utf-8", "replace").split("\n")]
    encoding = "utf-8"
    for _ in range(rng.choice((1, 1, 2, 4))):
        what = rng.randrange(8)
        row = rng.randrange(len(rows))
        if what < 4:
            rows[row][rng.randrange(len(rows[row]))] = rng.choice((*FIELDS, *map(str, NUMBERS)))
        elif what == 4:
            rows[row:row] = [list(rows[row])] * rng.choice((1, 1, 3, 20))
        elif what == 5 and len(rows) > 1:
            del rows[row]
        elif what == 6:
            del rows[row][rng.randrange(len(rows[row])) :]
            rows[row].append("1")
        else:
            encoding = rng.choice(("utf-8", "utf-16", "utf-8-sig", "utf-32-be"))
    text = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n")).join(map(",".join, rows))
    return text.encode(encoding, "replace")[:LARGEST]


# --- Records ---------------------------------------------------------------------------------


def pack_records(records: Sequence[bytes]) -> bytes:
    """Records in frames with right checksums."""
    found = b""
    for each in records:
        head = struct.pack("<Q", len(each))
        found += head + _masked(head) + each + _masked(each)
    return found


def _masked(data: bytes) -> bytes:
    crc = np.empty(1, np.uint32)
    sum_bytes(np.frombuffer(data, np.uint8), crc)
    value = int(crc[0])
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def mutate_records(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """The records in sound frames; in half of the cases frames and all."""
    records = []
    place = 0
    while place + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        records.append(data[place + 12 : place + 12 + length])
        place += 16 + length
    if not records or rng.random() < 0.5:
        return mutate_bytes(data, rng, other)
    for _ in range(rng.choice((1, 1, 2))):
        number = rng.randrange(len(records))
        records[number] = mutate_bytes(records[number], rng, rng.choice(records))
    return pack_records(records)[:LARGEST]


def mutate_json(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """A value of an object; in half of the cases its bytes."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found or rng.random() < 0.5:
        return mutate_bytes(data, rng, other)
    values: tuple[Any, ...] = (
        *NUMBERS,
        *WORDS,
        None,
        True,
        [],
        {},
        [None],
        [[1]],
        1.5,
        "8",
        float("nan"),
        10**400,
    )
    found[rng.choice(list(found))] = rng.choice(values)
    return json.dumps(found).encode()

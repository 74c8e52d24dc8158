"""Files of statistics: tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from micam_fast.analyses.statistics.costs import Costs
from micam_fast.analyses.statistics.modules import ModuleCost
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.core.csv_writing import write_csv
from micam_fast.core.errors import OutputError
from micam_fast.core.extras import import_extra
from micam_fast.core.formats import suffixes
from micam_fast.core.output_files import atomic_file

TABLES = (".csv", ".parquet")
"""Ends of files that hold one table; the others hold all of them."""
_PURPOSE = "writing .parquet"
# Other words for columns of a file, where the attribute's would not do or is taken.
_COLUMNS = {"label": "class", "kind": "type", "low": "min", "high": "max"}


def check_format(path: Path) -> Path:
    """The path of a file that statistics can be written to.

    Raises
    ------
    OutputError
        If it ends otherwise.
    MissingExtraError
        If pyarrow is not installed and it ends in ``.parquet``.
    """
    known = suffixes("table")
    if path.suffix.lower() not in known:
        raise OutputError(f"cannot write {path}: its name must end in one of {', '.join(known)}")
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow", extra="parquet", purpose=_PURPOSE)
    return path


def check_table_format(path: Path) -> Path:
    """The path of a file that holds one table; errors as `check_format` raises them."""
    if path.suffix.lower() not in TABLES:
        raise OutputError(f"cannot write {path}: its name must end in one of {', '.join(TABLES)}")
    return check_format(path)


def write_table(
    path: Path,
    kind: type[LayerStatistics | ModuleCost],
    rows: Sequence[LayerStatistics | ModuleCost],
) -> Path:
    """Write rows of one kind; the suffix says how: ``.csv`` or ``.parquet``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    MissingExtraError
        If pyarrow is not installed and ``.parquet`` is asked for.
    """
    names = [_COLUMNS.get(each.name, each.name) for each in fields(kind)]
    cells = [list(asdict(row).values()) for row in rows]
    if path.suffix.lower() == ".csv":
        write_csv(path, names, ([_joined(each) for each in row] for row in cells))
        return path
    arrow = import_extra("pyarrow", extra="parquet", purpose=_PURPOSE)
    parquet = import_extra("pyarrow.parquet", extra="parquet", purpose=_PURPOSE)
    types = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64()}
    types |= {"bool": arrow.bool_()}
    types |= {f"tuple[{name}, ...]": arrow.list_(kind) for name, kind in types.items()}
    columns = {}
    for place, each in enumerate(fields(kind)):
        values = [_encodable(row[place]) for row in cells]
        columns[names[place]] = arrow.array(values, types[str(each.type).removesuffix(" | None")])
    with atomic_file(path) as file:
        parquet.write_table(arrow.table(columns), file)
    return path


def write_json(
    path: Path,
    model: str,
    rows: Sequence[LayerStatistics],
    costs: Costs,
    modules: Sequence[ModuleCost],
) -> Path:
    """Write rows, the hint and the modules as JSON; what is unknown is ``null``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    found = {
        "model": model,
        "rows": [_named(row) for row in rows],
        "parameters": asdict(costs.parameters),
        "multiply_adds": asdict(costs.multiply_adds),
        "hint": [
            {"layer": cost.layer.layer, "seen_at": cost.seen.layer}
            | {each.name: getattr(cost, each.name) for each in fields(cost)[2:]}
            for cost in costs.layers
        ],
        "modules": [asdict(each) for each in modules],
    }
    with atomic_file(path) as file:
        file.write(json.dumps(found, indent=1).encode())
    return path


def _named(row: LayerStatistics) -> dict[str, object]:
    return {_COLUMNS.get(name, name): value for name, value in asdict(row).items()}


def _joined(value: object) -> object:
    """A cell of a CSV file: numbers with blanks between them, names with semicolons."""
    if not isinstance(value, tuple):
        return value
    texts = any(isinstance(each, str) for each in value)
    return ("; " if texts else " ").join(map(str, value))


def _encodable(value: object) -> object:
    """The value; in a text, what UTF-8 has not is written by its code, as in CSV."""
    if isinstance(value, tuple):
        return [_encodable(each) for each in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value

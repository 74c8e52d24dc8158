"""One row of statistics for each class and layer, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from micam_fast.core.csv_writing import write_csv
from micam_fast.core.errors import OutputError
from micam_fast.core.extras import import_extra
from micam_fast.core.formats import suffixes
from micam_fast.core.output_files import atomic_file


@dataclass(frozen=True)
class LayerStatistics:
    """A layer's activations over the samples of a class, or over all of them.

    Attributes
    ----------
    label
        The class; ``None`` for all samples, those without a label included.
    layer, kind
        The layer's name, and its class as the diagram prints it.
    samples, channels
        Their number. Each value of a flat layer is a channel.
    values, not_finite
        Number of finite values; of NaN and infinite ones, which take no part in the rest.
    mean, deviation
        Of the values; the population standard deviation.
    low, high
        Smallest and largest value.
    energy
        Mean of the squared values.
    dead_channels
        Share of the channels that are never above the threshold.
    sparsity
        Share of zeros.
    effective_rank
        Exponential of the entropy of the normalized eigenvalues of the covariance of the channels,
        over all positions and samples; 0 where nothing varies.
    parameters
        Numbers that the layer's operators read.
    multiply_adds
        Of its convolutions, matrix products and recurrences; the mean over the samples.
    energy_per_parameter
        Their quotient.

    What is not known is ``None``.
    """

    label: str | None
    layer: str
    kind: str
    samples: int
    channels: int
    values: int
    not_finite: int
    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None
    energy: float | None
    dead_channels: float
    sparsity: float | None
    effective_rank: float | None
    parameters: int
    multiply_adds: float | None
    energy_per_parameter: float | None


_PURPOSE = "writing .parquet"
# Other words for columns of a file, where the attribute's would not do or is taken.
_COLUMNS = {"label": "class", "kind": "type", "low": "min", "high": "max"}


def check_format(path: Path) -> Path:
    """The path of a file that `write_rows` can write.

    Raises
    ------
    OutputError
        If it ends otherwise.
    MissingExtraError
        If pyarrow is not installed and it ends in ``.parquet``.
    """
    known = suffixes("table")
    if path.suffix.lower() not in known:
        raise OutputError(f"cannot write {path}: its name must end in {' or '.join(known)}")
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow", extra="parquet", purpose=_PURPOSE)
    return path


def write_rows(path: Path, rows: Sequence[LayerStatistics]) -> Path:
    """Write rows; the suffix says how: ``.csv`` or ``.parquet``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    MissingExtraError
        If pyarrow is not installed and ``.parquet`` is asked for.
    """
    names = [_COLUMNS.get(each.name, each.name) for each in fields(LayerStatistics)]
    cells = [list(asdict(row).values()) for row in rows]
    if path.suffix.lower() == ".csv":
        write_csv(path, names, cells)
        return path
    arrow = import_extra("pyarrow", extra="parquet", purpose=_PURPOSE)
    parquet = import_extra("pyarrow.parquet", extra="parquet", purpose=_PURPOSE)
    types = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64()}
    columns = {}
    for place, each in enumerate(fields(LayerStatistics)):
        kind = types[str(each.type).removesuffix(" | None")]
        columns[names[place]] = arrow.array([_encodable(row[place]) for row in cells], kind)
    with atomic_file(path) as file:
        parquet.write_table(arrow.table(columns), file)
    return path


def _encodable(value: object) -> object:
    """The value; in a text, what UTF-8 has not is written by its code, as in CSV."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value

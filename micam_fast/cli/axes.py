"""Names of rows and columns, and other orders of them: reading what the options name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from micam_fast.cli.options import AxisOptions

if TYPE_CHECKING:
    from micam_fast.api.model import Model
    from micam_fast.samples.axis_names import Axis, AxisNames
    from micam_fast.samples.orders import Permutation


def read_axis_names(options: AxisOptions, model: Model, paths: Sequence[str] = ()) -> AxisNames:
    """Names of the rows and columns of the model's input, in the samples' own order.

    Where no names of columns are given, those that the first sample's file brings along (a CSV's
    header, the side file of records) are taken if there are as many as columns.

    Raises
    ------
    AxisError
        If a file cannot be read, or has another number of names than there are rows or columns.
    """
    from micam_fast.samples import names_beside
    from micam_fast.samples.axis_names import AxisNames, check_names, read_names
    from micam_fast.samples.orders import find_grid

    grid = find_grid(model.inputs)

    def read(path: Path | None, size: int | None, axis: Axis) -> tuple[str, ...] | None:
        if path is None:
            return None
        names = read_names(path)
        check_names(names, size, axis, path)
        return names

    found = AxisNames(
        read(options.row_names, grid.height, "rows"),
        read(options.column_names, grid.width, "columns"),
    )
    if found.columns is None and paths:
        spec = next(each for each in model.inputs if each.name == grid.name)
        found = AxisNames(found.rows, names_beside(paths[0], spec, grid.width))
    return found


def read_permutation(
    options: AxisOptions, model: Model, names: AxisNames | None = None
) -> Permutation | None:
    """The order in which the rows and columns of samples are to be fed; ``None`` for their own.

    `names`, in the samples' own order, are for files of names.

    Raises
    ------
    AxisError
        If an order cannot be read, is no permutation, or does not fit the model's input.
    """
    from micam_fast.samples.axis_names import AxisNames
    from micam_fast.samples.orders import Permutation, find_grid, read_order

    if not options.permuted:
        return None
    rows, columns = options.permute_rows, options.permute_columns
    grid = find_grid(model.inputs)
    names = names or AxisNames()
    return Permutation(
        None if rows is None else read_order(rows, "rows", grid, names.rows),
        None if columns is None else read_order(columns, "columns", grid, names.columns),
    )

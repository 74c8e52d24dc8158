"""Names of columns that samples bring along."""

from __future__ import annotations

from micam_fast.core.errors import AxisError, SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.samples.arrays import channels_last_shape
from micam_fast.samples.axis_names import read_names
from micam_fast.samples.csv_tables import CSV_SUFFIX, column_names
from micam_fast.samples.record_files import find_side_file, is_record_name
from micam_fast.samples.sources import expand_paths, split_selector


def names_beside(path: str, spec: ModelInput, width: int | None) -> tuple[str, ...] | None:
    """Names of the input's columns that a sample file brings: a CSV's header, a record's side file.

    Of a folder the first file counts; `width` tells how many columns there are, if the model does.
    ``None`` where there are no names, or they name other things than the columns.
    """
    try:
        file = next(expand_paths([split_selector(path)[0]]), None)
        if file is None or isinstance(file, SampleError):
            return None
        if file.suffix.lower() == CSV_SUFFIX:
            return column_names(file, spec, width)
        side = find_side_file(file) if is_record_name(file.name) else None
        if side is None or len(channels_last_shape(spec)) == 2:
            return None
        names = read_names(side)
    except (AxisError, SampleError):
        # Whoever reads the sample tells about it.
        return None
    return names if width in (None, len(names)) else None

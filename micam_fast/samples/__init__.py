"""Samples: arrays, tables, records and pictures, brought to the shape of the model's input."""

from micam_fast.samples.array_files import Rows, load_array, open_rows
from micam_fast.samples.arrays import (
    Arrays,
    cast_sample,
    channel_count,
    fit_array,
    fit_sample,
    own_layout,
)
from micam_fast.samples.names_beside import names_beside
from micam_fast.samples.pictures import PixelRules, read_picture
from micam_fast.samples.reading import Sample, read_samples
from micam_fast.samples.sources import expand_paths

__all__ = [
    "Arrays",
    "PixelRules",
    "Rows",
    "Sample",
    "cast_sample",
    "channel_count",
    "expand_paths",
    "fit_array",
    "fit_sample",
    "load_array",
    "names_beside",
    "open_rows",
    "own_layout",
    "read_picture",
    "read_samples",
]

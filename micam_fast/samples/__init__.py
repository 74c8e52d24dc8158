"""Samples: arrays, tables, records and pictures, brought to the shape of the model's input."""

from micam_fast.samples.arrays import (
    cast_sample,
    channel_count,
    fit_array,
    fit_sample,
    load_array,
    own_layout,
)
from micam_fast.samples.naming import names_beside
from micam_fast.samples.pictures import PixelRules, read_picture
from micam_fast.samples.reading import Sample, expand_paths, read_samples

__all__ = [
    "PixelRules",
    "Sample",
    "cast_sample",
    "channel_count",
    "expand_paths",
    "fit_array",
    "fit_sample",
    "load_array",
    "names_beside",
    "own_layout",
    "read_picture",
    "read_samples",
]

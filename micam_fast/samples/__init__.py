"""Samples: arrays and pictures from files, brought to the shape that the model's input has."""

from micam_fast.samples.arrays import (
    cast_sample,
    channel_count,
    fit_array,
    fit_sample,
    load_array,
    own_layout,
)
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
    "own_layout",
    "read_picture",
    "read_samples",
]

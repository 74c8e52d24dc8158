"""Samples: arrays, tables, records and pictures, brought to the shape of the model's input."""

from micam_fast.samples.array_files import load_array as load_array, open_rows as open_rows
from micam_fast.samples.arrays import (
    Arrays as Arrays,
    as_array as as_array,
    batch_error as batch_error,
    cast_sample as cast_sample,
    channel_count as channel_count,
    fit_array as fit_array,
    fit_sample as fit_sample,
    own_layout as own_layout,
)
from micam_fast.samples.labelled import (
    LabelledSamples as LabelledSamples,
    bare_samples as bare_samples,
)
from micam_fast.samples.names_beside import names_beside as names_beside
from micam_fast.samples.own_picture import (
    FedSample as FedSample,
    OwnPicture as OwnPicture,
    ShownInput as ShownInput,
)
from micam_fast.samples.pictures import PixelRules as PixelRules, read_picture as read_picture
from micam_fast.samples.reading import Sample as Sample, read_samples as read_samples
from micam_fast.samples.sources import expand_paths as expand_paths

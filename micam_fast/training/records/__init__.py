"""Training data: TFRecord files from digits, pictures and tables, and their reading in splits.

A record is a ``tf.train.Example`` as the published package has it: ``sample``, a float list of
height * width * channels values in the row-major order (height, width, channels), and ``label``,
one int64.
"""

from micam_fast.training.records.checking import (
    check_records,
    data_errors,
    find_record_files,
    first_line,
)
from micam_fast.training.records.images import Pictures, find_pictures, picture_samples
from micam_fast.training.records.mnist import Digits, digit_samples, read_mnist, resize_bilinear
from micam_fast.training.records.reading import Split, Splits, open_all, open_splits
from micam_fast.training.records.records import (
    LabelledSample,
    RecordFiles,
    check_size,
    write_records,
    write_side_file,
)
from micam_fast.training.records.tables import LabelledTable, survey_table

__all__ = [
    "Digits",
    "LabelledSample",
    "LabelledTable",
    "Pictures",
    "RecordFiles",
    "Split",
    "Splits",
    "check_records",
    "check_size",
    "data_errors",
    "digit_samples",
    "find_pictures",
    "find_record_files",
    "first_line",
    "open_all",
    "open_splits",
    "picture_samples",
    "read_mnist",
    "resize_bilinear",
    "survey_table",
    "write_records",
    "write_side_file",
]

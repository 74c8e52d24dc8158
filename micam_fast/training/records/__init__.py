"""Training data: TFRecord files from digits, pictures and tables, and their reading in splits.

A record is a ``tf.train.Example`` as the published package has it: ``sample``, a float list of
height * width * channels values in the row-major order (height, width, channels), and ``label``,
one int64.
"""

from micam_fast.training.records.checking import (
    check_records as check_records,
    data_errors as data_errors,
    find_record_files as find_record_files,
    first_line as first_line,
)
from micam_fast.training.records.images import (
    Pictures as Pictures,
    find_pictures as find_pictures,
    picture_samples as picture_samples,
)
from micam_fast.training.records.mnist import (
    Digits as Digits,
    digit_samples as digit_samples,
    read_mnist as read_mnist,
    resize_bilinear as resize_bilinear,
)
from micam_fast.training.records.reading import (
    Split as Split,
    Splits as Splits,
    open_all as open_all,
    open_splits as open_splits,
)
from micam_fast.training.records.records import (
    LabelledSample as LabelledSample,
    RecordFiles as RecordFiles,
    check_size as check_size,
    write_records as write_records,
    write_side_file as write_side_file,
)
from micam_fast.training.records.tables import (
    LabelledTable as LabelledTable,
    survey_table as survey_table,
)

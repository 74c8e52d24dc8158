"""A saved model, from Keras or ONNX, on labelled records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from micam_fast.core.errors import TrainingError
from micam_fast.core.extras import import_extra
from micam_fast.training import records
from micam_fast.training.classifiers import Classifier, open_classifier
from micam_fast.training.metrics import Evaluation, evaluate_scores

SplitName = Literal["test", "all"]


def evaluate_model(
    model: str | Path,
    data: str | Path,
    *,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 64,
    split: SplitName = "test",
) -> Evaluation:
    """Evaluate a saved model on records.

    Parameters
    ----------
    model
        A Keras file (``.keras``, ``.h5``, ``.hdf5``) or an ONNX file, with one input for samples
        of height, width and channels, in that order or channels first.
    data
        A folder of record files, or one record file.
    height, width
        Of the records; needed only where the model leaves them open.
    batch_size
        As in the training: it decides where the test part of a single file begins.
    split
        ``"test"``: the part that the training with this data and batch size left for its test.
        ``"all"``: all records, for data that no training has seen.

    Raises
    ------
    ModelError, ExportError
        If the model cannot be opened.
    DataError
        If the data cannot be read, or does not fit the model.
    TrainingError
        If the model is no classifier of such samples.
    MissingExtraError
        If TensorFlow or scikit-learn is not installed.
    """
    files = records.find_record_files(Path(data))
    # A Keras file that is opened first would name the smaller extra.
    for library in ("tensorflow", "sklearn"):
        import_extra(library, extra="training", purpose="evaluation")
    opened = open_classifier(Path(model))
    shape = _whole_shape(opened, height, width)
    size = dict(zip(("height", "width", "channels"), shape, strict=True))
    size |= {"classes": _count_classes(opened, shape), "batch_size": batch_size}
    if split == "all":
        part = records.open_all(files, **size)
    else:
        part = records.open_splits(files, **size, seed=0).test
    with records.data_errors(files):
        probabilities, labels = opened.classify(part.dataset.as_numpy_iterator())
    return evaluate_scores(probabilities, labels)


def _count_classes(classifier: Classifier, shape: tuple[int, int, int]) -> int:
    """Length of the scores, by a sample of zeros."""
    try:
        return int(classifier.scores(np.zeros((1, *shape), np.float32)).shape[1])
    except TrainingError:
        raise
    # Whatever the library that runs the model raises over a size that its layers do not fit.
    except Exception as error:
        raise TrainingError(
            f"{classifier.name} takes no samples of {' x '.join(map(str, shape))} (--height x "
            f"--width x channels): {records.first_line(str(error))}"
        ) from error


def _whole_shape(
    classifier: Classifier, height: int | None, width: int | None
) -> tuple[int, int, int]:
    """Shape of a sample, by the model and by what the caller says of open sizes."""
    for axis, (option, given) in enumerate((("height", height), ("width", width))):
        own, about = classifier.shape[axis], f"{classifier.name} takes samples of"
        if own is None and given is None:
            raise TrainingError(f"{about} any {option}: give the records' --{option}")
        if own is not None and given not in (None, own):
            raise TrainingError(f"{about} {option} {own}, --{option} says {given}")
    own_height, own_width, channels = classifier.shape
    return own_height or height or 0, own_width or width or 0, channels

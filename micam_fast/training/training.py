"""A whole training: fit, evaluation on the test data, saved models, diagrams."""

from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micam_fast.api.export import export
from micam_fast.core.errors import OutputError, TrainingError
from micam_fast.core.extras import import_extra
from micam_fast.core.output_files import atomic_file, check_folder
from micam_fast.diagrams.layout import find_engine
from micam_fast.training import records
from micam_fast.training.checkpoints import Checkpoint, History, State
from micam_fast.training.classifiers import keras_classifier
from micam_fast.training.curves import log_evaluation, log_run
from micam_fast.training.fitting import fit
from micam_fast.training.metrics import Evaluation, evaluate_scores
from micam_fast.training.networks import LENETS, build_network, import_keras
from micam_fast.training.settings import TrainSettings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes
    ----------
    evaluation
        On the test data.
    history
        Loss and metrics by name, a value for each epoch, those before a continuation included.
    model
        The ONNX file, which takes samples as they are in the records.
    test
        The test data.
    """

    evaluation: Evaluation
    history: History
    model: Path
    test: records.Split


def train(
    settings: TrainSettings,
    *,
    resume: bool = False,
    verbose: int = 0,
    say: Say = lambda line: None,
    note: Say = lambda line: None,
) -> Trained:
    """Train a network on records, evaluate it on the test part, save it.

    Adam; categorical cross-entropy, binary for 2 classes; accuracy (SPEC section 6, "Train"). In
    ``settings.log_dir`` it leaves a TensorBoard log, ``checkpoint/`` after each epoch,
    ``evaluation.json``, ``model.keras`` (without the optimizer, whose state is in the checkpoint)
    and ``model.onnx``.

    Parameters
    ----------
    settings
        Data, network and way.
    resume
        Go on from the checkpoint of an interrupted training with the same settings;
        ``num_epochs`` and ``samples`` may differ.
    verbose
        As in ``keras.Model.fit``: 1 for a bar, 2 for a line for each epoch.
    say
        Takes lines of text: what comes out.
    note
        Takes what a user should know of something that goes on all the same.

    Raises
    ------
    TrainingError
        If there is no such network, samples are too small for it, the checkpoint does not fit
        `resume` or the settings, the training diverges, or TensorFlow fails.
    DataError
        If the data cannot be read, or does not fit the settings.
    ExportError
        If the trained network cannot be brought to ONNX.
    OutputError, LayoutEngineError
        If the folder cannot be written, or diagrams are to follow and Graphviz is missing.
    MissingExtraError
        If a library of the extra ``training`` is not installed.
    KeyboardInterrupt
        Passes through; the checkpoint of the last complete epoch stays.
    """
    _check_means(settings)
    files = records.find_record_files(settings.data)
    checkpoint = Checkpoint(settings.log_dir)
    state = checkpoint.begin(settings.fixed(files), resume=resume)
    seed = _seed(settings)
    network = _build(settings, note)
    splits = records.open_splits(
        files,
        height=settings.height,
        width=settings.width,
        channels=settings.window_size,
        classes=settings.classes,
        batch_size=settings.batch_size,
        seed=seed,
    )
    parts = (splits.train, splits.validation, splits.test)
    sizes = [len(part.labels) for part in parts]
    counts = "{} training, {} validation and {} test samples".format(*sizes)
    say(f"{network.name}: {network.count_params():,} parameters; {counts}")
    with _folder_errors(settings.log_dir), records.data_errors(splits.files):
        if not state.epochs:
            log_run(settings.log_dir, network, settings.to_dict())
        state = fit(network, splits, settings, checkpoint, state, verbose=verbose)
        evaluation = _evaluate(network, splits, settings.log_dir, state)
        for line in evaluation.table():
            say(line)
        model = _save(network, splits, settings.log_dir, say)
    return Trained(evaluation, state.history, model, splits.test)


def _check_means(settings: TrainSettings) -> None:
    """Find out before hours of training what would be missing after them."""
    check_folder(settings.log_dir)
    for library, purpose in (("sklearn", "evaluation"), ("tf2onnx", "the export to ONNX")):
        import_extra(library, extra="training", purpose=purpose)
    if settings.samples:
        find_engine()


@contextmanager
def _folder_errors(log_dir: Path) -> Iterator[None]:
    """Turn what Keras, h5py and TensorFlow raise over a full disk and the like into one line."""
    tf = import_extra("tensorflow", extra="training", purpose="training")
    try:
        yield
    except (OSError, RuntimeError) as error:
        # h5py hides the system's number in a paragraph, in a RuntimeError when it closes a file.
        found = re.search(r"errno = (\d+)", str(error))
        number = int(found[1]) if found else getattr(error, "errno", None)
        if isinstance(error, RuntimeError) and number is None:
            raise
        reason = records.first_line(str(error)) if number is None else os.strerror(number)
        raise _cannot_write(log_dir, reason) from error
    except tf.errors.OpError as error:
        told = records.first_line(error.message or "")
        # The files of the TensorBoard log, the only ones that TensorFlow itself writes.
        if re.search(r"\[Op:\w*Summary", error.message or "") or os.strerror(errno.ENOSPC) in told:
            raise _cannot_write(log_dir, told.rpartition("; ")[2]) from error
        lack = isinstance(error, tf.errors.ResourceExhaustedError)
        remedy = " (give a lower --batch-size)" if lack else ""
        raise TrainingError(f"TensorFlow failed: {told}{remedy}") from error


def _cannot_write(log_dir: Path, reason: str) -> OutputError:
    return OutputError(
        f"cannot write to folder {log_dir}: {reason} (make room, or give another --log-dir; "
        "--resume goes on from the last complete epoch)"
    )


def _seed(settings: TrainSettings) -> int:
    """Make the training repeatable if a seed is given, and tell the seed of its shuffling."""
    if settings.seed is None:
        return random.SystemRandom().getrandbits(31)
    import_keras().utils.set_random_seed(settings.seed)
    tf = import_extra("tensorflow", extra="training", purpose="training")
    tf.config.experimental.enable_op_determinism()
    return settings.seed


def _build(settings: TrainSettings, note: Say) -> Any:
    network = build_network(
        settings.cnn_model,
        classes=settings.classes,
        height=settings.height,
        width=settings.width,
        channels=settings.window_size,
        dropout=settings.dropout,
        batch_normalization=settings.batch_normalization,
    )
    if settings.batch_normalization and network.name not in LENETS:
        lenets = " and ".join(LENETS)
        note(f"batch normalization can be added to {lenets}; {network.name} stays as it is")
    return network


def _evaluate(network: Any, splits: records.Splits, log_dir: Path, state: State) -> Evaluation:
    """Evaluate on the test data; leaves ``evaluation.json`` and PR curves."""
    classifier = keras_classifier(network, network.name)
    probabilities, labels = classifier.classify(splits.test.dataset.as_numpy_iterator())
    evaluation = evaluate_scores(probabilities, labels)
    log_evaluation(log_dir, evaluation, probabilities, labels, state.epochs)
    with atomic_file(log_dir / "evaluation.json") as file:
        file.write(evaluation.to_json().encode())
    return evaluation


def _save(network: Any, splits: records.Splits, log_dir: Path, say: Say) -> Path:
    """Save the network for Keras and for ONNX Runtime; gives the ONNX file."""
    # The layers without the optimizer, which takes twice their room and is in the checkpoint.
    plain = import_keras().Model(network.inputs, network.outputs, name=network.name)
    plain.save(log_dir / "model.keras")
    sample, _ = next(splits.test.samples(0, 1))
    report = export(plain, log_dir / "model.onnx", sample=sample)
    say(
        f"wrote model.keras and model.onnx to {log_dir}; their layers differ by "
        f"{report.worst.relative:.1e} at most, relatively (layer {report.worst.layer})"
    )
    return report.path

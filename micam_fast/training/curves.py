"""The TensorBoard log, beyond what Keras' callback writes: graph, settings, test results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.extras import import_extra
from micam_fast.training.metrics import Evaluation

PR_THRESHOLDS = 512
"""Points of a precision-recall curve, as published (SPEC section 6)."""

# Curves that stand beside the settings on that page: tag, run, shown as.
_CURVES = (
    ("epoch_accuracy", "train", "training accuracy"),
    ("epoch_loss", "train", "training loss"),
    ("epoch_accuracy", "validation", "validation accuracy"),
    ("epoch_loss", "validation", "validation loss"),
    ("accuracy", "test", "test accuracy"),
)


def log_run(
    folder: Path, network: Any, settings: Mapping[str, bool | int | float | str | None]
) -> None:
    """Write the graph and the settings of a run.

    Keras' callback writes no graph of operations, only its own description of the layers, and its
    curves to ``train`` and ``validation`` in the folder. Settings that are ``None`` are left out of
    TensorBoard's HPARAMS page.
    """
    tf = _import("tensorflow")
    hparams = _import("tensorboard.plugins.hparams.api")
    spec = tf.TensorSpec(network.input.shape, network.input.dtype)
    traced = tf.function(lambda x: network(x, training=False)).get_concrete_function(spec)
    given = {name: value for name, value in settings.items() if value is not None}
    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.graph(traced.graph)
        hparams.hparams_config(
            hparams=[hparams.HParam(name) for name in given],
            metrics=[
                hparams.Metric(tag, group=run, display_name=text) for tag, run, text in _CURVES
            ],
        )
        hparams.hparams(given)


def log_evaluation(
    folder: Path,
    evaluation: Evaluation,
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    step: int,
) -> None:
    """Write test results to the run ``test``: means as scalars, a PR curve for each class.

    They are those of probabilities ``(n, classes)`` in [0, 1] and labels ``(n,)``, after an epoch.
    """
    tf = _import("tensorflow")
    pr_curve = _import("tensorboard.plugins.pr_curve.summary")
    means = {
        "accuracy": evaluation.accuracy,
        "mean_precision": evaluation.mean_precision,
        "mean_recall": evaluation.mean_recall,
        "mean_f1": evaluation.mean_f1,
        "mean_average_precision": evaluation.mean_average_precision,
    }
    with tf.summary.create_file_writer(str(folder / "test")).as_default(step):
        for name, value in means.items():
            tf.summary.scalar(name, value)
        for label in range(probabilities.shape[1]):
            curve = pr_curve.pb(
                f"class_{label}",
                labels=labels == label,
                predictions=probabilities[:, label],
                num_thresholds=PR_THRESHOLDS,
            )
            tf.summary.experimental.write_raw_pb(curve.SerializeToString())


def _import(name: str) -> Any:
    return import_extra(name, extra="training", purpose="the TensorBoard log")

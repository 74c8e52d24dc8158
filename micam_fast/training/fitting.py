"""The epochs of a training, with Keras' callbacks around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from micam_fast.core.errors import TrainingError
from micam_fast.training.checkpoints import Checkpoint, State
from micam_fast.training.networks import import_keras
from micam_fast.training.records import Splits, first_line
from micam_fast.training.settings import TrainSettings


def fit(
    network: Any,
    splits: Splits,
    settings: TrainSettings,
    checkpoint: Checkpoint,
    state: State,
    *,
    verbose: int = 0,
) -> State:
    """Fit an untrained ``keras.Model``, from a state on, with a checkpoint after each epoch.

    The checkpoint holds the weights of the state, unless that is before the first epoch. Gives the
    state after the last epoch; `verbose` is that of ``keras.Model.fit``.

    Raises
    ------
    TrainingError
        If the loss is no finite number any more, or weights of the checkpoint cannot be read.
    """
    keras = import_keras()
    # One-hot vectors for two classes, too, hence the accuracy by name.
    network.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss="binary_crossentropy" if settings.classes == 2 else "categorical_crossentropy",
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    if state.epochs:
        network.optimizer.build(network.trainable_variables)
        _load_weights(network, checkpoint.weights(state))
        for variable, value in zip(_random_states(network), state.random_states, strict=True):
            variable.assign(value)
    reached = state

    def complete_epoch(epoch: int, logs: dict[str, float]) -> None:
        nonlocal reached
        if not np.isfinite(logs["loss"]):
            return
        history = {name: [*reached.history.get(name, []), float(logs[name])] for name in logs}
        random_states = [variable.numpy().tolist() for variable in _random_states(network)]
        reached = State(state.settings, epoch + 1, history, random_states)
        checkpoint.write(reached)

    callbacks = [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: splits.train.begin_epoch(epoch)
        ),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.TensorBoard(str(settings.log_dir)),
        *_early_stopping(keras, settings, state),
        keras.callbacks.ModelCheckpoint(str(checkpoint.pattern), save_weights_only=True),
        keras.callbacks.LambdaCallback(on_epoch_end=complete_epoch),
    ]
    epochs = state.epochs if _has_stopped(settings, state) else settings.num_epochs
    if state.epochs < epochs:
        fitted = network.fit(
            splits.train.dataset,
            validation_data=splits.validation.dataset,
            initial_epoch=state.epochs,
            epochs=epochs,
            callbacks=callbacks,
            verbose=verbose,
            # The data are shuffled already, where they are to be.
            shuffle=False,
        )
        if not np.isfinite(fitted.history["loss"][-1]):
            raise TrainingError(
                f"the loss is {fitted.history['loss'][-1]} in epoch {reached.epochs + 1}: the "
                f"training diverged (give a lower --learning-rate than {settings.learning_rate:g})"
            )
    if settings.early_stopping is not None:
        _load_weights(network, checkpoint.best(reached))
    return reached


def _load_weights(network: Any, path: Path) -> None:
    try:
        network.load_weights(path)
    # What Keras and h5py raise over a file that is gone, cut off, or another network's.
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"cannot read the weights in {path}: {first_line(str(error))} (train anew in another "
            "--log-dir, without --resume)"
        ) from error


def _random_states(network: Any) -> list[Any]:
    """Variables of the Dropout layers, which Keras leaves out of the weights."""
    generators = (getattr(layer, "seed_generator", None) for layer in network.layers)
    return [generator.state for generator in generators if generator is not None]


def _early_stopping(keras: Any, settings: TrainSettings, state: State) -> list[Any]:
    """Callbacks that stop the training; they know of the epochs before.

    Keras' own restore_best_weights forgets the best weights with the process, so the checkpoint
    keeps them.
    """
    if (patience := settings.early_stopping) is None:
        return []
    past = state.history.get("val_loss", [])
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min")

    def replay(logs: Any) -> None:
        for epoch, loss in enumerate(past):
            stopping.on_epoch_end(epoch, {"val_loss": loss})

    return [stopping, keras.callbacks.LambdaCallback(on_train_begin=replay)]


def _has_stopped(settings: TrainSettings, state: State) -> bool:
    """Whether early stopping ended the epochs of a state; Keras would add one more."""
    past = state.history.get("val_loss", [])
    if settings.early_stopping is None or not past:
        return False
    return len(past) - state.best_epoch >= settings.early_stopping

"""Epochs, interrupted and continued."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import TrainingError
from micam_fast.training.checkpoints import Checkpoint, State
from micam_fast.training.fitting import fit
from micam_fast.training.records import Splits
from tests.helpers.training_cases import (
    keras,
    make_settings,
    make_splits,
    pytestmark as pytestmark,
    small_network,
)


def fitted(
    folder: Path, state: State | None = None, splits: Splits | None = None, **changed: Any
) -> tuple[Any, State]:
    """A network after `fit`, and the state that it reached."""
    settings = make_settings(folder, **changed)
    network = small_network(classes=settings.classes)
    checkpoint = Checkpoint(settings.log_dir)
    state = state or State(settings.fixed([]))
    return network, fit(network, splits or make_splits(), settings, checkpoint, state)


def same_weights(first: Any, second: Any) -> bool:
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def broken_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, after: int, **changed: Any
) -> None:
    """A training that is interrupted within the epoch that follows `after` others."""
    callback = keras.callbacks.TerminateOnNaN
    seen = 0

    def interrupt(self: Any, batch: int, logs: Any = None) -> None:
        nonlocal seen
        seen += 1
        if seen == 4 * after + 2:
            raise KeyboardInterrupt("by the user")

    with monkeypatch.context() as patch:
        patch.setattr(callback, "on_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt, match="by the user"):
            fitted(folder, **changed)


@pytest.mark.heavy
def test_learns(tmp_path: Path) -> None:
    network, state = fitted(tmp_path, num_epochs=12, learning_rate=0.01)
    assert state.epochs == 12
    assert set(state.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [len(values) for values in state.history.values()] == [12] * 4
    assert state.history["val_accuracy"][-1] == 1
    assert state.history["loss"][-1] < state.history["loss"][0] / 2
    assert network.evaluate(make_splits().test.dataset, verbose=0)[1] == 1


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("classes", "loss"), [(2, "binary_crossentropy"), (3, "categorical_crossentropy")]
)
def test_loss_by_the_number_of_classes(tmp_path: Path, classes: int, loss: str) -> None:
    splits = make_splits()
    if classes == 2:
        train, validation = (
            replace(part, dataset=part.dataset.map(lambda x, y: (x, y[:, :2])))
            for part in (splits.train, splits.validation)
        )
        splits = replace(splits, train=train, validation=validation)
    network, _ = fitted(tmp_path, splits=splits, classes=classes, num_epochs=1)
    assert network.loss == loss
    assert type(network.optimizer).__name__ == "Adam"
    assert float(network.optimizer.learning_rate) == pytest.approx(1e-3)


def test_checkpoint_after_each_epoch(tmp_path: Path) -> None:
    network, state = fitted(tmp_path)
    checkpoint = Checkpoint(tmp_path / "log")
    assert checkpoint.read() == state
    other = small_network(seed=9)
    assert not same_weights(other, network)
    other.load_weights(checkpoint.weights(state))
    assert same_weights(other, network)
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "epoch-0003.weights.h5", "state.json",
    ]  # fmt: skip


@pytest.mark.heavy
class TestContinued:
    """A training that was broken off."""

    def test_is_the_same_as_one_that_was_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, reached = fitted(tmp_path / "whole", num_epochs=4)
        broken_off(tmp_path, monkeypatch, after=2, num_epochs=4)
        state = Checkpoint(tmp_path / "log").read()
        assert state is not None
        assert state.epochs == 2
        # Weights, the optimizer's moments, the state of Dropout: all goes on where it was.
        network, continued = fitted(tmp_path, state, num_epochs=4)
        assert same_weights(network, whole)
        assert continued == reached

    def test_with_more_epochs(self, tmp_path: Path) -> None:
        whole, _ = fitted(tmp_path / "whole", num_epochs=3)
        _, state = fitted(tmp_path, num_epochs=1)
        network, state = fitted(tmp_path, state, num_epochs=3)
        assert state.epochs == 3
        assert same_weights(network, whole)

    def test_has_the_order_of_each_epoch(self, tmp_path: Path) -> None:
        begun: list[int] = []
        splits = make_splits()
        splits = replace(splits, train=replace(splits.train, begin_epoch=begun.append))
        _, state = fitted(tmp_path, splits=splits, num_epochs=1)
        fitted(tmp_path, state, splits, num_epochs=3)
        assert begun == [0, 1, 2]

    def test_with_nothing_left_to_do(self, tmp_path: Path) -> None:
        before, state = fitted(tmp_path)
        network, again = fitted(tmp_path, state)
        assert again == state
        assert same_weights(network, before)

    def test_in_the_first_epoch_there_is_no_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_off(tmp_path, monkeypatch, after=0)
        assert Checkpoint(tmp_path / "log").read() is None


@pytest.mark.heavy
class TestEarlyStopping:
    """`early_stopping` epochs without a lower validation loss."""

    @staticmethod
    def losses(monkeypatch: pytest.MonkeyPatch, values: Sequence[float]) -> None:
        """Have the validation losses be these."""
        real = keras.Model.evaluate
        left = list(values)

        def evaluate(self: Any, *given: Any, **more: Any) -> Any:
            logs = real(self, *given, **more)
            return {**logs, "loss": left.pop(0)}

        monkeypatch.setattr(keras.Model, "evaluate", evaluate)

    def test_stops_and_goes_back_to_the_best(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        best, _ = fitted(tmp_path / "best", num_epochs=2)
        self.losses(monkeypatch, [3, 1, 2, 1.5, 9])
        network, state = fitted(tmp_path, num_epochs=9, early_stopping=2)
        assert state.history["val_loss"] == [3, 1, 2, 1.5]
        assert same_weights(network, best)

    def test_goes_back_to_the_best_without_having_stopped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        best, _ = fitted(tmp_path / "best", num_epochs=1)
        self.losses(monkeypatch, [1, 2, 3])
        network, state = fitted(tmp_path, num_epochs=3, early_stopping=5)
        assert state.epochs == 3
        assert same_weights(network, best)

    def test_knows_of_the_epochs_before_a_continuation(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        best, _ = fitted(tmp_path / "best", num_epochs=2)
        self.losses(monkeypatch, [3, 1, 2, 1.5, 9])
        _, state = fitted(tmp_path, num_epochs=3, early_stopping=2)
        # The best and the last epoch's, and none that is written over in its place.
        assert sorted(path.name for path in Checkpoint(tmp_path / "log").folder.iterdir()) == [
            "epoch-0002.weights.h5", "epoch-0003.weights.h5", "state.json",
        ]  # fmt: skip
        network, state = fitted(tmp_path, state, num_epochs=9, early_stopping=2)
        assert state.history["val_loss"] == [3, 1, 2, 1.5]
        assert same_weights(network, best)

    def test_does_not_go_on_once_it_has_stopped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.losses(monkeypatch, [1, 2, 3])
        before, state = fitted(tmp_path, num_epochs=9, early_stopping=2)
        network, again = fitted(tmp_path, state, num_epochs=9, early_stopping=2)
        assert again == state
        assert same_weights(network, before)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("epochs", "broken"), [(1, "epoch-0001.weights.h5"), (3, "epoch-0002.weights.h5")]
)
def test_broken_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, broken: str
) -> None:
    TestEarlyStopping.losses(monkeypatch, [3, 1, 2, 4])
    _, state = fitted(tmp_path, num_epochs=epochs, early_stopping=2)
    file = Checkpoint(tmp_path / "log").folder / broken
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(
        TrainingError, match=rf"cannot read the weights in .*{broken}: .*another --log-dir"
    ) as caught:
        fitted(tmp_path, state, num_epochs=4, early_stopping=2)
    assert "\n" not in str(caught.value)


@pytest.mark.heavy
def test_divergence(tmp_path: Path) -> None:
    splits = make_splits()
    broken = splits.train.dataset.map(lambda x, y: (x * np.nan, y))
    _, state = fitted(tmp_path, num_epochs=1)
    with pytest.raises(
        TrainingError,
        match=r"the loss is nan in epoch 2: .*lower --learning-rate than 0\.001\)",
    ):
        fitted(tmp_path, state, replace(splits, train=replace(splits.train, dataset=broken)))
    # The epoch before is what is kept.
    assert Checkpoint(tmp_path / "log").read() == state

"""The last complete epoch on disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from micam_fast.core.errors import TrainingError
from micam_fast.training.checkpoints import Checkpoint, State
from tests.helpers.training_cases import make_settings

SETTINGS: dict[str, Any] = {"learning_rate": 0.5, "seed": None, "files": {"a.tfrecord": 9}}


def wrote(checkpoint: Checkpoint, epochs: int) -> State:
    """A checkpoint after some epochs, with files in the place of weights."""
    state = State(SETTINGS, epochs, {"loss": [0.5] * epochs}, [[7, epochs]])
    checkpoint.folder.mkdir(parents=True, exist_ok=True)
    checkpoint.weights(state).touch()
    checkpoint.write(state)
    return state


def test_read_as_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "log")
    assert checkpoint.read() is None
    state = wrote(checkpoint, 2)
    assert checkpoint.weights(state).name == "epoch-0002.weights.h5"
    assert Checkpoint(tmp_path / "log").read() == state


def test_older_weights_go_when_newer_ones_are_noted(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    wrote(checkpoint, 1)
    wrote(checkpoint, 2)
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "epoch-0002.weights.h5", "state.json",
    ]  # fmt: skip


class TestBest:
    """Early stopping goes back to the best epoch, whose weights are kept for it."""

    def wrote(self, checkpoint: Checkpoint, *losses: float) -> State:
        checkpoint.folder.mkdir(parents=True, exist_ok=True)
        state = State({"early_stopping": 3}, len(losses), {"val_loss": list(losses)})
        checkpoint.weights(state).touch()
        checkpoint.write(state)
        return state

    @pytest.mark.parametrize(
        ("losses", "best"), [([3], 1), ([3, 1, 2], 2), ([2, 1, 1], 2), ([math.nan, 5, 6], 2)]
    )
    def test_stays(self, tmp_path: Path, losses: list[float], best: int) -> None:
        checkpoint = Checkpoint(tmp_path)
        for count in range(len(losses)):
            state = self.wrote(checkpoint, *losses[: count + 1])
        assert checkpoint.best(state).name == f"epoch-{best:04d}.weights.h5"
        kept = {path.name for path in checkpoint.folder.glob("*.h5")}
        assert kept == {f"epoch-{epoch:04d}.weights.h5" for epoch in (best, len(losses))}

    def test_is_missed_at_once(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path)
        self.wrote(checkpoint, 1)
        checkpoint.best(self.wrote(checkpoint, 1, 2)).unlink()
        with pytest.raises(TrainingError, match=r"has lost epoch-0001\.weights\.h5 \(train anew"):
            checkpoint.read()


def test_half_written_weights_of_the_next_epoch_do_not_count(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    state = wrote(checkpoint, 1)
    (checkpoint.folder / "epoch-0002.weights.h5").touch()
    assert checkpoint.read() == state
    assert checkpoint.weights(state).is_file()


class TestBegin:
    """A new training, or one that goes on."""

    def test_new(self, tmp_path: Path) -> None:
        assert Checkpoint(tmp_path).begin(SETTINGS, resume=False) == State(SETTINGS)

    def test_goes_on(self, tmp_path: Path) -> None:
        state = wrote(Checkpoint(tmp_path), 2)
        assert Checkpoint(tmp_path).begin(SETTINGS, resume=True) == state

    @pytest.mark.parametrize(("epochs", "said"), [(1, "1 epoch already"), (2, "2 epochs already")])
    def test_new_over_an_old_one(self, tmp_path: Path, epochs: int, said: str) -> None:
        wrote(Checkpoint(tmp_path), epochs)
        with pytest.raises(
            TrainingError, match=f"holds a training of {said}: --resume goes on with it, another"
        ):
            Checkpoint(tmp_path).begin(SETTINGS, resume=False)

    def test_nothing_to_go_on_from(self, tmp_path: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"cannot resume: no checkpoint in .*leave out --re"
        ):
            Checkpoint(tmp_path).begin(SETTINGS, resume=True)

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("learning_rate", 0.25, "--learning-rate was 0.5, now it is 0.25"),
            ("seed", 3, "--seed was None, now it is 3"),
            ("files", {"a.tfrecord": 8}, r"the record files was \{'a.tfrecord': 9\}, now it is"),
        ],
    )
    def test_other_settings(self, tmp_path: Path, name: str, value: Any, said: str) -> None:
        wrote(Checkpoint(tmp_path), 1)
        with pytest.raises(TrainingError, match=f"cannot resume the training in .*: {said}"):
            Checkpoint(tmp_path).begin({**SETTINGS, name: value}, resume=True)


class TestBroken:
    """A checkpoint that somebody touched."""

    @pytest.mark.parametrize(
        "text", ["", "[]", "{", '{"epochs": 3}', '{"settings": {}, "what": 1}']
    )
    def test_state(self, tmp_path: Path, text: str) -> None:
        checkpoint = Checkpoint(tmp_path)
        wrote(checkpoint, 1)
        (checkpoint.folder / "state.json").write_text(text)
        with pytest.raises(
            TrainingError, match=r"cannot read the checkpoint .*state\.json: .*anew"
        ):
            checkpoint.read()

    def test_weights_gone(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path)
        checkpoint.weights(wrote(checkpoint, 1)).unlink()
        with pytest.raises(TrainingError, match=r"has lost epoch-0001\.weights\.h5 \(train anew"):
            checkpoint.read()


class TestSettings:
    """What a continuation must have in common, and what no training takes."""

    def test_fixed(self, tmp_path: Path) -> None:
        file = tmp_path / "a.tfrecord"
        file.write_bytes(b"12345")
        fixed = make_settings(tmp_path, cnn_model="LeNet5").fixed([file])
        assert fixed["files"] == {"a.tfrecord": 5}
        assert fixed["cnn_model"] == "lenet5"
        assert not {"num_epochs", "samples", "log_dir", "data"} & set(fixed)
        moved = make_settings(tmp_path / "else", cnn_model="lenet5", num_epochs=50, samples=0)
        assert moved.fixed([file]) == fixed
        assert make_settings(tmp_path, height=13).fixed([file]) != fixed

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("classes", 1, "classes must be at least 2, not 1"),
            ("num_epochs", 0, "num_epochs must be at least 1, not 0"),
            ("samples", -1, "samples must be at least 0, not -1"),
            ("early_stopping", 0, "early_stopping must be at least 1, not 0"),
            ("learning_rate", 0.0, "learning_rate must be above 0, not 0"),
            ("learning_rate", float("nan"), "learning_rate must be above 0, not nan"),
            ("dropout", 1.0, "dropout must be at least 0 and less than 1, not 1"),
            ("seed", 2**32, "seed must be from 0 to 4294967295, not 4294967296"),
        ],
    )
    def test_out_of_range(self, tmp_path: Path, name: str, value: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            make_settings(tmp_path, **{name: value})

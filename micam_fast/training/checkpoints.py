"""The last complete epoch of a training on disk, from which an interrupted one goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from micam_fast.core.errors import TrainingError
from micam_fast.core.output_files import atomic_file
from micam_fast.core.texts import count_of

History = dict[str, list[float]]
"""Loss and metrics by name, a value for each epoch."""


@dataclass(frozen=True)
class State:
    """A training after a complete epoch.

    Attributes
    ----------
    settings
        What a continuation must have in common, see `TrainSettings.fixed`.
    epochs
        Number of complete epochs.
    history
        Of these epochs.
    random_states
        Of the layers that draw random numbers, in order.
    """

    settings: Mapping[str, Any]
    epochs: int = 0
    history: History = field(default_factory=dict)
    random_states: list[list[int]] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Number of the epoch with the lowest validation loss, the first of equal ones."""
        losses = self.history.get("val_loss", [])
        known = [math.inf if math.isnan(loss) else loss for loss in losses]
        return known.index(min(known)) + 1 if known else self.epochs


class Checkpoint:
    """Weights and state in the folder ``checkpoint`` of a log.

    Keras writes the weights of each epoch, the optimizer's among them, to a file of its own; the
    state file names the last complete epoch, and older weights are removed only when it is written.
    So whenever a training is cut off, what the state names is whole. Where a training stops early,
    the best epoch's weights stay, too.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self.folder = log_dir / "checkpoint"
        self._state = self.folder / "state.json"

    @property
    def pattern(self) -> Path:
        """File of an epoch's weights, for ``keras.callbacks.ModelCheckpoint``."""
        return self.folder / "epoch-{epoch:04d}.weights.h5"

    def weights(self, state: State) -> Path:
        """File of a state's weights."""
        return self._weights(state.epochs)

    def best(self, state: State) -> Path:
        """File of the best epoch's weights, which is kept for early stopping alone."""
        return self._weights(state.best_epoch)

    def _weights(self, epoch: int) -> Path:
        return Path(str(self.pattern).format(epoch=epoch))

    def _needed(self, state: State) -> list[Path]:
        """Files of weights that a continuation or the end of the training loads."""
        early = state.settings.get("early_stopping") is not None
        return [self.weights(state), *([self.best(state)] if early else [])]

    def read(self) -> State | None:
        """The last complete epoch; ``None`` if there is none.

        Raises
        ------
        TrainingError
            If the checkpoint is broken.
        """
        try:
            state = State(**json.loads(self._state.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                f"cannot read the checkpoint {self._state}: {error} (train anew in another "
                "--log-dir)"
            ) from None
        for path in self._needed(state):
            if not path.is_file():
                raise TrainingError(
                    f"the checkpoint in {self.folder} has lost {path.name} (train anew in another "
                    "--log-dir)"
                )
        return state

    def write(self, state: State) -> None:
        """Note that an epoch is complete: its weights are there, older ones are needed no more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._state) as file:
            file.write(json.dumps(asdict(state), indent=2).encode())
        for path in self.folder.glob("epoch-*.weights.h5"):
            if path not in self._needed(state):
                path.unlink()

    def begin(self, settings: Mapping[str, Any], *, resume: bool) -> State:
        """The state to begin with: nothing done yet, or what the checkpoint holds.

        Raises
        ------
        TrainingError
            If there is a checkpoint and none is wanted, or the other way round; if the one there is
            was made with other settings, or is broken.
        """
        found = self.read()
        if not resume:
            if found is not None:
                done = count_of(found.epochs, "epoch")
                raise TrainingError(
                    f"{self._log_dir} holds a training of {done} already: --resume goes on with "
                    "it, another --log-dir begins anew"
                )
            return State(settings)
        if found is None:
            raise TrainingError(
                f"cannot resume: no checkpoint in {self._log_dir} (one is written after each "
                "epoch; leave out --resume to begin anew)"
            )
        for name, now in settings.items():
            before = found.settings.get(name)
            if before != now:
                option = f"--{name.replace('_', '-')}" if name != "files" else "the record files"
                raise TrainingError(
                    f"cannot resume the training in {self._log_dir}: {option} was {before}, now it "
                    f"is {now} (give the same, or another --log-dir to begin anew)"
                )
        return found

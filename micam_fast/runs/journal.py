"""What a run writes down of its samples: the manifest, and what of an earlier run goes."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import ResumeError, SampleError
from micam_fast.core.json_records import try_record
from micam_fast.core.output_files import is_there
from micam_fast.core.prediction import Prediction
from micam_fast.core.texts import count_of
from micam_fast.engine.untouched import Outcome
from micam_fast.runs.manifest import COMPARED, Line, Manifest, named_files
from micam_fast.runs.observing import RunSample
from micam_fast.runs.stores import Store


class Journal:
    """Keeps the manifest of a run, and removes what an earlier one wrote for changed samples.

    `outcomes` are the model's; those of an earlier run are put there, and the header gets what the
    run finds out. `say` is told if the manifest has more samples than the run.
    """

    def __init__(
        self,
        manifest: Manifest,
        store: Store,
        say: Callable[[str], None] = lambda note: None,
        outcomes: dict[str, Outcome] | None = None,
    ) -> None:
        self._manifest, self._store, self._say = manifest, store, say
        self._outcomes = {} if outcomes is None else outcomes
        known = try_record(dict[str, Outcome], manifest.header().get(COMPARED))
        self._told: dict[str, Outcome] = known or {}
        self._outcomes.update(self._told)

    def is_done(self, sample: RunSample) -> bool:
        """Tell whether an earlier run wrote these very files; note what it says of the sample.

        Raises
        ------
        ResumeError
            If it had another sample at this place.
        """
        arrays = sample.arrays
        failed = isinstance(arrays, SampleError)
        sample.sha256 = None if isinstance(arrays, SampleError) else content_digest(arrays)
        earlier = self._manifest.find(sample.index)
        if earlier is None:
            return False
        known = {"sha256": sample.sha256, "name": sample.name, "label": sample.label}
        same = not failed and all(earlier.get(name) == value for name, value in known.items())
        if same and self._store.has(earlier):
            sample.earlier = earlier
            return True
        if not failed and earlier.get("name") != sample.name:
            raise ResumeError(
                f"cannot go on with the run in {self._store}: its sample {sample.index} is "
                f"{earlier.get('name')!r}, now it is {sample.name!r}; give the same samples in "
                "the same order, choose another --output-dir, or leave out --resume to "
                "start anew"
            )
        sample.earlier = earlier
        return False

    def finished(self, sample: RunSample) -> None:
        """Write the line of a sample."""
        if isinstance(sample.written, SampleError) and _tells_nothing(sample):
            return
        # In this order: what a killed run has not removed, the next one would not know.
        self._remove_stale(sample)
        # Before the first sample's line; those of other shapes come in the end, with one writing.
        if not self._told:
            self._tell_outcomes()
        self._manifest.add(manifest_line(sample))
        self._store.publish(self._manifest.path)

    def finish(self, count: int | None) -> None:
        """End the manifest of a run of so many samples; ``None`` if it ended early."""
        self._tell_outcomes()
        self._manifest.finish()
        if count is not None and (more := len(self._manifest) - count) > 0:
            self._say(
                f"{self._manifest.path} has {count_of(more, 'sample')} more, of an earlier run; "
                "all stay"
            )

    def _tell_outcomes(self) -> None:
        """Put into the header what came of comparing the model with its own file."""
        # Threads may find out more meanwhile.
        known = dict(self._outcomes)
        if known != self._told:
            said = {key: asdict(outcome) for key, outcome in sorted(known.items())}
            self._manifest.tell(COMPARED, said)
            self._told = known

    def _remove_stale(self, sample: RunSample) -> None:
        """Remove what an earlier run wrote for a sample that has changed since.

        Whatever the manifest says, it is no file but one that is named as a sample's.
        """
        written = sample.written
        kept = {} if written is None or isinstance(written, SampleError) else written.files
        stale = [name for name in named_files(sample.earlier or {}) if name not in kept]
        for name in stale:
            if re.fullmatch(rf"[^/]*_sample-{sample.index}[_.][^/]*(?:/[^/]+)?", name):
                self._store.remove(name)


def _tells_nothing(failed: RunSample) -> bool:
    """Tell whether a failure says nothing of what an earlier run wrote for a sample.

    Its file is away, as of a disk that is missing for a while, or is another one, as of a path that
    was mistyped.
    """
    if not failed.earlier or not failed.path:
        return False
    another = failed.earlier.get("input", failed.path) != failed.path
    return another or not is_there(Path(failed.path).exists)


def manifest_line(sample: RunSample) -> Line:
    """What a manifest says of a sample that is done."""
    said: Line = {
        "sample": sample.index,
        "name": sample.name,
        "input": sample.path,
        "row": sample.row,
        "sha256": sample.sha256,
        "label": sample.label,
    }
    written, seconds = sample.written, round(sample.seconds, 6)
    assert written is not None
    if isinstance(written, SampleError):
        return said | {"error": str(written), "seconds": seconds}
    measured = {name: _finite(each) for name, each in written.activation_ranges.items()}
    return said | {
        **_show_prediction(written.prediction),
        "files": dict(written.files),
        **({"refused": dict(written.refused)} if written.refused else {}),
        "global_range": _finite(written.global_range),
        "ranges": {name: _finite(each) for name, each in written.ranges.items()},
        **({"activation_ranges": measured} if measured else {}),
        "seconds": seconds,
    }


def _show_prediction(found: Prediction | None) -> dict[str, Any]:
    """What a line says of the prediction; the largest output is one of which no class is claimed.

    A reader of lines finds no class where none is claimed.
    """
    if found is None:
        return {"prediction": None}
    if not found.claimed:
        count = len(found.probabilities)
        largest = {"output": found.index, "of": count, "probability_if_logits": found.probability}
        return {"prediction": None, "largest": largest}
    said = {"class": found.index, "probability": found.probability}
    return {"prediction": said if found.name is None else said | {"name": found.name}}


def content_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a sample: names, element types, shapes and values of its arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _finite(found: tuple[float, float]) -> list[float] | None:
    """A range as JSON has it; ``None`` for a layer that takes no part."""
    return list(found) if all(map(math.isfinite, found)) else None

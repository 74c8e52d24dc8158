"""Files that lie about sizes, each run: it is refused in one line, or its maps are right.

``python tools/lying_files.py KIND FIRST LAST`` runs more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

import micam_fast
from micam_fast.core.choices import Projection
from micam_fast.core.layers import ModelInput
from tests.helpers.lying_graphs import Liar, lying_graph
from tests.helpers.lying_notes import lie, lying_notes
from tests.helpers.lying_oracle import is_right
from tests.helpers.models import Array
from tests.helpers.mutations import Random
from tests.helpers.plain_runtime import run

KINDS: dict[str, Callable[[int], Liar]] = {"graph": lying_graph, "notes": lying_notes}


@dataclass
class Tally:
    """What became of all seeds.

    Attributes
    ----------
    ended
        How many were refused, were right, or could not be judged, by kind.
    findings
        What was wrong, in words.
    """

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{number} {kind} {end}" for (kind, end), number in sorted(self.ended.items())]
        return f"{', '.join(parts)}; {len(self.findings)} findings"


def run_seeds(kind: str, seeds: Sequence[int]) -> Tally:
    """Run these seeds of a kind."""
    tally = Tally()
    for seed in seeds:
        try:
            ended, wrong = judge(KINDS[kind](seed), Random(f"projection {seed}"))
        except Exception as error:
            ended, wrong = "crashed", [f"{type(error).__name__}: {str(error)[:300]}"]
        tally.ended[kind, ended] += 1
        tally.findings += [f"{kind} {seed}: {each}" for each in wrong]
    return tally


def judge(liar: Liar, rng: Random) -> tuple[str, list[str]]:
    """Run a file; what became of it, and what was wrong."""
    projection: Projection = rng.choice(("published", "published", "transposed"))
    try:
        found = micam_fast.load_model(liar.proto, threads=1).explain(
            liar.sample, projection=projection
        )
    except micam_fast.MicamError as error:
        line = str(error)
        return "refused", [f"no line for people: {line!r}"] if "\n" in line else []
    names = [name for name in found.maps if name in liar.layers]
    values = _plain_values(liar, names)
    if values is None:
        return "unjudged", []
    about = f"({liar.lie}, {projection})"
    size = found.input_size
    wrong = [
        f"the map of {name!r} is wrong {about}"
        for name in names
        if not is_right(found.maps[name], liar.layers[name], values, size, projection)
    ]
    first = values[liar.proto.graph.output[0].name]
    if found.output is not None and first.shape[:1] == (1,):
        wanted = first[0]
        if found.output.shape != wanted.shape or not np.allclose(
            found.output, wanted, rtol=1e-3, atol=1e-3, equal_nan=True
        ):
            wrong.append(f"the output is wrong {about}")
    return "right", wrong


def _plain_values(liar: Liar, names: Sequence[str]) -> dict[str, Array] | None:
    """What ONNX Runtime alone gives; ``None`` where it refuses the file."""
    fed = liar.proto.graph.input[0].name
    sample = liar.sample[np.newaxis]
    layers = [liar.layers[name] for name in names]
    read = [value for each in layers for value in (each.value, each.source) if value is not None]
    read.append(liar.proto.graph.output[0].name)
    wanted = [name for name in dict.fromkeys(read) if name != fed]
    honest = onnx.ModelProto()
    honest.CopyFrom(liar.proto)
    # ONNX Runtime would refuse some that claim too much beside it.
    del honest.graph.value_info[:]
    del honest.graph.input[1:]
    try:
        arrays = run(honest, {fed: sample}, *wanted)
    except Exception:
        return None
    return {fed: sample, **dict(zip(wanted, arrays, strict=True))}


# --- Exports of real models ---------------------------------------------------------------------


def save_export(proto: onnx.ModelProto, fed: ModelInput, path: Path) -> None:
    """Keep an exported model with one input, and a sample for it."""
    sizes = [5 if size is None else size for size in fed.shape[1:]]
    array = np.random.default_rng(0).standard_normal(sizes)
    np.save(path.with_suffix(".npy"), np.asarray(10 * array, fed.dtype))
    onnx.save(proto, path)


def add_exports(folder: Path) -> None:
    """Let the kind ``"keras"`` be of these exported models."""
    paths = sorted(folder.glob("*.onnx"))
    models = [(onnx.load(path), np.load(path.with_suffix(".npy"))) for path in paths]

    def lying_export(seed: int) -> Liar:
        rng = Random(f"keras {seed}")
        return lie(*rng.choice(models), rng)

    KINDS["keras"] = lying_export

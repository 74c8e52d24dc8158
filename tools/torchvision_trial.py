"""Export torchvision's networks in three ways, and print what each file keeps of its module.

Weights are random, from a fixed seed. `tools/torchvision_trial.sh` makes the environment (PyTorch
and torchvision with all that they bring, about 5.5 GB) and runs this::

    bash tools/torchvision_trial.sh
    bash tools/torchvision_trial.sh resnet18 vit_b_16

Every export runs in a process of its own: its seconds are those of the call alone, its peak of
memory is the process's, PyTorch and its libraries included.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

NAMES = (
    "resnet18", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "swin_t",
    "vit_b_16",
)  # fmt: skip
OURS, DYNAMO, TRACED = "micam_fast.export", "torch.onnx.export", "dynamo=False"
WAYS = (OURS, DYNAMO, TRACED)


def build(name: str) -> tuple[Any, Any]:
    """A network in eval mode, and a sample."""
    import torch
    import torchvision

    from tests.helpers.torch_modules import stirred

    torch.manual_seed(0)
    module = stirred(torchvision.models.get_model(name, weights=None)).eval()
    for parameter in module.parameters():
        if not parameter.any():  # a head that is zero before its training
            torch.nn.init.normal_(parameter, std=0.1)
    return module, torch.randn(1, 3, 224, 224)


def run_export(name: str, way: str, path: Path) -> dict[str, Any]:
    """Write a network's file, and tell what that costs."""
    import micam_fast
    from benchmarks.cases import peak_megabytes
    from tests.helpers.torch_modules import exported_by_torch

    module, sample = build(name)
    # The layers of all three files then bear the same names, the input's too.
    names = list(inspect.signature(module.forward).parameters)[:1]
    start = time.perf_counter()
    if way == OURS:
        micam_fast.export(module, path, sample=sample)
    else:
        given = {"dynamo": True, "verbose": False} if way == DYNAMO else {"dynamo": False}
        exported_by_torch(module, path, sample, input_names=names, **given)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": peak_megabytes()}


def run_checks(name: str, folder: Path) -> dict[str, Any]:
    """What the three files keep: names, maps, pairs."""
    import micam_fast
    from tests.helpers import torch_checks as checks

    module, sample = build(name)
    calls = checks.leaf_calls(module, sample)
    found: dict[str, Any] = {}
    array = sample[0].numpy()
    cams = micam_fast.load_model(folder / f"{OURS}.onnx").explain(array).cams
    maps = checks.map_differences(calls, cams, (224, 224))
    for way in WAYS:
        path = folder / f"{way}.onnx"
        layers = checks.layers_of(path)
        strange = checks.strangers(module, layers)
        found[way] = {
            "layers": len(layers),
            "strangers": strange,
            "missing": [call.name for call in checks.missing(calls, layers)],
        }
        if way != OURS:
            pairs = checks.compare_files(folder / f"{OURS}.onnx", path, array)
            found[way] |= {
                "pairs": len(pairs.compared),
                "within": len(pairs.within),
                "only_ours": pairs.only_a,
                "only_theirs": pairs.only_b,
                "sizes": list(pairs.mismatched),
                "differ": {
                    each.layer.name: float(each.relative_l2)
                    for each in pairs.compared
                    if not each.relative_l2 <= 1e-4
                },
            }
    worst = max(maps, key=lambda key: maps[key])
    computing = sum(call.computes for call in calls)
    found[OURS] |= {"maps": len(maps), "calls": computing, "worst": worst, "by": maps[worst]}
    return found


def apart(*words: str) -> Any:
    """What another process prints of a step."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def try_network(name: str, folder: Path) -> None:
    """Print a network's rows, and below them by name what fell short."""
    costs = {way: apart("--export", name, way, str(folder / f"{way}.onnx")) for way in WAYS}
    found = apart("--check", name, str(folder))
    short = []
    for way in WAYS:
        told, cost = found[way], costs[way]
        own = told["layers"] - 1 - len(told["strangers"])
        cells = [
            name, way, str(told["layers"]), f"{own / (told['layers'] - 1):.0%}",
            f"{told['by']:.2g} ({told['maps']} of {told['calls']})" if way == OURS else "",
            "" if way == OURS else f"{told['pairs']} + {told['within']} within",
            f"{cost['seconds']:.1f}", f"{cost['megabytes']:,.0f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
        keys = ("strangers", "missing", "only_ours", "only_theirs", "sizes", "differ")
        short += [f"  {way}: {key}: {told[key]}" for key in keys if told.get(key)]
    print("\n".join(short), file=sys.stderr, flush=True)


def main() -> None:
    """Run a step, where another process asks for it; else all networks, or those named."""
    words = sys.argv[1:]
    if words[:1] == ["--export"]:
        print(json.dumps(run_export(words[1], words[2], Path(words[3]))))
        return
    if words[:1] == ["--check"]:
        print(json.dumps(run_checks(words[1], Path(words[2]))))
        return
    print("| network | export | layers | named | maps | pairs | seconds | MB at the peak |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in words or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            try_network(name, Path(folder))


if __name__ == "__main__":
    main()

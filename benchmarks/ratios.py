"""What is divided by what, and which ratios are goals: the one table of the benchmark suite.

`benchmarks.publishing` reads it. A benchmark says its table and what it measures
(`benchmarks.cases.describe`); those that no ratio speaks of are published, too, without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Sense = Literal["at most", "at least"]
AT_MOST: Sense = "at most"
AT_LEAST: Sense = "at least"
ANY_MODEL = "*"


@dataclass(frozen=True)
class Table:
    """One table of RESULTS.md.

    Attributes
    ----------
    key
        What benchmarks call it.
    title
        Its heading, with what one row's time is of.
    unit
        Of which the row's time is one.
    """

    key: str
    title: str
    unit: str


@dataclass(frozen=True)
class Ratio:
    """One quotient of two things timed in the same run, on the same model.

    Attributes
    ----------
    table, what
        The benchmark, by how it describes itself.
    over
        What it is compared with, of the same model: ``what``, or a pattern (``"forward pass, *"``),
        of which the fastest is taken. Empty for a goal of the thing itself.
    over_table, over_model
        Of that; by default the same ones.
    sense
        ``"at most"``: time divided by the other's time. ``"at least"``: how many times faster.
    goals
        Limit by model, `ANY_MODEL` for all others; of a model without one there is no goal.
    goal
        Number of the goal in issue 4, 0 for none and for those of other issues.
    measure
        ``"seconds"`` of one unit, or a number in ``extra_info``.
    """

    table: str
    what: str
    over: str
    sense: Sense = AT_MOST
    goals: Mapping[str, float] = field(default_factory=dict)
    goal: int = 0
    over_table: str = ""
    over_model: str = ""
    measure: str = "seconds"


TABLES = (
    Table("loops", "Maps from activations that are there", "sample"),
    Table("forward", "Maps beside the model's own forward pass", "sample"),
    Table("in graph", "Maps by operators in the ONNX graph, without the last step", "sample"),
    Table("diagrams", "Written diagrams and posters, in a batch of 32", "picture"),
    Table("looking", "Looking closer: a batch of 16, and single diagrams", "sample"),
    Table("samples", "From 10 to 10,000 samples", "sample"),
    Table("layers", "From 11 to 400 layers", "layer"),
    Table("soak", "A long run in which two of a hundred samples are broken", "sample"),
    Table("start", "Start", "run"),
    Table("peers", "Other ways to see every layer", "sample"),
    Table("export", "Keras to ONNX", "model"),
    Table("torch export", "PyTorch to ONNX, a process from its start to its end", "model"),
)

FORWARD = "forward pass, *"
PNG, PNG_FLAT, SVG = "PNG, isometric", "PNG, flat", "SVG, flat"
PUBLISHED = "published method"
PRODUCTS = "NumPy products and np.roll"
LONG = "plot of 10000 samples"
# What "flat" allows for: a straight line through zero would give 1.
FLAT = 1.25

RATIOS = (
    Ratio("loops", "our loops, 1 thread", "np.sum of the activations",
          goals={"ResNet50 224x224": 1.25}, goal=1),
    Ratio("loops", "our loops, 2 threads", "np.sum of the activations",
          goals={"ResNet50 224x224": 1.25}, goal=1),
    *(Ratio("loops", f"our loops, {threads}, no followers", "np.sum of the activations")
      for threads in ("1 thread", "2 threads")),
    *(Ratio("loops", f"our loops, 1 thread, kernel {n}x{n}", "np.sum of the activations")
      for n in (1, 3, 5)),
    Ratio("loops", "our loops, 1 thread", f"{PRODUCTS}, 1 thread", AT_LEAST,
          {"ResNet50 224x224": 2}, 1),
    Ratio("loops", "our loops, 2 threads", f"{PRODUCTS}, 2 threads", AT_LEAST,
          {"ResNet50 224x224": 2}, 1),
    Ratio("forward", "maps by explain_many, 32 samples", FORWARD,
          goals={f"{name} {size}x{size}": 2 for size in (75, 224)
                 for name in ("ResNet50", "DenseNet121", "MobileNet", "lenet5")}, goal=2),
    Ratio("forward", "maps by explain_many, 1 sample", "forward pass, batch 1"),
    *(Ratio("in graph", "maps by our loops", f"planes by the graph, means by {way}",
            measure=measure)
      for way in ("Conv", "ReduceMean") for measure in ("seconds", "peak_megabytes")),
    Ratio("diagrams", SVG, FORWARD, over_table="forward",
          goals={"ResNet50 224x224": 4, "DenseNet121 224x224": 4}, goal=3),
    Ratio("diagrams", "SVG, poster", FORWARD, over_table="forward",
          goals={"DenseNet121 224x224": 3}),
    Ratio("diagrams", "PNG, poster", FORWARD, over_table="forward",
          goals={"DenseNet121 224x224": 5}),
    Ratio("diagrams", "PDF, poster", FORWARD, over_table="forward"),
    *(Ratio("diagrams", f"{kind}, poster", "", goals={"DenseNet121 224x224": limit},
            measure="megabytes") for kind, limit in (("SVG", 1.5), ("PNG", 1), ("PDF", 1.5))),
    Ratio("diagrams", PNG, PUBLISHED, AT_LEAST,
          {"lenet5 75x75": 100, "resnet18 75x75": 500, "MobileNet 75x75": 1000,
           "DenseNet121 75x75": 500}, 4),
    Ratio("diagrams", PNG_FLAT, PUBLISHED, AT_LEAST, {"DenseNet121 75x75": 1000}, 4),
    Ratio("diagrams", SVG, PUBLISHED, AT_LEAST, {"DenseNet121 75x75": 5000}, 4),
    *(Ratio("looking", f"stats, {rank}", "all activations")
      for rank in ("no effective rank", "effective rank of 64 positions",
                   "effective rank of all positions")),
    *(Ratio("samples", f"{way}, {count} samples", f"{way}, 10 samples",
            goals={ANY_MODEL: FLAT}, goal=5, measure=measure)
      for way in ("maps", SVG) for measure in ("seconds", "peak_megabytes")
      for count in (100, 1000, 10000)),
    *(Ratio("layers", way, way, goals={ANY_MODEL: FLAT}, goal=5, over_model="chain of 11 layers")
      for way in ("maps", SVG)),
    Ratio("soak", LONG, "plot of 200 samples", goals={ANY_MODEL: 1.1}, measure="peak_megabytes"),
    Ratio("soak", LONG, "", goals={ANY_MODEL: 1.05}, measure="last_thousand_over_first"),
    Ratio("start", "import micam_fast", "", goals={ANY_MODEL: 0.15}, goal=6),
    Ratio("start", "micam-fast --help", "", goals={ANY_MODEL: 0.4}, goal=6),
    Ratio("start", "plot of the demo, second run", "", goals={ANY_MODEL: 1.5}, goal=6),
    Ratio("start", "plot of the demo, very first run", "", goals={ANY_MODEL: 10}, goal=6),
    *(Ratio("start", what, "python -c pass") for what in (
        "import micam_fast", "micam-fast --help", "plot of the demo, second run",
        "plot of the demo, very first run")),
    *(Ratio("peers", what, "PyTorch, forward pass") for what in (
        "PyTorch, forward hooks on all leaves", "torchcam, LayerCAM of all convolutions",
        "TorchLens, trace", "ONNX Runtime, forward pass")),
    Ratio("peers", "micam-fast, maps of all layers", "PyTorch, forward pass"),
    Ratio("peers", "micam-fast, maps of all layers", "ONNX Runtime, forward pass"),
    Ratio("peers", "Keras, predict with all outputs", FORWARD, over_table="forward"),
    Ratio("export", "micam-fast", "tf2onnx"),
    *(Ratio("torch export", "micam-fast", "torch.onnx.export", measure=measure)
      for measure in ("seconds", "seconds_of_the_call", "peak_megabytes")),
)  # fmt: skip

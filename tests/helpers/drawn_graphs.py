"""Graphs of layers for tests of what is drawn, in short words."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from micam_fast.core.layers import Layer

KERNELS: dict[str, tuple[int, ...]] = {"Conv": (8, 8, 3, 3), "Gemm": (8, 8)}
_SPECIAL = {"Depthwise": ("Conv", (8, 1, 3, 3)), "Pointwise": ("Conv", (8, 8, 1, 1))}


class Graph:
    """Layers, added one after the other; each is known by its name."""

    def __init__(self, size: int = 16) -> None:
        self.layers: list[Layer] = []
        self.add("Input", size=size)

    @property
    def last(self) -> str:
        """The layer added last."""
        return self.layers[-1].name

    def add(
        self, op: str, *inputs: str, name: str = "", size: int = 16, cluster: Sequence[str] = ()
    ) -> str:
        """Add a layer that reads others, and return its name."""
        op, kernel = _SPECIAL.get(op, (op, KERNELS.get(op)))
        sizes = {layer.name: layer.output_shape for layer in self.layers}
        made = Layer(
            name or f"n{len(self.layers)}",
            op,
            op,
            inputs,
            tuple(sizes[read] for read in inputs),
            (None, 8, size, size),
            kernel,
            cluster=tuple(cluster),
            onnx_name=f"n{len(self.layers)}",
        )
        self.layers.append(made)
        return made.name

    def chain(self, ops: str, begin: str | None = None, *, size: int = 16) -> str:
        """Add layers that read each other, in letters: ``c n a``; return the last one's name."""
        read = self.last if begin is None else begin
        for letter in ops.split():
            read = self.add(LETTERS[letter], read, size=size)
        return read

    def residual(self, ops: str, begin: str | None = None) -> str:
        """Add a block with a way around it, and an activation function."""
        start = self.last if begin is None else begin
        return self.chain("a", self.add("Add", self.chain(ops, start), start))


LETTERS = {
    "c": "Conv", "d": "Depthwise", "1": "Pointwise", "n": "BatchNormalization", "a": "Relu",
    "p": "MaxPool", "f": "Gemm", "°": "Pad", "^": "Resize", "~": "Flatten",
}  # fmt: skip


@st.composite
def random_graphs(draw: st.DrawFn, largest: int = 90) -> tuple[Layer, ...]:
    """Any graph whose layers read earlier ones, near ones mostly."""
    graph = Graph()
    for _ in range(draw(st.integers(0, largest))):
        count = draw(st.sampled_from((1, 1, 1, 2, 2, 3)))
        back = st.integers(1, draw(st.sampled_from((2, 4, 12, 200))))
        places = {max(0, len(graph.layers) - draw(back)) for _ in range(count)}
        read = [graph.layers[place].name for place in sorted(places)]
        ops = ("Add", "Concat", "Mul") if len(read) > 1 else tuple(LETTERS.values())
        graph.add(draw(st.sampled_from(ops)), *read, size=draw(st.sampled_from((4, 8, 16))))
    return tuple(graph.layers)

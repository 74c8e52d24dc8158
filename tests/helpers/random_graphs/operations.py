"""Operations of several operators in a drawn graph: which of its nodes lie inside one.

The rules are SPEC's and this file's own; nothing here imports micam-fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import onnx

_NORMALIZATIONS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization")
_MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


@dataclass(frozen=True)
class Written:
    """A normalization that was drawn as several operators.

    Attributes
    ----------
    first
        Index of its first node.
    lasts
        Indices of nodes that it may end with, the farthest last.
    """

    first: int
    lasts: tuple[int, ...]


class InnerNodes:
    """Finds the nodes that lie inside operations.

    Parameters
    ----------
    nodes, live
        Of the graph, and the indices of those that outputs need.
    outputs
        Names of the graph's outputs.
    steps
        By result: the operator and the value that it combines with one number for each of several
        channels. Of Sub and Div, the constant is on the right.
    written
        Normalizations as they were drawn.
    """

    def __init__(
        self,
        nodes: Sequence[onnx.NodeProto],
        live: Set[int],
        outputs: Sequence[str],
        steps: Mapping[str, tuple[str, str]],
        written: Sequence[Written],
    ) -> None:
        self._nodes, self._live, self._outputs = nodes, live, outputs
        self._steps = steps
        self._makers = {nodes[index].output[0]: index for index in live}
        self._readers: dict[str, list[int]] = {}
        for index in sorted(live):
            for name in nodes[index].input:
                self._readers.setdefault(name, []).append(index)
        self._ends: set[int] = set()
        self.found = set(self._gates())
        for each in written:
            last = max((index for index in each.lasts if index in live), default=None)
            if last is not None:
                self._ends.add(last)
                self.found |= set(range(each.first, last))
        for ends in ("Add", "Mul", "Div"):
            for index in sorted(live - self.found):
                if nodes[index].op_type == ends:
                    self.found |= self._affine(index)

    def _gates(self) -> Iterator[int]:
        """The Sigmoids that are multiplied with what they read, and nothing else: SiLU."""
        for index in self._live:
            node = self._nodes[index]
            if node.op_type != "Sigmoid" or not self._is_private(node.output[0]):
                continue
            product = self._nodes[self._readers[node.output[0]][0]]
            if product.op_type == "Mul" and {*product.input} == {node.input[0], node.output[0]}:
                yield index

    def _is_private(self, name: str) -> bool:
        return len(self._readers.get(name, ())) == 1 and name not in self._outputs

    def _affine(self, last: int) -> set[int]:
        """The nodes before the last one of a batch normalization; none if it is no such."""
        names = [self._nodes[last].output[0]]
        while (step := self._steps.get(names[-1])) is not None:
            name = step[1]
            if not self._is_private(name) or self._makers.get(name, -1) in self.found | {-1}:
                break
            names.append(name)
        ops = [self._steps[name][0] for name in names if name in self._steps]
        ways = (
            ("Add", "Mul", "Div", "Sub"), ("Add", "Mul", "Mul", "Sub"), ("Add", "Mul", "Sub"),
            ("Add", "Div", "Sub"), ("Add", "Mul"), ("Mul", "Div", "Sub"), ("Mul", "Sub"),
            ("Div", "Sub"),
        )  # fmt: skip
        if ops[:2] == ["Add", "Mul"] and len(names) > 2:
            before = self._makers.get(names[2], -1)
            if self._nodes[before].op_type == "BatchNormalization" and before >= 0:
                return {self._makers[names[1]], before}
        for way in ways:
            if tuple(ops[: len(way)]) == way and len(names) >= len(way):
                source = self._steps[names[len(way) - 1]][1]
                inner = {self._makers[name] for name in names[1 : len(way)]}
                if not self._is_normalized(source) and self.found.isdisjoint(inner):
                    return inner
        return set()

    def _is_normalized(self, name: str) -> bool:
        """Whether a value comes from another normalization, be it through moves."""
        while (index := self._makers.get(name)) is not None:
            node = self._nodes[index]
            if node.op_type in _NORMALIZATIONS or index in self._ends:
                return True
            if node.op_type not in _MOVES:
                return False
            name = node.input[0]
        return False

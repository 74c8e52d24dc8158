"""Other orders of the input's rows and columns, and maps put back into the first one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import grid_input, view_inputs
from micam_fast.core.errors import AxisError, SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.core.output_files import is_there
from micam_fast.core.texts import first_of
from micam_fast.samples.axis_names import Axis, AxisNames, read_lines

_SINGULAR = {"rows": "row", "columns": "column"}


@dataclass(frozen=True)
class InputGrid:
    """The input that gives ``Hin x Win`` of SPEC section 1, and where it has rows and columns.

    Attributes
    ----------
    name
        Of the model's input.
    rows, columns
        Axes of one sample, without the batch; ``None`` where there is none.
    height, width
        Sizes; ``None`` where the model leaves them open, and 1 where there is no such axis.
    """

    name: str
    rows: int | None
    columns: int | None
    height: int | None
    width: int | None


@dataclass(frozen=True, eq=False)
class Order:
    """The order of an axis: what stood at ``indices[i]`` comes to place ``i``.

    Attributes
    ----------
    text
        What the user gave: ``"seed:3"``, or a file's name.
    fixed
        The indices; ``None`` where they are drawn for each size, from `seed`.
    """

    text: str
    fixed: NDArray[np.intp] | None = None
    seed: int = 0

    def indices(self, size: int) -> NDArray[np.intp]:
        """The order of an axis of this size.

        Raises
        ------
        SampleError
            If it is the order of an axis of another size.
        """
        if self.fixed is None:
            return np.random.default_rng(self.seed).permutation(size).astype(np.intp)
        if len(self.fixed) != size:
            raise SampleError(f"{self.text} orders {len(self.fixed)}, the sample has {size}")
        return self.fixed


@dataclass(frozen=True, eq=False)
class Permutation:
    """An order of the rows, of the columns, or of both; ``None`` leaves them as they are."""

    rows: Order | None = None
    columns: Order | None = None

    def __str__(self) -> str:
        """What is in another order, and in which: for a heading."""
        given = (("rows", self.rows), ("columns", self.columns))
        return ", ".join(f"{axis} by {order.text}" for axis, order in given if order is not None)

    def apply(
        self, sample: Mapping[str, NDArray[Any]], inputs: Sequence[ModelInput]
    ) -> dict[str, NDArray[Any]]:
        """A sample with its rows and columns in this order; other inputs stay as they are.

        Parameters
        ----------
        sample
            One sample in the model's layout by input name, without batch axes.
        inputs
            The model's.

        Raises
        ------
        SampleError
            If the sample has another size than the order.
        """
        grid = find_grid(inputs)
        array = sample[grid.name]
        for axis, order in ((grid.rows, self.rows), (grid.columns, self.columns)):
            if order is not None and axis is not None:
                array = array.take(order.indices(array.shape[axis]), axis=axis)
        return {**sample, grid.name: array}

    def undo(self, cam: NDArray[Any], input_size: tuple[int, int]) -> NDArray[Any]:
        """Put a map on the input's grid back into the first order; others stay as they are.

        Parameters
        ----------
        cam
            ``(h, w)`` or ``(h, w, ...)``.
        input_size
            ``(Hin, Win)``. See `lies_on_input` for maps that only have this size.
        """
        if cam.shape[:2] != tuple(input_size):
            return cam
        for axis, order in enumerate((self.rows, self.columns)):
            if order is not None:
                cam = cam.take(np.argsort(order.indices(cam.shape[axis])), axis=axis)
        return cam

    def names(self, names: AxisNames) -> AxisNames:
        """Names in this order, those of what the model sees."""
        return AxisNames(_ordered(names.rows, self.rows), _ordered(names.columns, self.columns))


def find_grid(inputs: Sequence[ModelInput]) -> InputGrid:
    """Rows and columns of a model's input, by the rule of ``Hin x Win``.

    The first spatial input decides; without one, the first input, whose steps (of a sequence) or
    values (of a flat one) are columns.
    """
    shapes = {spec.name: tuple(size or 0 for size in spec.shape) for spec in inputs}
    views = view_inputs(inputs, shapes)
    place = grid_input(views)
    spec = inputs[place]
    inner = [axis for axis in range(len(spec.shape)) if axis != spec.axes.batch]
    # A flat input of several axes has no order of its own.
    space = views[place].space or (inner if len(inner) == 1 else ())
    rows, columns = (None, None, *space)[-2:]
    return InputGrid(
        spec.name,
        *(None if axis is None else inner.index(axis) for axis in (rows, columns)),
        *(1 if axis is None else spec.shape[axis] for axis in (rows, columns)),
    )


def read_order(given: str, axis: Axis, grid: InputGrid, names: tuple[str, ...] | None) -> Order:
    """The order that an option asks for.

    It is ``seed:N`` for a random one, or a text file with an index (from 0) a line, or a name of
    the axis, as far as they are known.

    Raises
    ------
    AxisError
        If the input has no such axis, the seed is no whole number, or the file cannot be read or
        is no permutation.
    """
    place, size = (grid.rows, grid.height) if axis == "rows" else (grid.columns, grid.width)
    if place is None:
        other = "; its steps or values are columns" if grid.columns is not None else ""
        raise AxisError(f"--permute-{axis}: the model's input {grid.name!r} has no {axis}{other}")
    kind, colon, seed = given.partition(":")
    # A file that really has such a name wins.
    if kind == "seed" and colon and not is_there(Path(given).is_file):
        if not re.fullmatch(r"[0-9]{1,100}", seed):
            raise AxisError(f"--permute-{axis} {given}: a whole number is expected after 'seed:'")
        return Order(given, seed=int(seed))
    lines = read_lines(Path(given))
    indices = _parse(given, lines, axis, names)
    if size is None:
        size = len(indices if names is None else names)
    _check(given, indices, axis, size, names)
    return Order(Path(given).name, np.array(indices, np.intp))


def _parse(given: str, lines: list[str], axis: Axis, names: tuple[str, ...] | None) -> list[int]:
    """Indices of the lines; names count first, as they may be numbers, too."""
    known = {name: index for index, name in enumerate(names or ())}
    if lines and all(line in known for line in lines):
        return [known[line] for line in lines]
    one = _SINGULAR[axis]
    indices = []
    for number, line in enumerate(lines, 1):
        if line.isascii() and line.isdecimal():
            indices.append(int(line))
        elif names is None:
            needed = f"names need --{one}-names"
            raise AxisError(f"{given}, line {number}: {line!r} is no index; {needed}")
        elif line in known:
            indices.append(known[line])
        else:
            near = difflib.get_close_matches(line, known)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise AxisError(f"{given}, line {number}: {line!r} is no {one}{meant}")
    return indices


def _check(
    given: str, indices: list[int], axis: Axis, size: int, names: tuple[str, ...] | None
) -> None:
    """Make sure that each index from 0 to ``size - 1`` comes once."""

    def shown(index: int) -> str:
        return str(index) if names is None else repr(names[index])

    one = _SINGULAR[axis]
    lines: dict[int, int] = {}
    for number, index in enumerate(indices, 1):
        if index >= size:
            expected = f"expected are 0 to {size - 1}"
            raise AxisError(f"{given}, line {number}: there is no {one} {index}; {expected}")
        if index in lines:
            places = f"in lines {lines[index]} and {number}"
            raise AxisError(f"{given}: {one} {shown(index)} is there twice, {places}")
        lines[index] = number
    missing = [shown(index) for index in range(size) if index not in lines]
    if missing:
        raise AxisError(
            f"{given} orders {len(indices)} of the {size} {axis}; missing: {first_of(missing, 5)}"
        )


def _ordered(names: tuple[str, ...] | None, order: Order | None) -> tuple[str, ...] | None:
    if names is None or order is None:
        return names
    return tuple(names[index] for index in order.indices(len(names)))

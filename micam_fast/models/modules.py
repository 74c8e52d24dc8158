"""Modules that a person wrote, and the names of layers by them, whatever file tells of them.

A path is a module's place in the network as its owner calls it: ``layer1.0.conv1``; the empty one
is the network itself. Its prefixes are the modules around it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from micam_fast.core.texts import free_name
from micam_fast.models.tensorflow_scopes import SEPARATOR

_LONGEST_LIST = 2**14
"""Characters of a list of scopes; a network's modules lie within each other some ten deep."""
_MOST_SCOPES = 64
_WEIGHT = ".weight"
NO_SCOPE = "_empty_nn_module_stack_from_metadata_hook"
"""What torch.export writes where it knows of no module."""
_REPEATED = re.compile(r"(.+)_([1-9][0-9]{0,8})")
_OPERATOR = re.compile(r"[A-Z][A-Za-z0-9_]*")
# Names hold no escapes; all that Python could read besides is left to nobody's evaluation.
_STRING = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_LIST = re.compile(rf"\[({_STRING.pattern})(, ({_STRING.pattern}))*\]")


@dataclass(frozen=True)
class Scope:
    """A module around an operator, and its class where the file tells it."""

    path: str
    class_name: str | None = None


@dataclass(frozen=True)
class Place:
    """The module that calls a layer's operator.

    Attributes
    ----------
    path
        Of the module.
    operator
        The layer's class in small letters, where more than the module's path is needed.
    call
        What tells this call of the module from its others; ``None`` where nothing does.
    """

    path: str
    operator: str
    call: str | None = None


def path_of_weight(name: str) -> str | None:
    """The module that a weight's name tells: ``conv1`` of ``conv1.weight``."""
    return name[: -len(_WEIGHT)] if name.endswith(_WEIGHT) else None


def read_scopes(paths: str, classes: str) -> tuple[Scope, ...]:
    """The modules around an operator, outermost first, as PyTorch's exporter writes them.

    Parameters
    ----------
    paths, classes
        The node's ``pkg.torch.onnx.name_scopes`` and ``pkg.torch.onnx.class_hierarchy``: lists as
        Python writes them, whose last entries are the operator. They come with the file, and may be
        anything: what is no such list tells nothing.
    """
    found, known = _read_list(paths), _read_list(classes)
    if len(known) != len(found):
        known = [""] * len(found)
    scopes = zip(found[:-1], known[:-1], strict=True)
    return tuple(Scope(path, name or None) for path, name in scopes if path != NO_SCOPE)


def _read_list(text: str) -> list[str]:
    if len(text) > _LONGEST_LIST or not _LIST.fullmatch(text):
        return []
    return [each[1:-1] for each in _STRING.findall(text)][:_MOST_SCOPES]


def read_slashes(name: str) -> tuple[Scope, ...]:
    """The modules around an operator, as the name says that PyTorch's tracing exporter gives it.

    In ``/layer1/layer1.0/conv1/Conv`` each piece but the last is a module, called by its own name;
    that of a list's or Sequential's member begins with the list's. The last one is an operator,
    maybe with a number and what a quantizing tool appends.
    """
    pieces = name.split("/")
    if pieces[0] or not all(pieces[1:]) or len(pieces) > _MOST_SCOPES:
        return ()
    if not _OPERATOR.fullmatch(pieces[-1]):
        return ()
    path, last, found = "", "", [Scope("")]
    for piece in pieces[1:-1]:
        if last and piece.startswith(f"{last}."):
            path = path[: len(path) - len(last)] + piece
        else:
            path = f"{path}.{piece}" if path else piece
        last = piece
        found.append(Scope(path))
    return tuple(found)


class Calls:
    """Which scopes of a traced network are further calls of a module: its name and a number.

    The tracing exporter writes ``relu_1`` where ``relu`` is called a second time. An operator with
    a weight tells it by the weight's name; else it is one where all lower numbers are there.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._seen: dict[str, None] = {}

    def add(self, path: str, weight: str | None) -> None:
        """Take note of an operator's module, and of the one whose weight it reads."""
        own = path.split(".")
        for depth in range(1, len(own) + 1):
            self._seen[".".join(own[:depth])] = None
        other = [] if weight is None else weight.split(".")
        if len(own) != len(other):
            return
        for depth, (piece, called) in enumerate(zip(own, other, strict=True), 1):
            repeated = _REPEATED.fullmatch(piece)
            if piece != called and repeated is not None and repeated[1] == called:
                self._told[".".join(own[:depth])] = called

    def resolve(self, path: str) -> str:
        """The module that a scope's path is a call of."""
        found: list[str] = []
        pieces = path.split(".")
        for depth, piece in enumerate(pieces, 1):
            around = ".".join(pieces[:depth])
            found.append(self._told.get(around) or self._guess(around, piece))
        return ".".join(found)

    def _guess(self, path: str, piece: str) -> str:
        repeated = _REPEATED.fullmatch(piece)
        if repeated is None:
            return piece
        first, number = path[: -len(piece)] + repeated[1], int(repeated[2])
        lower = (first, *(f"{first}_{each}" for each in range(1, min(number, len(self._seen)))))
        return repeated[1] if all(each in self._seen for each in lower) else piece


@dataclass(frozen=True)
class LayerName:
    """A layer's name, and the paths of the modules around it, outermost first."""

    name: str
    around: tuple[str, ...]


@dataclass(frozen=True)
class PathStyle:
    """How a framework writes paths.

    Attributes
    ----------
    separator
        Between the names of a module and of one within.
    frames_leaves
        Whether a module without modules within is one of those around its layers, if these are
        several. A layer of TensorFlow that writes its activation function apart is no model.
    """

    separator: str = "."
    frames_leaves: bool = True

    def around(self, path: str) -> tuple[str, ...]:
        """The modules around a module, outermost first; not the network itself."""
        pieces = path.split(self.separator)
        return tuple(self.separator.join(pieces[:depth]) for depth in range(1, len(pieces)))


PYTORCH, TENSORFLOW = PathStyle(), PathStyle(SEPARATOR, frames_leaves=False)


def name_layers(
    places: Sequence[Place | None],
    known: Collection[str],
    taken: Collection[str],
    style: PathStyle = PYTORCH,
) -> list[LayerName | None]:
    """Names of layers by their modules; ``None`` for those whose module is not known.

    The only layer of a module without modules within, in each of its calls, has the module's path.
    Any other has it with its operator: ``layer1.0.add``. What is not unique gets a number:
    ``layer1.0.add#2``.

    Parameters
    ----------
    places
        Of the layers, in topological order.
    known
        Paths of all modules that the file tells of.
    taken
        Names that are no layer's to have.
    style
        Of the paths.
    """
    holding = {around for path in known for around in style.around(path)} | {""}
    members: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        if place is not None:
            members[place.path].append(place)
    alone = {p for p, each in members.items() if p not in holding and _is_one_each(each)}
    names: list[LayerName | None] = []
    used = set(taken)
    for place in places:
        if place is None:
            names.append(None)
            continue
        path, modules = place.path, style.around(place.path)
        if path in alone:
            wanted = path
        else:
            wanted = style.separator.join(filter(None, (path, place.operator)))
            framed = path and (style.frames_leaves or path in holding)
            modules = (*modules, path) if framed else modules
        name = free_name(wanted, used)
        used.add(name)
        names.append(LayerName(name, modules))
    return names


def _is_one_each(places: Sequence[Place]) -> bool:
    """Tell whether each call of a module is one layer, of one class."""
    calls = Counter(place.call for place in places)
    told = None not in calls and max(calls.values()) == 1
    return len(places) == 1 or (told and len({place.operator for place in places}) == 1)

"""What notebooks ask of a result: itself in several kinds of content."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def diagram_bundle(
    result: object,
    draw: Callable[[], str],
    include: Iterable[str] | None,
    exclude: Iterable[str] | None,
) -> dict[str, str]:
    """A diagram as SVG and the result's ``repr``, as IPython's ``_repr_mimebundle_`` gives them.

    SVG is only drawn if IPython includes it.
    """
    makers: dict[str, Callable[[], str]] = {
        "text/plain": lambda: repr(result),
        "image/svg+xml": draw,
    }
    wanted = set(makers if include is None else include) - set(exclude or ())
    return {kind: make() for kind, make in makers.items() if kind in wanted}

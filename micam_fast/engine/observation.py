"""What a run of the file itself tells: shapes that nothing else can, and its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.engine.onnx_runtime import Extractor
from micam_fast.engine.sessions import open_part
from micam_fast.models.onnx import OnnxFile
from micam_fast.models.onnx.slices import whole_model
from micam_fast.models.onnx.untouched import untouched_model


def observe_shapes(
    file: OnnxFile,
    names: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    providers: Sequence[Any],
) -> dict[str, tuple[int, ...]]:
    """Shapes of values in a run; none where ONNX Runtime cannot tell them.

    The values themselves are not given out: they need no more memory than in any run.

    Raises
    ------
    SampleError
        If ONNX Runtime cannot run the sample.
    """
    part = whole_model(file, names)
    graph = part.proto.graph
    del graph.output[:]
    for name in names:
        measured = f"micam/shape/{name}"
        graph.node.append(onnx.helper.make_node("Shape", [name], [measured]))
        graph.output.append(onnx.ValueInfoProto(name=measured))
    try:
        # Literally: else ONNX Runtime puts the sizes that it infers in the place of a Shape.
        session = open_part(
            file, part.proto, threads=1, providers=providers, keep_memory=False, literal=True
        )
    except ModelError:
        # A sequence, say, has no shape.
        return {}
    found = Extractor(session, part.inputs, [each.name for each in graph.output]).run(feeds)
    sizes = zip(names, found.arrays.values(), strict=True)
    return {name: tuple(int(size) for size in array) for name, array in sizes}


def run_untouched(
    file: OnnxFile,
    names: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    providers: Sequence[Any],
    *,
    literal: bool = False,
) -> dict[str, NDArray[Any]]:
    """Outputs of the file as it is.

    No activation is given out, so each is freed when it has been read: no run of the model needs
    less memory, in whatever slices, and no bound of `load_model` is asked.

    Parameters
    ----------
    literal
        Whether ONNX Runtime runs each operator as it stands, or what it makes of them by itself.

    Raises
    ------
    ModelError
        If ONNX Runtime refuses the file.
    SampleError
        If ONNX Runtime cannot run the sample.
    """
    part = untouched_model(file, names)
    session = open_part(
        file, part.proto, threads=1, providers=providers, keep_memory=False, literal=literal
    )
    return dict(Extractor(session, part.inputs, names).run(feeds).arrays)

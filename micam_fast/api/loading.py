"""Opening a model, and explaining a sample in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx

from micam_fast.api.explanation import Explanation
from micam_fast.api.exported_files import is_keras_file, is_program_file, open_exported
from micam_fast.api.model import Model
from micam_fast.api.modules import in_memory, open_in_memory
from micam_fast.core.choices import Projection
from micam_fast.core.layer_choice import LayerChoice
from micam_fast.core.prediction import PredictionChoice
from micam_fast.engine.loaded_model import SampleLike
from micam_fast.models.onnx import open_model
from micam_fast.models.pytorch import is_module, is_program

if TYPE_CHECKING:
    from micam_fast.api.export import CheckSample, CheckSampleOf

Source: TypeAlias = str | Path | onnx.ModelProto | Any
"""A file, an ONNX model in memory, or PyTorch's ``ONNXProgram``, program or module."""


def load_model(
    source: Source,
    *,
    layers: LayerChoice = None,
    threads: int | None = None,
    providers: Sequence[Any] | None = None,
    memory: int | None = None,
    engine: str | Path | None = None,
    prediction: str | None = None,
    logits: bool = False,
    class_names: Sequence[str] = (),
    trust: bool = False,
    sample: CheckSample | CheckSampleOf | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Model:
    """Open a trained model.

    Parameters
    ----------
    source
        An ONNX file, or an ONNX model in memory, PyTorch's ``ONNXProgram`` too; a Keras file
        (``.keras``, ``.h5``, ``.hdf5``) or a ``.pt2`` file of ``torch.export.save``, which is
        exported once into the user's cache folder; or a PyTorch module (``torch.nn.Module``), or
        ``ExportedProgram`` of ``torch.export``, which is exported with the `sample`.
    layers
        Names or shell patterns (a list, or comma-separated) of the layers to map, or a function
        that takes all layers and gives the names of those to map; by default all. The others stay
        in the diagram as labels.
    threads
        Threads of ONNX Runtime and of the loops; by default all cores that this process may use.
    providers
        Execution providers of ONNX Runtime, in its own form; by default the CPU.
    memory
        Bytes that activations may take at a time, a quarter of the machine's by default. A model
        that needs more is run in slices.
    engine
        The Graphviz program for the layout; by default the one that came with graphviz-pure, else
        ``dot`` on PATH.
    prediction
        Name of the output that the prediction is read from, or ``"none"`` for no prediction. By
        default, the first output of class probabilities that a Softmax makes; else the largest
        number of the first output that a dense layer makes, which may be no class.
    logits
        Whether a dense layer's numbers, or those of the output that is named, are logits of
        classes.
    class_names
        One for each class, in their order. Only classes have names: this implies `logits` where no
        Softmax makes the numbers.
    trust
        Whether code that the file holds may run: Python code of a Keras file's Lambda layers, or
        anything in a ``.pt2`` file, which is not opened without. Only for a file from whom you
        trust. Nothing in an ONNX file is code.
    sample
        To check an export with, as `export` has it; its sizes count where the model leaves sizes
        open. A PyTorch module cannot be exported without one.
    say
        Takes a line when a model is exported, when its exporter has folded batch normalizations
        away, when it makes random numbers, or when the first sample of a shape shows that its
        rewritten graph gives other numbers than its file; in
        whatever thread finds it out.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If the file is no ONNX file, is broken or too large, or ONNX Runtime refuses it.
    ExportError, MissingExtraError
        If a Keras or PyTorch model cannot be opened or exported, or TensorFlow or PyTorch is
        needed and not installed.
    LayerSelectionError
        If a pattern matches no layer.
    PredictionError
        If the model has no such output, or its numbers cannot be what `logits` and `class_names`
        say.
    ValueError
        If `threads` or `memory` is less than 1.

    Examples
    --------
    >>> import micam_fast
    >>> from micam_fast.demo import DIGITS, MODEL
    >>> model = micam_fast.load_model(MODEL)
    >>> [layer.name for layer in model.layers][:3]
    ['image', 'conv_1', 'relu_1']
    >>> explanation = model.explain(np.load(DIGITS)[3])
    >>> explanation.cams["conv_1"].shape
    (28, 28)
    >>> explanation.prediction.index
    3
    """
    source = in_memory(source)
    if is_module(source) or is_program(source):
        file = open_in_memory(source, sample, say)
    elif not isinstance(source, onnx.ModelProto) and (
        is_keras_file(Path(source)) or is_program_file(Path(source))
    ):
        file = open_exported(Path(source), say, trust=trust, sample=sample)
    else:
        file = open_model(source)
    model = Model(
        file,
        layers=layers,
        threads=threads,
        providers=providers,
        memory=memory,
        engine=engine,
        prediction=PredictionChoice(prediction, logits, tuple(class_names)),
        say=say,
    )
    for note in model.graph.notes:
        say(note)
    return model


def explain(
    model: Model | Source,
    sample: SampleLike,
    *,
    projection: Projection = "published",
    frame: int | None = None,
    activation_range: bool = False,
) -> Explanation:
    """Explain one sample of a model in one line.

    Parameters
    ----------
    model
        What `load_model` takes, or gives.
    sample, projection, frame, activation_range
        As in `Model.explain`.

    Returns
    -------
    Explanation

    Raises
    ------
    ModelError, SampleError, ValueError
        As `load_model` and `Model.explain` do.

    Examples
    --------
    >>> import micam_fast
    >>> from micam_fast.demo import DIGITS, MODEL
    >>> micam_fast.explain(MODEL, np.load(DIGITS)[7]).prediction.index
    7
    """
    loaded = (
        model
        if isinstance(model, Model)
        else load_model(model, sample=sample if is_module(model) else None)
    )
    return loaded.explain(
        sample, projection=projection, frame=frame, activation_range=activation_range
    )

"""Errors a user can act on: each message says the value, what was expected and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager


class MicamError(Exception):
    """Base of every error that micam-fast raises on purpose."""


class ModelError(MicamError):
    """A model file that cannot be read, or that ONNX Runtime refuses."""


class SampleError(MicamError):
    """A sample that cannot be read, or that does not fit the model's input."""


class AxisError(MicamError):
    """Names or an order of rows or columns: unreadable, or not for the model's input."""


class LayerSelectionError(MicamError):
    """A layer name or pattern that matches nothing."""


class PredictionError(MicamError):
    """An output that the model does not have, or that is not what the user says of it."""


class LayoutEngineError(MicamError):
    """Graphviz is missing, failed or took too long."""


class OutputError(MicamError):
    """A picture or file that cannot be written."""


class TooLargeError(OutputError):
    """A picture of more pixels than viewers open; other formats can hold it."""


class ResumeError(OutputError):
    """A run that cannot be gone on with: of another model or other options, or still running."""


class ExportError(MicamError):
    """A Keras model that cannot be read, or whose ONNX does not give the same numbers."""


class DataError(MicamError):
    """Training data that cannot be read or written."""


class TrainingError(MicamError):
    """A training that cannot start or go on: unknown model, input too small, no checkpoint."""


class MissingExtraError(MicamError):
    """A library of an extra is not installed."""


class ClusterError(MicamError):
    """A cluster that cannot be reached, has no worker, or whose workers are of other versions."""


@contextmanager
def os_errors_as(kind: type[MicamError], failure: str) -> Iterator[None]:
    """Raise an OSError as an error of this kind, with the system's reason behind the failure."""
    try:
        yield
    except OSError as error:
        raise kind(f"{failure}: {error.strerror or error}") from None

"""Keras models to ONNX, with every layer's activation and what the diagram needs to know of it."""

from micam_fast.models.keras.loading import (
    check_keras_file as check_keras_file,
    open_keras as open_keras,
)
from micam_fast.models.keras.model_export import (
    KerasExport as KerasExport,
    export_model as export_model,
)

"""Keras models to ONNX, with every layer's activation and what the diagram needs to know of it."""

from micam_fast.models.keras.loading import check_keras_file, open_keras
from micam_fast.models.keras.model_export import KerasExport, export_model

__all__ = ["KerasExport", "check_keras_file", "export_model", "open_keras"]

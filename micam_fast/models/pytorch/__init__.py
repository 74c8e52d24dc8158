"""PyTorch modules to ONNX, checked module by module; loaded for an export alone."""

from micam_fast.models.pytorch.module_export import (
    ModuleExport as ModuleExport,
    export_module as export_module,
    is_module as is_module,
    refuse_weights as refuse_weights,
)

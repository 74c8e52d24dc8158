"""PyTorch modules and programs to ONNX, checked module by module; loaded for an export alone."""

from micam_fast.models.pytorch.module_export import (
    ModuleExport as ModuleExport,
    export_module as export_module,
    export_program as export_program,
    is_module as is_module,
    refuse_weights as refuse_weights,
    unwrapped as unwrapped,
)
from micam_fast.models.pytorch.program_files import (
    check_program_file as check_program_file,
    open_program as open_program,
)
from micam_fast.models.pytorch.programs import (
    class_of as class_of,
    is_program as is_program,
)

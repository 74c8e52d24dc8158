"""Operations that exporters write with other operators: each is one layer, as SPEC 1 says."""

from micam_fast.models.onnx.patterns.global_pools import global_pool as global_pool
from micam_fast.models.onnx.patterns.table import (
    Operation as Operation,
    find_operations as find_operations,
    operation_of as operation_of,
)

"""What changes from A to B in every layer: numbers, diagram and files."""

from micam_fast.analyses.differences.difference import Difference, diff
from micam_fast.analyses.differences.layers import LayerDifference

__all__ = ["Difference", "LayerDifference", "diff"]

"""What changes from A to B in every layer: numbers, diagram and files."""

from micam_fast.differences.comparing import Difference, LayerDifference, diff

__all__ = ["Difference", "LayerDifference", "diff"]

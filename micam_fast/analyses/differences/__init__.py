"""What changes from A to B in every layer: numbers, diagram and files."""

from micam_fast.analyses.differences.difference import Difference, diff
from micam_fast.analyses.differences.layers import LayerDifference
from micam_fast.analyses.differences.matching import match_layers
from micam_fast.analyses.differences.noise import Noise, measure_noise

__all__ = ["Difference", "LayerDifference", "Noise", "diff", "match_layers", "measure_noise"]

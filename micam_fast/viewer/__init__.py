"""The interactive page: every layer's map of some samples in one HTML file, built on Bokeh."""

from micam_fast.viewer.feature_maps import FeatureMaps, choose_layers, gather, quantize
from micam_fast.viewer.view import View

__all__ = ["FeatureMaps", "View", "choose_layers", "gather", "quantize"]

"""Reading ONNX graphs: files, constants, axes, layers."""

from micam_fast.models.onnx.files import OnnxFile as OnnxFile
from micam_fast.models.onnx.model_graph import ModelGraph as ModelGraph
from micam_fast.models.onnx.opening import open_model as open_model
from micam_fast.models.onnx.reader import read_layers as read_layers

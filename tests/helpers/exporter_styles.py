"""One network as four exporters write it: a residual one, with the same numbers in each.

PyTorch is not among the tests' packages: its two graphs are those that torch 2.13 made of the same
modules, operator by operator. Batch normalizations do not stand behind convolutions, into which all
exporters but Keras' would fold them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx

from tests.helpers.models import Array, make_model, random_array
from tests.helpers.operation_nets import written

SAMPLE = random_array(5, 12, 16, 3)
"""With its channels last."""
EPSILON = 1e-5


@functools.cache
def weights() -> dict[str, Array]:
    """The numbers, named and laid out as PyTorch has them."""
    held: dict[str, Array] = {}
    for place, (name, channels) in enumerate((("conv1", 3), ("conv2", 8), ("conv3", 8))):
        held[f"{name}.weight"] = random_array(place, 8, channels, 3, 3, spread=0.25)
        held[f"{name}.bias"] = random_array(10 + place, 8, spread=0.3)
    for place, name in enumerate(("bn1", "bn2", "gn", "ln")):
        held[f"{name}.weight"] = 1 + random_array(20 + place, 8, spread=0.2)
        held[f"{name}.bias"] = random_array(30 + place, 8, spread=0.3)
    for place, name in enumerate(("bn1", "bn2")):
        held[f"{name}.running_mean"] = random_array(40 + place, 8, spread=0.3)
        held[f"{name}.running_var"] = 0.5 + np.abs(random_array(50 + place, 8))
    held["head.weight"] = random_array(60, 5, 8)
    held["head.bias"] = random_array(61, 5)
    return held


_CONV = "pads:1,1,1,1 kernel_shape:3,3 strides:1,1 dilations:1,1 group:1"
_POOL = "kernel_shape:2,2 strides:2,2 pads:0,0,0,0"
_NUMBERS = {
    "half": 0.5, "one": 1, "two": 2, "three": 3, "kappa": 0.044715, "beta": math.sqrt(2 / math.pi),
    "eps": EPSILON,
}  # fmt: skip


def _norm(name: str) -> str:
    parts = " ".join(f"{name}.{each}" for each in ("weight", "bias", "running_mean", "running_var"))
    return f"{parts} epsilon:{EPSILON}"


def _torch(text: str, opset: int) -> onnx.ModelProto:
    held: dict[str, Any] = {
        **weights(),
        **{name: np.float32(number) for name, number in _NUMBERS.items()},
        "groups": np.array([0, 2, -1]), "last": np.array([-1]), "places": np.array([2, 3]),
        "ones": np.ones(2, np.float32), "zeros": np.zeros(2, np.float32),
        "gn.factor": weights()["gn.weight"].reshape(-1, 1, 1),
        "gn.summand": weights()["gn.bias"].reshape(-1, 1, 1),
    }  # fmt: skip
    nodes = written(text)
    read = {name for node in nodes for name in node.input}
    used = {name: array for name, array in held.items() if name in read}
    return make_model(nodes, {"x": ["N", 3, 12, 16]}, ["y"], used, opset=opset)


def tracing_style() -> onnx.ModelProto:
    """PyTorch's older exporter, opset 13."""
    return _torch(
        f"""c1 = Conv x conv1.weight conv1.bias {_CONV}; p = MaxPool c1 {_POOL};
        b1 = BatchNormalization p {_norm("bn1")}; s1 = Sigmoid b1; a1 = Mul b1 s1;
        c2 = Conv a1 conv2.weight conv2.bias {_CONV};
        h = HardSigmoid c2 alpha:0.16666667; a2 = Mul c2 h;
        c3 = Conv a2 conv3.weight conv3.bias {_CONV}; r = Add c3 p;
        b2 = BatchNormalization r {_norm("bn2")};
        g1 = Mul b2 b2; g2 = Mul b2 g1; g3 = Mul kappa g2; g4 = Add b2 g3; g5 = Mul beta g4;
        g6 = Tanh g5; g7 = Add one g6; g8 = Mul b2 g7; a3 = Mul half g8;
        n1 = Reshape a3 groups; n2 = InstanceNormalization n1 ones zeros epsilon:{EPSILON};
        n3 = Shape a3; n4 = Reshape n2 n3; n5 = Mul n4 gn.factor; gn = Add n5 gn.summand;
        t = Transpose gn perm:0,2,3,1; l1 = ReduceMean t axes:-1; l2 = Sub t l1; l3 = Pow l2 two;
        l4 = ReduceMean l3 axes:-1; l5 = Add l4 eps; l6 = Sqrt l5; l7 = Div l2 l6;
        l8 = Mul l7 ln.weight; l9 = Add l8 ln.bias; ln = Transpose l9 perm:0,3,1,2;
        m = ReduceMean ln axes:2,3 keepdims:0; y = Gemm m head.weight head.bias transB:1""",
        13,
    )


def dynamo_style() -> onnx.ModelProto:
    """PyTorch's newer exporter, opset 18."""
    return _torch(
        f"""c1 = Conv x conv1.weight conv1.bias {_CONV}; p = MaxPool c1 {_POOL};
        b1 = BatchNormalization p {_norm("bn1")}; s1 = Sigmoid b1; a1 = Mul b1 s1;
        c2 = Conv a1 conv2.weight conv2.bias {_CONV}; a2 = HardSwish c2;
        c3 = Conv a2 conv3.weight conv3.bias {_CONV}; r = Add c3 p;
        b2 = BatchNormalization r {_norm("bn2")};
        g1 = Pow b2 three; g2 = Mul kappa g1; g3 = Add b2 g2; g4 = Mul beta g3; g5 = Tanh g4;
        g6 = Add g5 one; g7 = Mul half g6; a3 = Mul b2 g7;
        n1 = Reshape a3 groups; n2 = InstanceNormalization n1 ones zeros epsilon:{EPSILON};
        n3 = Shape a3 start:0; n4 = Reshape n2 n3; n5 = Mul n4 gn.factor; gn = Add n5 gn.summand;
        t = Transpose gn perm:0,2,3,1;
        l = LayerNormalization t ln.weight ln.bias axis:-1 epsilon:{EPSILON};
        ln = Transpose l perm:0,3,1,2; m = ReduceMean ln places keepdims:0;
        y = Gemm m head.weight head.bias transB:1""",
        18,
    )


def gelu_by_tanh(x: Any) -> Any:
    """Keras' approximate GELU."""
    import keras

    return keras.activations.gelu(x, approximate=True)


def keras_model() -> Any:
    """The network in Keras."""
    import keras

    layers, held = keras.layers, weights()

    def conv(name: str) -> Any:
        return layers.Conv2D(8, 3, padding="same", name=name)

    image = keras.Input((12, 16, 3), name="image")
    pooled = layers.MaxPooling2D(2)(conv("conv1")(image))
    x = layers.BatchNormalization(epsilon=EPSILON, name="bn1")(pooled)
    x = conv("conv2")(layers.Activation("silu")(x))
    x = conv("conv3")(layers.Activation("hard_silu")(x))
    x = layers.Add()([x, pooled])
    x = layers.BatchNormalization(epsilon=EPSILON, name="bn2")(x)
    x = layers.Activation(gelu_by_tanh)(x)
    x = layers.GroupNormalization(2, epsilon=EPSILON, name="gn")(x)
    x = layers.LayerNormalization(epsilon=EPSILON, name="ln")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(5, name="head")(x))
    for layer in model.layers:
        names = [name for name in held if name.split(".")[0] == layer.name]
        if names:
            kernel, *others = (held[name] for name in names)
            # Keras has output channels last.
            kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
            layer.set_weights([kernel, *others])
    return model


def mobile_keras_model() -> Any:
    """Layers whose kernels lie in other orders, or whose functions stand alone with others."""
    import keras

    layers = keras.layers
    image = keras.Input((12, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="relu6")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.Activation("swish", name="swish")(x)
    left = layers.Conv2D(4, (1, 3), padding="same", activation="relu", name="left")(x)
    right = layers.Conv2D(4, (3, 1), padding="same", activation="relu", name="right")(x)
    x = layers.Concatenate(name="concat")([left, right])
    x = layers.Conv2DTranspose(6, 2, strides=2, name="up")(x)
    x = layers.MaxPooling2D(4, name="pool")(x)
    x = layers.Dropout(0.5, name="dropout")(layers.Flatten(name="flatten")(x))
    x = layers.Dense(7, activation="tanh", name="hidden")(x)
    return keras.Model(image, layers.Dense(5, activation="softmax", name="head")(x))


def tf2onnx_model() -> onnx.ModelProto:
    """The network as tf2onnx exports it from Keras."""
    return by_tf2onnx(keras_model())


def by_tf2onnx(model: Any) -> onnx.ModelProto:
    """A Keras model with an input ``image`` as tf2onnx exports it."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(model.input_shape, tf.float32, name="image")]
    call = tf.function(lambda image: model(image, training=False), input_signature=signature)
    found: onnx.ModelProto
    found, _ = tf2onnx.convert.from_function(call, input_signature=signature, opset=15)
    return found

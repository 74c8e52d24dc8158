L = {
    "Conv": "c",
    "BatchNormalization": "n",
    "Relu": "a",
    "Add": "+",
    "Sum": "+",
    "Concat": "|",
    "Mul": "x",
    "MaxPool": "p",
    "AveragePool": "p",
    "GlobalAveragePool": "p",
    "Gemm": "f",
    "MatMul": "f",
    "Pad": "°",
    "Input": "in",
}


def letter_of(node):
    return L.get(node.layer.op_type, "~")


def has_kernel(node):
    return node.layer.kernel_shape is not None


def is_copy(node):
    return node.layer.op_type in ("Pad", "Identity", "Dropout", "Flatten", "Reshape")


def legend_letters():
    return "c convolution  d depthwise  n normalization  a activation  + | x joins  p pool  f dense  ° pad"

"""The demo: a LeNet trained on real MNIST digits, and one digit of each class.

``tools/make_demo.py`` made both files; the model's metadata say how, and how well it does on digits
that it never saw.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

MODEL = _FOLDER / "lenet_mnist.onnx"
"""Input ``image`` ``(batch, 1, 28, 28)`` float32 in [0, 1], output ten probabilities."""

DIGITS = _FOLDER / "digits.npy"
"""``(10, 1, 28, 28)`` float32 in [0, 1]: digit i, from the digits held out of the training."""

LABELS = tuple(str(digit) for digit in range(10))

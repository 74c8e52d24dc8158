"""A naive float64 oracle: SPEC sections 2 and 3, the grid resize of section 4, effective ranks.

Written from the formulas alone, with NumPy alone, for tests to hold the fast code against: it
imports nothing of what it judges, and prefers plain loops to speed.

Activations are those of one sample, channels last, without a batch axis: ``(T, C)``, ``(h, w, C)``
or ``(d, h, w, C)``. Any float dtype goes in, float64 comes out. The letters are SPEC's: ``J`` input
channels (of the group), ``C`` output channels, ``h, w, d, T`` the size of the layer's output.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Float64 = NDArray[np.float64]
Index = tuple[int, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


def channel_weights(bias: Array | None, channels: int) -> Float64:
    """Return the weight of every channel, shape ``(C,)``.

    SPEC 2: ``s_c``: ``b_c`` where the layer has a bias that is not all zero, else ``1/C``.
    """
    if bias is None or not np.any(bias):
        return np.full(channels, 1.0 / channels)
    if bias.shape != (channels,):
        raise ValueError(f"bias has shape {bias.shape}, expected ({channels},)")
    return bias.astype(np.float64)


def published_conv(activation: Array, kernel: Array, bias: Array | None) -> Float64:
    """CAM of a convolution, ``projection="published"``, kernel in Keras order.

    SPEC 2, with ``K_c[u, v] = sum_j W[v, u, j, c]``::

        CAM[y, x] = sum_c s_c * sum_{u,v} K_c[u, v] * A[(y - u) mod h, (x - v) mod w, c]

    1-D: ``CAM[0, x] = sum_c s_c sum_k K_c[k] A[(x - k) mod T, c]``, ``K_c[k] = sum_j W[k, j, c]``.
    3-D: ``K_c[d, u, v] = sum_j W[d, v, u, j, c]``, circular in all three, then the mean over depth.
    Taps beyond the grid (``u >= h`` or ``v >= w``) are dropped. A 2-D convolution on a grid of one
    row (column) whose kernel has one row (column) is a 1-D convolution.

    Kernel ``(k, J, C)``, ``(kh, kw, J, C)`` or ``(kd, kh, kw, J, C)`` with the J of one group;
    bias ``(C,)`` or None. Returns ``(1, T)`` for 1-D, else ``(h, w)``.
    """
    summed = kernel.astype(np.float64).sum(axis=-2)  # over j: (*taps, C)
    return _circular(activation, summed, bias)


def published_conv_transpose(
    activation: Array, kernel: Array, bias: Array | None, groups: int = 1
) -> Float64:
    """CAM of a transposed convolution, ``projection="published"``, kernel in ONNX order.

    SPEC 2: ``K_c[u, v] = sum_j W[j, c, v, u]`` (ONNX order), circular on its output grid, then as
    `published_conv`. 1-D: ``K_c[k] = sum_j W[j, c, k]``; 3-D: ``K_c[d, u, v] = sum_j
    W[j, c, d, v, u]``. With groups, channel ``c`` has only its own group's rows ``j``.

    Kernel ``(J, C / groups, *taps)``; bias ``(C,)`` or None. Returns ``(1, T)`` or ``(h, w)``.
    """
    summed = _dense_kernel(kernel, groups, transpose=True).sum(axis=-2)  # over j: (*taps, C)
    return _circular(activation, summed, bias)


@np.errstate(invalid="ignore", over="ignore")
def _circular(activation: Array, summed: Float64, bias: Array | None) -> Float64:
    """``sum_c s_c sum_tap K[tap, c] A[(position - tap) mod size, c]``, brought to two axes.

    ``summed`` is the kernel's sum over j, ``(*taps, C)``: ``K[u, v, c] = summed[v, u, c]`` and
    ``K[d, u, v, c] = summed[d, v, u, c]``, but ``K[k, c] = summed[k, c]``.
    """
    values = activation.astype(np.float64)
    size = values.shape[:-1]
    if summed.ndim != values.ndim or summed.shape[-1] != values.shape[-1]:
        raise ValueError(f"kernel {summed.shape} (*taps, C) does not fit output {values.shape}")
    if summed.ndim == 3 and 1 in size:
        line = size.index(1)
        if summed.shape[line] == 1 and max(size) > 1:
            strip = _circular(values.squeeze(line), summed.squeeze(line), bias)
            return strip if line == 0 else strip.T
    kernel = summed if summed.ndim == 2 else np.swapaxes(summed, -3, -2)
    weights = channel_weights(bias, values.shape[-1])
    total = np.zeros(size)
    for tap in np.ndindex(kernel.shape[:-1]):
        if any(t >= n for t, n in zip(tap, size, strict=True)):
            continue
        # roll by tap: rolled[y] = values[(y - tap) mod size]
        total += np.roll(values @ (weights * kernel[tap]), tap, axis=tuple(range(len(size))))
    return _two_axes(total)


def _two_axes(values: Float64) -> Float64:
    """1-D ``(T,)`` as a strip ``(1, T)``; 2-D as it is; 3-D ``(d, h, w)``: the mean over depth."""
    if values.ndim == 1:
        return values[np.newaxis]
    return np.asarray(values.mean(axis=0)) if values.ndim == 3 else values


def separable_kernel(depthwise: Array, pointwise: Array) -> Float64:
    """Effective kernel of a Keras separable convolution.

    SPEC 2: ``W[u, v, j, c] = sum_m D[u, v, j, m] * P[0, 0, j * mult + m, c]``.
    Depthwise ``(kh, kw, J, mult)`` and pointwise ``(1, 1, J * mult, C)`` to ``(kh, kw, J, C)``;
    1-D with one tap axis less.
    """
    *taps, inputs, multiplier = depthwise.shape
    point = pointwise.astype(np.float64).reshape(inputs * multiplier, -1)
    kernel = np.zeros((*taps, inputs, point.shape[-1]))
    for j in range(inputs):
        for m in range(multiplier):
            kernel[..., j, :] += depthwise[..., j, m, np.newaxis] * point[j * multiplier + m]
    return kernel


def depthwise_kernel(depthwise: Array) -> Float64:
    """Kernel of a Keras depthwise convolution, as that of a grouped one with one input channel.

    SPEC 2: each output channel with its own group's kernel; every channel is included. Output
    channel ``j * mult + m`` has the kernel ``D[u, v, j, m]``.
    From ``(kh, kw, J, mult)`` to ``(kh, kw, 1, J * mult)``; 1-D with one tap axis less.
    """
    *taps, inputs, multiplier = depthwise.shape
    return depthwise.astype(np.float64).reshape(*taps, 1, inputs * multiplier)


@np.errstate(invalid="ignore", over="ignore")
def adjoint_map(
    activation: Array,
    kernel: Array,
    bias: Array | None,
    *,
    input_size: Sequence[int],
    strides: Sequence[int],
    pads_begin: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    transpose: bool,
) -> Float64:
    """CAM of a convolution, ``projection="transposed"``, kernel in ONNX order.

    SPEC 2: the adjoint of the layer's own linear map applied to ``s_c * A_c``, with the result
    summed over its input channels; kernel in its own orientation, zero boundary, honouring strides,
    pads, dilations and groups. The map lies on the layer's INPUT grid.

    It runs over the forward map's multiplications, as `linear_map` does, with the two ends
    exchanged. For 3-D the mean over the input's depth follows.

    Activation ``(*output size, C)``, one to three spatial axes; kernel ``(C, J / groups, *taps)``
    for Conv (``transpose=False``), ``(J, C / groups, *taps)`` for ConvTranspose; bias ``(C,)`` or
    None; sizes, strides, pads and dilations with one value for each spatial axis.
    Returns ``(1, T)`` for 1-D, else ``(h, w)``, of the input grid.
    """
    dense = _dense_kernel(kernel, groups, transpose=transpose)
    scaled = activation.astype(np.float64) * channel_weights(bias, activation.shape[-1])
    back = np.zeros((*input_size, dense.shape[-2]))
    steps = (strides, pads_begin, dilations)
    ends = (input_size, activation.shape[:-1])
    for source, tap, target in _links(*ends, dense.shape[:-2], steps, transpose=transpose):
        back[source] += dense[tap] @ scaled[target]  # over c: (J, C) @ (C,)
    return _two_axes(back.sum(axis=-1))


def linear_map(
    x: Array,
    kernel: Array,
    output_size: Sequence[int],
    *,
    strides: Sequence[int],
    pads_begin: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    transpose: bool,
) -> Float64:
    """ONNX Conv or ConvTranspose without bias, zero outside the input: ``y = L x``.

    ::

        Conv:           y[c, o] = sum_{j, t} W[c, j, t] * x[j, o * stride + t * dilation - pad]
        ConvTranspose:  y[c, i * stride + t * dilation - pad] += W[j, c, t] * x[j, i]

    Input ``(*input size, J)``, output ``(*output_size, C)``, the rest as in `adjoint_map`.
    """
    dense = _dense_kernel(kernel, groups, transpose=transpose)
    values = x.astype(np.float64)
    y = np.zeros((*output_size, dense.shape[-1]))
    steps = (strides, pads_begin, dilations)
    ends = (x.shape[:-1], output_size)
    for source, tap, target in _links(*ends, dense.shape[:-2], steps, transpose=transpose):
        y[target] += values[source] @ dense[tap]  # over j: (J,) @ (J, C)
    return y


def _dense_kernel(kernel: Array, groups: int, *, transpose: bool) -> Float64:
    """Spread a grouped kernel in ONNX order to ``(*taps, J, C)``, zero between the groups."""
    first, per_group, *taps = kernel.shape
    if first % groups:
        raise ValueError(f"kernel {kernel.shape} cannot be split into {groups} groups")
    dense = np.zeros((*taps, first, per_group * groups))
    for a in range(first):
        group = a // (first // groups)
        for b in range(per_group):
            dense[..., a, group * per_group + b] = kernel[a, b]
    return dense if transpose else np.swapaxes(dense, -2, -1)


def _links(
    input_size: Sequence[int],
    output_size: Sequence[int],
    taps: Sequence[int],
    steps: tuple[Sequence[int], Sequence[int], Sequence[int]],
    *,
    transpose: bool,
) -> Iterator[tuple[Index, Index, Index]]:
    """Every (input position, tap, output position) that the layer multiplies.

    For a Conv ``input = output * stride + tap * dilation - pad``; for a ConvTranspose
    ``output = input * stride + tap * dilation - pad``.
    """
    strides, pads, dilations = steps
    near, far = (input_size, output_size) if transpose else (output_size, input_size)
    for position in np.ndindex(*near):
        for tap in np.ndindex(*taps):
            axes = zip(position, strides, tap, dilations, pads, strict=True)
            reached = tuple(p * stride + t * dil - pad for p, stride, t, dil, pad in axes)
            if all(0 <= r < n for r, n in zip(reached, far, strict=True)):
                yield (position, tap, reached) if transpose else (reached, tap, position)


def mean_map(activation: Array) -> Float64:
    """CAM of a layer without a kernel that is not flat.

    SPEC 2: rank 3 ``(h, w, C)``: the mean over channels. Rank 4: that, then the mean over depth.
    Rank 2, a sequence ``(T, F)``: the mean over features, a strip ``1 x T``.
    """
    if activation.ndim not in (2, 3, 4):
        raise ValueError(f"activation has shape {activation.shape}, expected rank 2, 3 or 4")
    with np.errstate(invalid="ignore", over="ignore"):
        return _two_axes(activation.astype(np.float64).mean(axis=-1))


def flat_map(values: Array, hin: int, win: int) -> Float64:
    """CAM of a flat output of N values.

    SPEC 2: if ``N < Hin``, a strip ``1 x N``; else, row-major and zero-padded::

        rows = ceil(N / min(sqrt(N) * max(Hin, Win) / min(Hin, Win), max(Hin, Win)))
        cols = ceil(N / rows)
    """
    flat = values.astype(np.float64).ravel()
    n = flat.size
    if n < hin:
        return flat[np.newaxis]
    long, short = max(hin, win), min(hin, win)
    rows = math.ceil(n / min(math.sqrt(n) * long / short, long))
    cols = math.ceil(n / rows)
    padded = np.zeros(rows * cols)
    padded[:n] = flat
    return padded.reshape(rows, cols)


def published_range(cam: Array) -> tuple[float, float]:
    """Range ``(m, M)`` of a layer; NaN, NaN where the map is not finite.

    SPEC 3: ``m = min(CAM)``, ``M = max(CAM)``, and if ``m != 0``, ``M = max(M, m + 0.1*|m|)``.
    """
    if not np.isfinite(cam).all():
        return math.nan, math.nan
    low, high = float(cam.min()), float(cam.max())
    if low != 0:
        high = max(high, low + 0.1 * abs(low))
    return low, high


def global_range(cams: Iterable[Array]) -> tuple[float, float]:
    """Range of a diagram. SPEC 3: ``gmin = min(0, all m)``, ``gmax = max(0, all max(CAM))``.

    A map that is not finite takes no part.
    """
    gmin = gmax = 0.0
    for cam in cams:
        if np.isfinite(cam).all():
            gmin = min(gmin, float(cam.min()))
            gmax = max(gmax, float(cam.max()))
    return gmin, gmax


def rgba(cam: Array, gmin: float, gmax: float) -> Float64:
    """Colour of a map, ``(h, w, 4)`` in [0, 1]; all 0 where the map is not finite.

    SPEC 3, for the value ``t`` of each cell, clipped to [0, 1]::

        R = max(t, 0) / M                          0 where M <= 0
        G = max(-t, 0) / -m                        0 where m >= 0
        B = (t - m) / (M - m)                      0 where M == m
        A = sqrt((t - gmin) / (gmax - gmin))       0 where they are equal
    """
    t = cam.astype(np.float64)
    colours = np.zeros((*t.shape, 4))
    low, high = published_range(t)
    if math.isnan(low):
        return colours
    if high > 0:
        colours[..., 0] = np.maximum(t, 0) / high
    if low < 0:
        colours[..., 1] = np.maximum(-t, 0) / -low
    if high != low:
        colours[..., 2] = (t - low) / (high - low)
    if gmax != gmin:
        colours[..., 3] = np.sqrt(np.clip((t - gmin) / (gmax - gmin), 0, 1))
    return np.clip(colours, 0, 1)


def rgba_uint8(cam: Array, gmin: float, gmax: float) -> NDArray[np.uint8]:
    """Colour of a map as bytes, ``(h, w, 4)``. SPEC 3: ``floor(255*v + 0.5)``."""
    return np.floor(255 * rgba(cam, gmin, gmax) + 0.5).astype(np.uint8)


def resize_nearest(array: NDArray[Scalar], height: int, width: int) -> NDArray[Scalar]:
    """Enlarge the first two axes by nearest neighbour; any dtype, further axes are kept.

    SPEC 4: "enlarged by nearest neighbour". The cell whose CENTRE is nearest; of two equally near,
    the first: ``source = ceil((i + 1/2) * h / H) - 1``. This is the rule that the pictures in
    SPEC's ``reference/`` follow. ``floor(i * h / H)`` does not reproduce them (13 to 32 and 10 to
    28 cells), nor does ``floor((i + 1/2) * h / H)`` (8 to 28 cells, where centres meet edges).
    """
    h, w = array.shape[:2]
    # ceil((2i + 1) h / 2H) - 1, in whole numbers
    rows = [((2 * i + 1) * h - 1) // (2 * height) for i in range(height)]
    cols = [((2 * i + 1) * w - 1) // (2 * width) for i in range(width)]
    return array[rows][:, cols]


def shrink_strongest(cam: Array, height: int, width: int) -> Float64:
    """Shrink a map so that the strongest value of every cell survives.

    SPEC 4: "shrunk so that the strongest |t| of each cell survives". Source row ``y`` goes to
    target row ``floor(y * H / h)``, columns likewise; of equally strong values the first in
    row-major order is kept.
    """
    h, w = cam.shape
    if height > h or width > w:
        raise ValueError(f"cannot shrink a map of {h} x {w} cells to {height} x {width}")
    target = np.zeros((height, width))
    filled = np.zeros((height, width), dtype=bool)
    for y in range(h):
        for x in range(w):
            cell = (y * height // h, x * width // w)
            if not filled[cell] or abs(cam[y, x]) > abs(target[cell]):
                target[cell], filled[cell] = cam[y, x], True
    return target


def channels_last(activation: Array) -> Array:
    """One sample ``(1, C, ...)`` as ``(..., C)``."""
    return np.moveaxis(activation[0], 0, -1)


def effective_rank(values: NDArray[np.float64]) -> float:
    """Roy and Vetterli's, of the population covariance of channels ``(C, n)``."""
    shares = np.linalg.eigvalsh(np.atleast_2d(np.cov(values, bias=True))).clip(0)
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))

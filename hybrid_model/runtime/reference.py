"""The edge operations in NumPy, on arrays (N, H, W, C): slow, plain, and the oracle for every faster kernel.

What makes a result the same bit for bit everywhere:

- Integer sums are exact. Signs, levels and 8-bit values are whole numbers, no sum of them reaches 2^24 (checked when a
  bundle is loaded), so float32 sums of them are exact in any order. They are formed here by float32 matrix products; a
  kernel may use popcounts, tables or int32.
- Float sums have one order. `conv_float` adds its products kh by kh, kw by kw, channel by channel, `linear` feature by
  feature, `avg_pool` tap by tap, each from +0, each product and each sum rounded to float32 on its own: no fused
  multiply-add, no reordering, no flushing of subnormal numbers. (In C: -ffp-contract=off.) Padding adds +-0 to a sum
  that is never -0, so a kernel may leave padded taps out.
- Every scale and bias is one multiplication and then one addition, each rounded to float32.
- A guard's channel sums and their weighted sums are whole numbers below 2^31, exact in int32; each becomes one float32.
- Choices are comparisons, `a > b ? a : b`, so a NaN goes the way that is stated with each operation.

Bits are bool (True is +1, False -1), levels uint8. Weights are (KH, KW, IC, OC), in binary convolutions as bool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
BitArray = npt.NDArray[np.bool_]
LevelArray = npt.NDArray[np.uint8]
Pair = tuple[int, int]

#: Bytes of unfolded windows at a time: bounds memory and keeps to the caches.
_SCRATCH_BYTES = 8 * 2**20
_ZERO = np.float32(0.0)


def normalize(x: Array, zero_point: Float32Array, scale: Float32Array) -> Float32Array:
    """uint8 or float32 -> float32: (float32(x) - zero_point[c]) * scale[c]."""
    return (x.astype(np.float32) - zero_point) * scale


def conv_int8(
    x: LevelArray,
    weight: Float32Array,
    zero_point: npt.NDArray[np.int16],
    scale: Float32Array,
    bias: Float32Array,
    stride: Pair,
    padding: Pair,
) -> Float32Array:
    """uint8 -> float32: v = x - zero_point[c], zero padding after that; float32(sum of v * w) * scale[oc] + bias[oc].

    `weight` holds whole numbers in float32.
    """
    centred = x.astype(np.float32) - zero_point.astype(np.float32)
    return _integer_convolution(centred, weight, stride, padding) * scale + bias


def conv_kbit(
    levels: LevelArray, weight: Float32Array, scale: Float32Array, bias: Float32Array, stride: Pair, padding: Pair
) -> Float32Array:
    """Levels uint8 -> float32: float32(sum of level * w) * scale[oc] + bias[oc]; padding adds nothing.

    `weight` holds whole numbers in float32.
    """
    return _integer_convolution(levels.astype(np.float32), weight, stride, padding) * scale + bias


def conv_binary_dot(bits: BitArray, weight: Float32Array, stride: Pair, padding: Pair) -> Float32Array:
    """Bits -> whole numbers (N, OH, OW, OC) in float32: over the taps inside the map, +1 where equal, -1 where not.

    `weight` holds +1 and -1. Padding adds nothing: it is an exact zero, not a -1.
    """
    signs = np.multiply(bits, np.float32(2.0), dtype=np.float32)
    signs -= np.float32(1.0)
    return _integer_convolution(signs, weight, stride, padding)


def conv_binary_float(
    bits: BitArray, weight: Float32Array, scale: Float32Array, bias: Float32Array, stride: Pair, padding: Pair
) -> Float32Array:
    """Bits -> float32: float32(dot) * scale[oc] + bias[oc]."""
    return conv_binary_dot(bits, weight, stride, padding) * scale + bias


def conv_binary_bits(
    bits: BitArray, weight: Float32Array, threshold: npt.NDArray[np.int32], stride: Pair, padding: Pair
) -> BitArray:
    """Bits -> bits: dot >= threshold[oc], in whole numbers."""
    dot = conv_binary_dot(bits, weight, stride, padding)
    return np.asarray(dot.astype(np.int32) >= threshold)


def conv_float(x: Float32Array, weight: Float32Array, bias: Float32Array, stride: Pair, padding: Pair) -> Float32Array:
    """float32 -> float32: from +0, acc = acc + x * w for kh, kw, ic in row-major order; then acc + bias[oc]."""
    kh, kw, _, outputs = weight.shape
    taps = weight.reshape(-1, outputs)
    padded = _pad(x, padding)
    out = np.empty((x.shape[0], *_output_size(padded, (kh, kw), stride), outputs), dtype=np.float32)
    for samples, rows in _blocks(out.shape, len(taps) + 2 * outputs):
        windows = _windows(padded[samples], (kh, kw), stride, rows)
        columns = np.ascontiguousarray(windows.transpose(3, 4, 5, 0, 1, 2)).reshape(len(taps), -1)
        acc = np.zeros((outputs, columns.shape[1]), dtype=np.float32)
        product = np.empty_like(acc)
        for column, tap in zip(columns, taps, strict=True):
            np.multiply(tap[:, np.newaxis], column, out=product)
            np.add(acc, product, out=acc)
        acc += bias[:, np.newaxis]
        block = out[samples, rows]
        block[...] = acc.T.reshape(block.shape)
    return out


def linear(x: Float32Array, weight: Float32Array, bias: Float32Array) -> Float32Array:
    """(N, H, W, C) -> logits (N, 1, 1, K): from +0, acc = acc + x[f] * w[f] for f in (H, W, C) order; then + bias."""
    features = np.ascontiguousarray(x.reshape(x.shape[0], len(weight)).T)
    acc = np.zeros((weight.shape[1], x.shape[0]), dtype=np.float32)
    product = np.empty_like(acc)
    for feature, tap in zip(features, weight, strict=True):
        np.multiply(tap[:, np.newaxis], feature, out=product)
        np.add(acc, product, out=acc)
    acc += bias[:, np.newaxis]
    return np.ascontiguousarray(acc.T).reshape(x.shape[0], 1, 1, -1)


def binarize(x: Float32Array, threshold: Float32Array) -> BitArray:
    """float32 -> bits: x >= threshold[c]; NaN gives False."""
    return np.asarray(x >= threshold)


def quantize(x: Float32Array, gain: np.float32, bits: int) -> LevelArray:
    """float32 -> levels: t = x * gain; t > 0 ? t : 0; t < top ? t : top; half to even, with top = 2^bits - 1.

    NaN gives 0.
    """
    top = np.float32(2**bits - 1)
    scaled = x * gain
    scaled = np.where(scaled > 0, scaled, _ZERO)
    scaled = np.where(scaled < top, scaled, top)
    levels: LevelArray = np.rint(scaled).astype(np.uint8)
    return levels


def add(a: Float32Array, b: Float32Array) -> Float32Array:
    """float32 a + b."""
    return a + b


def relu(x: Float32Array) -> Float32Array:
    """float32: x > 0 ? x : +0; NaN gives 0."""
    return np.where(x > 0, x, _ZERO)


def rprelu(x: Float32Array, shift_in: Float32Array, slope: Float32Array, shift_out: Float32Array) -> Float32Array:
    """float32: y = x - shift_in[c]; y = y > 0 ? y : slope[c] * y; y + shift_out[c]. NaN stays NaN."""
    y = x - shift_in
    return np.where(y > 0, y, slope * y) + shift_out


def avg_pool(x: Float32Array, kernel: Pair, stride: Pair) -> Float32Array:
    """float32 -> float32: from +0, the window's values in row-major order; then * float32(1 / (kh * kw))."""
    taps = _taps(x, kernel, stride)
    acc = np.zeros_like(next(taps))
    for tap in _taps(x, kernel, stride):
        acc += tap
    acc *= np.float32(1.0 / (kernel[0] * kernel[1]))
    return acc


def max_pool(x: Array, kernel: Pair, stride: Pair) -> Array:
    """float32 or bits: from the window's first value, in row-major order, best = x > best ? x : best.

    On bits that is an or. A NaN that comes first stays, a later one is passed over.
    """
    taps = _taps(x, kernel, stride)
    best = next(taps).copy()
    for tap in taps:
        np.copyto(best, tap, where=tap > best)
    return best


def repeat(x: Float32Array, times: int) -> Float32Array:
    """float32 (N, H, W, C) -> (N, H, W, C * times): all channels in order, `times` over."""
    return np.tile(x, (1, 1, 1, times))


def cut_bits(x: Float32Array, threshold: Float32Array) -> LevelArray:
    """float32 -> codes of 1 bit, uint8: x >= threshold[c]; NaN gives 0."""
    return binarize(x, threshold).astype(np.uint8)


def channel_sums(x: Array) -> npt.NDArray[np.int64]:
    """Bits or levels (N, H, W, C) -> (N, C): the sum over all positions; of bits the number that is set."""
    sums: npt.NDArray[np.int64] = x.sum(axis=(1, 2), dtype=np.int64)
    return sums


def guard_distance(
    sums: npt.NDArray[np.int64],
    class_index: npt.NDArray[np.integer[Any]],
    weight: npt.NDArray[np.int8],
    scale: Float32Array,
    mean: Float32Array,
) -> Float32Array:
    """Channel sums (N, C) and predicted classes (N,) -> squared distances (N,) to the classes' means.

    z[r] = float32(sum of sums[c] * weight[c, r]) * scale[r]; from +0, for r in order, acc = acc + d * d with
    d = z[r] - mean[class, r]: each product, difference and sum rounded to float32 on its own.
    """
    placed = (sums @ weight.astype(np.int64)).astype(np.float32) * scale
    apart = placed - mean[class_index]
    acc = np.zeros(len(sums), dtype=np.float32)
    for column in apart.T:
        acc += column * column
    return acc


def _integer_convolution(x: Float32Array, weight: Float32Array, stride: Pair, padding: Pair) -> Float32Array:
    """Exact sums of whole numbers, as float32 (N, OH, OW, OC); a zero is always +0."""
    kh, kw, _, outputs = weight.shape
    taps = weight.reshape(-1, outputs)
    padded = _pad(x, padding)
    out = np.empty((x.shape[0], *_output_size(padded, (kh, kw), stride), outputs), dtype=np.float32)
    for samples, rows in _blocks(out.shape, len(taps)):
        windows = np.ascontiguousarray(_windows(padded[samples], (kh, kw), stride, rows))
        block = out[samples, rows]
        block[...] = (windows.reshape(-1, len(taps)) @ taps).reshape(block.shape)
    out += _ZERO
    return out


def _pad(x: Array, padding: Pair) -> Array:
    if padding == (0, 0):
        return x
    ph, pw = padding
    padded = np.zeros((x.shape[0], x.shape[1] + 2 * ph, x.shape[2] + 2 * pw, x.shape[3]), dtype=x.dtype)
    padded[:, ph : ph + x.shape[1], pw : pw + x.shape[2]] = x
    return padded


def _output_size(padded: Array, kernel: Pair, stride: Pair) -> Pair:
    return (padded.shape[1] - kernel[0]) // stride[0] + 1, (padded.shape[2] - kernel[1]) // stride[1] + 1


def _blocks(out_shape: tuple[int, ...], floats_per_position: int) -> Iterator[tuple[slice, slice]]:
    """Slices of samples and of output rows whose unfolded windows fit the scratch memory (one row at least)."""
    samples, height, width, _ = out_shape
    fit = max(1, _SCRATCH_BYTES // (4 * floats_per_position * max(1, width)))
    row_step = min(height, fit)
    sample_step = max(1, fit // height)
    for s in range(0, samples, sample_step):
        for r in range(0, height, row_step):
            yield slice(s, min(samples, s + sample_step)), slice(r, min(height, r + row_step))


def _windows(padded: Array, kernel: Pair, stride: Pair, rows: slice) -> Array:
    """A view (N, rows, OW, KH, KW, C) of every window of the given output rows."""
    every = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    chosen = every[:, :: stride[0], :: stride[1]][:, rows]
    return chosen.transpose(0, 1, 2, 4, 5, 3)


def _taps(x: Array, kernel: Pair, stride: Pair) -> Iterator[Array]:
    """For each place in the window, row-major, what stands there in every window: (N, OH, OW, C) views."""
    oh, ow = _output_size(x, kernel, stride)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield x[:, i : i + (oh - 1) * stride[0] + 1 : stride[0], j : j + (ow - 1) * stride[1] + 1 : stride[1]]

"""The kernels against plain loops: whole numbers exactly, float32 bit for bit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model.runtime import reference

F32 = np.float32


@dataclass
class Case:
    """A random convolution: shapes, stride, padding, and a generator for its numbers."""

    batch: int
    size: tuple[int, int]
    channels: int
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    rng: np.random.Generator

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.batch, *self.size, self.channels

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return *self.kernel, self.channels, self.outputs


@st.composite
def cases(draw: st.DrawFn, channels: st.SearchStrategy[int], outputs: st.SearchStrategy[int]) -> Case:
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    padding = draw(st.tuples(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1)))
    low = [max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]
    return Case(
        batch=draw(st.integers(1, 3)),
        size=(draw(st.integers(low[0], 8)), draw(st.integers(low[1], 9))),
        channels=draw(channels),
        outputs=draw(outputs),
        kernel=kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        rng=np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
    )


WIDE = cases(st.sampled_from([1, 3, 16, 31, 32, 33, 48, 64, 70]), st.sampled_from([1, 2, 7, 16, 40]))
NARROW = cases(st.integers(1, 3), st.integers(1, 3))


def plain_convolution(x: npt.NDArray[Any], weight: npt.NDArray[Any], case: Case) -> npt.NDArray[np.int64]:
    """Sums of whole numbers over the taps inside the map: nothing is there outside of it."""
    (kh, kw), (sh, sw), (ph, pw) = case.kernel, case.stride, case.padding
    n, h, w, _ = x.shape
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    out = np.zeros((n, oh, ow, weight.shape[3]), dtype=np.int64)
    for r, c, i, j in itertools.product(range(oh), range(ow), range(kh), range(kw)):
        y, z = r * sh + i - ph, c * sw + j - pw
        if 0 <= y < h and 0 <= z < w:
            out[:, r, c] += x[:, y, z].astype(np.int64) @ weight[i, j].astype(np.int64)
    return out


def numbers(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    """Floats of very different size, so that another order of summing shows."""
    return (rng.normal(size=shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(F32)


def identical(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """The same shape, type and bits (so that -0 is not +0)."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@settings(max_examples=60)
@given(WIDE)
def test_a_binary_convolution_is_the_integer_one_with_true_zero_padding(case: Case) -> None:
    bits = case.rng.integers(0, 2, case.input_shape).astype(bool)
    signs = case.rng.choice([-1, 1], case.weight_shape)
    expected = plain_convolution(np.where(bits, 1, -1), signs, case)
    weight = signs.astype(F32)

    dot = reference.conv_binary_dot(bits, weight, case.stride, case.padding)
    assert np.array_equal(dot, expected)

    scale, bias = numbers(case.rng, case.outputs), numbers(case.rng, case.outputs)
    made = reference.conv_binary_float(bits, weight, scale, bias, case.stride, case.padding)
    assert identical(made, expected.astype(F32) * scale + bias)

    threshold = case.rng.integers(expected.min() - 1, expected.max() + 2, case.outputs).astype(np.int32)
    made_bits = reference.conv_binary_bits(bits, weight, threshold, case.stride, case.padding)
    assert identical(made_bits, expected >= threshold)


def test_thresholds_beyond_every_sum_are_always_and_never() -> None:
    bits, weight = np.ones((1, 2, 2, 5), dtype=bool), np.ones((1, 1, 5, 2), dtype=F32)
    threshold = np.array([-(2**31), 2**31 - 1], dtype=np.int32)
    made = reference.conv_binary_bits(bits, weight, threshold, (1, 1), (0, 0))
    assert made[..., 0].all()
    assert not made[..., 1].any()


@settings(max_examples=40)
@given(WIDE, st.sampled_from([2, 4, 8]), st.sampled_from([2, 4, 8]))
def test_a_kbit_convolution_is_the_integer_one(case: Case, weight_bits: int, activation_bits: int) -> None:
    top = min(2**weight_bits - 1, 127)
    levels = case.rng.integers(0, 2**activation_bits, case.input_shape).astype(np.uint8)
    weight = case.rng.integers(-top, top + 1, case.weight_shape).astype(np.int8)
    scale, bias = numbers(case.rng, case.outputs), numbers(case.rng, case.outputs)
    made = reference.conv_kbit(levels, weight.astype(F32), scale, bias, case.stride, case.padding)
    assert identical(made, plain_convolution(levels, weight, case).astype(F32) * scale + bias)


@settings(max_examples=40)
@given(cases(st.sampled_from([1, 3, 9]), st.sampled_from([1, 8, 33])))
def test_an_int8_convolution_pads_with_zero_behind_the_zero_point(case: Case) -> None:
    x = case.rng.integers(0, 256, case.input_shape).astype(np.uint8)
    zero_point = case.rng.integers(0, 256, case.channels).astype(np.int16)
    weight = case.rng.integers(-128, 128, case.weight_shape).astype(np.int8)
    scale, bias = numbers(case.rng, case.outputs), numbers(case.rng, case.outputs)
    made = reference.conv_int8(x, weight.astype(F32), zero_point, scale, bias, case.stride, case.padding)
    exact = plain_convolution(x.astype(np.int64) - zero_point, weight, case)
    assert identical(made, exact.astype(F32) * scale + bias)


@settings(max_examples=30)
@given(NARROW)
def test_a_float_convolution_adds_in_row_major_order_with_two_roundings(case: Case) -> None:
    x, weight = numbers(case.rng, *case.input_shape), numbers(case.rng, *case.weight_shape)
    bias = numbers(case.rng, case.outputs)
    made = reference.conv_float(x, weight, bias, case.stride, case.padding)
    (sh, sw), (ph, pw) = case.stride, case.padding
    expected = np.empty_like(made)
    for n, r, c, o in np.ndindex(*made.shape):
        acc = F32(0.0)
        for i, j, k in np.ndindex(*case.kernel, case.channels):
            y, z = r * sh + i - ph, c * sw + j - pw
            if 0 <= y < case.size[0] and 0 <= z < case.size[1]:
                acc = F32(acc + F32(x[n, y, z, k] * weight[i, j, k, o]))
        expected[n, r, c, o] = F32(acc + bias[o])
    assert identical(made, expected)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_linear_layer_adds_feature_by_feature(batch: int, channels: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias = numbers(rng, batch, 2, 2, channels), numbers(rng, 4 * channels, outputs), numbers(rng, outputs)
    expected = np.empty((batch, 1, 1, outputs), dtype=F32)
    for n, k in np.ndindex(batch, outputs):
        acc = F32(0.0)
        for f, value in enumerate(x[n].ravel()):
            acc = F32(acc + F32(value * weight[f, k]))
        expected[n, 0, 0, k] = F32(acc + bias[k])
    assert identical(reference.linear(x, weight, bias), expected)


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_average_pooling_adds_in_row_major_order_then_multiplies(kh: int, kw: int, stride: int, seed: int) -> None:
    x = numbers(np.random.default_rng(seed), 2, 7, 9, 3)
    made = reference.avg_pool(x, (kh, kw), (stride, stride))
    expected = np.empty_like(made)
    for n, r, c, k in np.ndindex(*made.shape):
        acc = F32(0.0)
        for value in x[n, r * stride : r * stride + kh, c * stride : c * stride + kw, k].ravel():
            acc = F32(acc + value)
        expected[n, r, c, k] = F32(acc * F32(1.0 / (kh * kw)))
    assert identical(made, expected)


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_pooling_bits_is_pooling_floats_and_then_taking_the_sign(kh: int, kw: int, stride: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, threshold = numbers(rng, 2, 6, 7, 5), numbers(rng, 5)
    x.reshape(-1)[::3] = np.resize(threshold, x.reshape(-1)[::3].shape)
    pooled_bits = reference.max_pool(reference.binarize(x, threshold), (kh, kw), (stride, stride))
    assert pooled_bits.dtype == np.bool_
    assert identical(pooled_bits, reference.binarize(reference.max_pool(x, (kh, kw), (stride, stride)), threshold))


def test_max_pooling_takes_the_greatest_and_passes_over_a_later_nan() -> None:
    x = np.array([[1, 2, np.nan, 5], [4, 3, 1, 2]], dtype=F32).reshape(1, 2, 4, 1)
    made = reference.max_pool(x, (2, 2), (2, 2)).reshape(-1)
    assert made[0] == 4
    assert np.isnan(made[1])
    turned = np.ascontiguousarray(x[:, ::-1])
    assert reference.max_pool(turned, (2, 2), (2, 2)).reshape(-1).tolist() == [4, 5]


def test_comparisons_send_nan_to_zero() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0], dtype=F32)
    assert reference.binarize(x, np.zeros(5, dtype=F32)).tolist() == [False, True, False, True, True]
    assert reference.relu(x).tobytes() == np.array([0, np.inf, 0, 0, 0], dtype=F32).tobytes()
    assert reference.quantize(x, F32(1.0), 2).tolist() == [0, 3, 0, 0, 0]
    assert reference.cut_bits(x, np.zeros(5, dtype=F32)).tolist() == [0, 1, 0, 1, 1]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_levels_round_half_to_even_and_stay_in_their_bits(bits: int) -> None:
    top = 2**bits - 1
    x = np.array([-3.0, 0.5, 1.5, 2.5, 1e30], dtype=F32)
    assert reference.quantize(x, F32(1.0), bits).tolist() == [min(v, top) for v in (0, 0, 2, 2, top)]


def test_rprelu_shifts_bends_and_shifts_back() -> None:
    x = np.array([[3.0, 0.5, np.nan]], dtype=F32)
    made = reference.rprelu(x, np.full(3, 1, F32), np.full(3, 0.25, F32), np.full(3, 10, F32))
    assert made[0, :2].tolist() == [12.0, 9.875]
    assert np.isnan(made[0, 2])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_a_repeated_channel_is_the_channel_modulo_their_number(channels: int, times: int, seed: int) -> None:
    x = numbers(np.random.default_rng(seed), 2, 3, 2, channels)
    made = reference.repeat(x, times)
    assert made.shape == (2, 3, 2, channels * times)
    assert all(identical(made[..., c], x[..., c % channels]) for c in range(channels * times))


def test_normalize_takes_bytes_and_floats() -> None:
    zero, scale = np.array([125.0], F32), np.array([1 / 64], F32)
    assert reference.normalize(np.array([[189]], np.uint8), zero, scale).tolist() == [[1.0]]
    assert reference.normalize(np.array([[189.0]], F32), zero, scale).dtype == F32


def test_maps_larger_than_the_scratch_memory_are_computed_in_bands() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(0, 2, (2, 90, 90, 40)).astype(bool), rng.choice([-1, 1], (3, 3, 40, 2)).astype(F32)
    whole = reference.conv_binary_dot(x, weight, (1, 1), (1, 1))
    assert x[0].size * 9 * 4 > reference._SCRATCH_BYTES
    upper = reference.conv_binary_dot(x[1:, :40], weight, (1, 1), (1, 1))
    assert np.array_equal(whole[1:, :39], upper[:, :39])
    flat, bias = weight.reshape(3, 3, 40, 2), np.zeros(2, F32)
    assert np.array_equal(reference.conv_float(np.where(x, F32(1), F32(-1)), flat, bias, (1, 1), (1, 1)), whole)

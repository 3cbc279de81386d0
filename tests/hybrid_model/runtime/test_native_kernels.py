"""Every variant of the C kernels that this machine can run, against the NumPy reference: bit for bit."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hybrid_model.bundle import ops
from hybrid_model.runtime.native_walker import NativeWalker, load_native
from hybrid_model.runtime.packing import unpack_words
from hybrid_model.runtime.plan import Plan
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker, Walk
from tests.hybrid_model.runtime.plan_writer import PlanWriter

native = load_native()
#: Fewer where every step is watched.
MOST_EXAMPLES = int(os.environ.get("DEWPOINT_TEST_EXAMPLES", "1000"))
VARIANTS: list[str] = native.kernels() if native is not None else []
pytestmark = pytest.mark.skipif(native is None, reason="the C kernels were not built: install a C compiler")

each_variant = pytest.mark.parametrize("variant", VARIANTS)
examples = settings(max_examples=min(60, MOST_EXAMPLES))
seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 130))
outputs = st.integers(1, 140)
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 2), st.integers(0, 2))
NOBODY = [ExitRule("entropy", 1.0, -np.inf)]


def walked(walker: Any, batch: npt.NDArray[Any], rules: list[ExitRule] = NOBODY, *, to_cut: bool = True) -> Walk:
    walk: Walk = walker.walk(batch, rules, np.ones(len(batch), dtype=np.bool_), to_cut=to_cut)
    return walk


def assert_same_bits(plan: Plan, variant: str, batch: npt.NDArray[Any]) -> Walk:
    """The C kernels' logits and codes equal the reference's; returns the walk."""
    expected, found = walked(ReferenceWalker(plan), batch), walked(NativeWalker(plan, variant), batch)
    assert np.array_equal(found.logits, expected.logits, equal_nan=True)
    assert np.array_equal(found.codes, expected.codes)
    assert found.distances.tobytes() == expected.distances.tobytes()
    assert np.array_equal(found.in_domain, expected.in_domain)
    return found


def fits(shape: tuple[int, ...], kernel: tuple[int, int], padding: tuple[int, int]) -> bool:
    sizes = zip(shape[:2], kernel, padding, strict=True)
    return all(pad < k <= size + 2 * pad for size, k, pad in sizes)


@each_variant
@examples
@example(0, (4, 8, 16), 65, (1, 1), (1, 1), (0, 0), "binary_bits")  # summed by tables, which end behind the channels
@given(seeds, shapes, outputs, pairs, strides, paddings, st.sampled_from(["binary_float", "binary_bits"]))
def test_binary_convolutions_of_any_shape(
    variant: str, seed: int, shape: Any, channels: int, kernel: Any, stride: Any, padding: Any, name: str
) -> None:
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape)
    x = write.conv(name, write.binarize(write.normalize()), channels, kernel, stride, padding)
    plan = write.finish(x if name == "binary_float" else write.shown(x))
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@pytest.mark.parametrize(
    "shape", [(32, 32, 64), (16, 16, 96), (8, 8, 256), (1, 128, 48), (5, 7, 16), (9, 9, 200), (4, 4, 130)]
)
@pytest.mark.parametrize("name", ["binary_float", "binary_bits"])
def test_binary_convolutions_of_common_sizes(variant: str, shape: tuple[int, int, int], name: str) -> None:
    write = PlanWriter(7, shape)
    kernel, padding = ((1, 5), (0, 2)) if shape[0] == 1 else ((3, 3), (1, 1))
    x = write.conv(name, write.binarize(write.normalize()), shape[2], kernel, (1, 1), padding)
    plan = write.finish(x if name == "binary_float" else write.shown(x))
    assert_same_bits(plan, variant, write.samples(1))


@each_variant
@examples
@given(seeds, shapes, outputs, pairs, strides, paddings)
def test_a_binary_convolution_is_an_integer_convolution_with_true_zero_padding(
    variant: str, seed: int, shape: Any, channels: int, kernel: Any, stride: Any, padding: Any
) -> None:
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape, "float32")
    x = write.conv("binary_float", write.binarize(0), channels, kernel, stride, padding)
    conv, threshold = write.steps[-1].params, write.steps[-2].params["threshold"]
    conv["scale"][:], conv["bias"][:] = 1.0, 0.0
    plan, batch = write.finish(x), write.samples(1)

    signs = np.where(batch[0] >= threshold, 1, -1).astype(np.int64)
    weight = np.where(unpack_words(conv["weight"], shape[2]), 1, -1).astype(np.int64)
    padded = np.pad(signs, ((padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    oh, ow, _ = plan.buffers[x].shape
    expected = np.zeros((oh, ow, channels), dtype=np.int64)
    for y in range(oh):
        for z in range(ow):
            top, left = y * stride[0], z * stride[1]
            window = padded[top : top + kernel[0], left : left + kernel[1]]
            expected[y, z] = np.einsum("hwc,hwoc->o", window, weight)

    shown = plan.stages[0].steps[-1].params["weight"].argmax(axis=0)
    logits = walked(NativeWalker(plan, variant), batch).logits[0, 0]
    assert np.array_equal(logits, expected.reshape(-1)[shown].astype(np.float32))


@each_variant
@examples
@given(seeds, shapes, outputs, pairs, strides, paddings)
def test_eight_bit_convolutions_of_any_shape(
    variant: str, seed: int, shape: Any, channels: int, kernel: Any, stride: Any, padding: Any
) -> None:
    shape = (*shape[:2], 1 + shape[2] % 9)
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape)
    plan = write.finish(write.conv("int8", 0, channels, kernel, stride, padding))
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@pytest.mark.parametrize(("kernel", "stride"), [((4, 4), (2, 2)), ((3, 3), (1, 1))])
def test_eight_bit_stems(variant: str, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    write = PlanWriter(1, (32, 32, 3))
    plan = write.finish(write.conv("int8", 0, 64, kernel, stride, (1, 1)))
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@examples
@given(seeds, shapes, outputs, pairs, strides, paddings)
def test_eight_bit_convolutions_that_only_a_sign_reads(
    variant: str, seed: int, shape: Any, channels: int, kernel: Any, stride: Any, padding: Any
) -> None:
    shape = (*shape[:2], 1 + shape[2] % 9)
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape)
    x = write.binarize(write.conv("int8", 0, channels, kernel, stride, padding))
    scale = write.steps[-2].params["scale"]
    scale[:] = np.where(write.rng.random(channels) < 0.1, 0.0, scale / 1000)
    assert_same_bits(write.finish(write.shown(x)), variant, write.samples(2))


@each_variant
@pytest.mark.parametrize("extreme", [-128, 127])
def test_eight_bit_sums_do_not_saturate(variant: str, extreme: int) -> None:
    write = PlanWriter(2, (6, 6, 40))
    x = write.conv("int8", 0, 20, (3, 3), (1, 1), (1, 1))
    write.steps[-1].params["weight"][:] = extreme
    write.steps[-1].params["zero_point"][:] = 0
    plan = write.finish(x)
    assert_same_bits(plan, variant, np.full((1, 6, 6, 40), 255, dtype=np.uint8))


@each_variant
@examples
@given(seeds, shapes, outputs, pairs, strides, paddings, st.sampled_from([2, 4, 8]), st.sampled_from([1, 2, 4, 8]))
def test_convolutions_of_levels_of_any_shape(
    variant: str,
    seed: int,
    shape: Any,
    channels: int,
    kernel: Any,
    stride: Any,
    padding: Any,
    bits: int,
    weight_bits: int,
) -> None:
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape)
    levels = write.quantize(write.normalize(), bits)
    plan = write.finish(write.conv("kbit", levels, channels, kernel, stride, padding, weight_bits))
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_sums_of_levels_do_not_saturate(variant: str, bits: int, sign: int) -> None:
    write = PlanWriter(2, (4, 4, 50), "float32")
    x = write.conv("kbit", write.quantize(0, bits), 20, (3, 3), (1, 1), (1, 1), bits)
    write.steps[-1].params["weight"][:] = sign * min(127, 2**bits - 1)
    plan = write.finish(x)
    assert_same_bits(plan, variant, np.full((1, 4, 4, 50), 1e6, dtype=np.float32))


@each_variant
@examples
@example(0, (9, 20, 130), 256, 8, 1.0)
@given(seeds, shapes, st.integers(1, 256), st.sampled_from([1, 2, 4, 8]), st.floats(0.1, 1000.0))
def test_guards_of_any_shape(variant: str, seed: int, shape: Any, directions: int, bits: int, spread: float) -> None:
    write = PlanWriter(seed, shape)
    x = write.normalize()
    plan = write.finish(x, guard=write.binarize(x) if bits == 1 else write.quantize(x, bits), directions=directions)
    guard = plan.stages[0].guard
    assert guard is not None
    guard.scale[:] *= np.float32(spread)
    batch = write.samples(9)
    expected = walked(ReferenceWalker(plan), batch)
    limit = float(np.median(expected.distances))
    for walker in (ReferenceWalker(plan), NativeWalker(plan, variant)):
        found = walked(walker, batch, [ExitRule("entropy", 1.0, np.inf, limit)])
        assert found.distances.tobytes() == expected.distances.tobytes()
        assert np.array_equal(found.in_domain, expected.distances.astype(np.float64) <= limit)
        assert np.array_equal(found.exit_index >= 0, found.in_domain[:, 0])
        if hasattr(found, "sums"):
            assert np.array_equal(found.sums, expected.sums)


@each_variant
def test_a_guards_source_stays_until_its_exit_has_decided(variant: str) -> None:
    """The bits are made first; maps that need their room come and go before the exit."""
    write = PlanWriter(1, (8, 8, 33))
    x = write.normalize()
    bits = write.binarize(x)
    for _ in range(4):
        x = write.conv("float", x, 33, (1, 1), (1, 1), (0, 0))
    assert_same_bits(write.finish(x, guard=bits), variant, write.samples(3))


@each_variant
def test_a_distance_that_is_no_number_is_not_in_the_domain(variant: str) -> None:
    write = PlanWriter(0, (2, 2, 5), "float32")
    plan = write.finish(write.pointwise(ops.Add, (0, 0)), guard=write.binarize(0))
    batch = write.samples(4)
    batch[1] = 3e38
    for walker in (ReferenceWalker(plan), NativeWalker(plan, variant)):
        found = walked(walker, batch, [ExitRule("entropy", 1.0, np.inf, np.inf)])
        assert np.isnan(found.distances[1, 0])
        assert found.in_domain[:, 0].tolist() == [True, False, True, True]


@each_variant
@examples
@given(seeds, shapes, outputs, pairs, strides, paddings, st.sampled_from([1, 2, 3, 4]))
def test_float_convolutions_of_any_shape(
    variant: str, seed: int, shape: Any, channels: int, kernel: Any, stride: Any, padding: Any, cut_bits: int
) -> None:
    assume(fits(shape, kernel, padding))
    write = PlanWriter(seed, shape, "float32")
    plan = write.finish(write.conv("float", 0, channels, kernel, stride, padding), cut_bits)
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@examples
@given(seeds, shapes, pairs, strides, st.booleans())
def test_pools_of_any_shape(variant: str, seed: int, shape: Any, kernel: Any, stride: Any, floats: bool) -> None:
    assume(fits(shape, kernel, (0, 0)))
    write = PlanWriter(seed, shape, "float32")
    if floats:
        x = write.pool(ops.AvgPool, 0, kernel, stride)
        y = write.pool(ops.MaxPool, 0, kernel, stride)
        plan = write.finish(write.pointwise(ops.Add, (x, y)))
    else:
        plan = write.finish(write.shown(write.pool(ops.MaxPool, write.binarize(0), kernel, stride)))
    assert_same_bits(plan, variant, write.samples(2))


@each_variant
@examples
@given(seeds, shapes, st.integers(2, 5))
def test_repeated_channels_of_any_shape(variant: str, seed: int, shape: Any, times: int) -> None:
    write = PlanWriter(seed, shape, "float32")
    x = write.repeat(0, times)
    for _ in range(write.rng.integers(0, 2)):
        x = write.pointwise(ops.RPRelu, (x,), "shift_in slope shift_out")
    assert_same_bits(write.finish(x), variant, write.samples(2))


@each_variant
def test_repeated_channels_leave_nothing_of_an_earlier_map_behind_them(variant: str) -> None:
    write = PlanWriter(0, (4, 4, 11), "float32")
    large = write.conv("float", 0, 64, (1, 1), (1, 1), (0, 0))
    write.steps[-1].params["bias"][:] = 1000.0
    way = write.repeat(write.conv("float", large, 11, (1, 1), (1, 1), (0, 0)), 2)
    y = write.conv("binary_float", write.binarize(way), 22, (1, 1), (1, 1), (0, 0))
    assert_same_bits(write.finish(write.pointwise(ops.Add, (y, way))), variant, write.samples(2))


@each_variant
@examples
@given(
    seeds,
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 15, 16, 31, 32, 33, 48, 64])),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["way first", "way last", "way twice", "way read twice", "way to the exit"]),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_convolutions_with_a_way_around_that_repeats_channels(
    variant: str, seed: int, shape: Any, times: int, order: str, turned: bool, cut_bits: int
) -> None:
    write = PlanWriter(seed, shape)
    x, channels = write.normalize(), shape[2] * (times if times > 1 else 2)

    def branch() -> int:
        return write.conv("binary_float", write.binarize(x), channels, (1, 1), (1, 1), (0, 0))

    def way() -> int:
        return write.repeat(write.pool(ops.AvgPool, x, (1, 1), (1, 1)) if times > 1 else x, channels // shape[2])

    if order == "way first":
        around = way()
        y = branch()
    elif order == "way twice":
        around, y = way(), way()
    else:
        y = branch()
        around = way()
    y = write.pointwise(ops.Add, (around, y) if turned else (y, around))
    y = write.pointwise(ops.RPRelu, (y,), "shift_in slope shift_out")
    if order == "way read twice":
        y = write.pointwise(ops.Add, (y, around))
    if order == "way to the exit":
        y = around
    assert_same_bits(write.finish(y, cut_bits), variant, write.samples(2))


@each_variant
@examples
@given(seeds, shapes, st.lists(st.sampled_from(["relu", "rprelu", "add", "pool", "bits", "levels"]), max_size=6))
def test_pointwise_operations_in_any_order(variant: str, seed: int, shape: Any, chain: list[str]) -> None:
    write = PlanWriter(seed, shape)
    x = skip = write.normalize()
    for link in chain:
        if link == "relu":
            x = write.pointwise(ops.Relu, (x,))
        elif link == "rprelu":
            x = write.pointwise(ops.RPRelu, (x,), "shift_in slope shift_out")
        elif link == "add":
            x = write.pointwise(ops.Add, (x, skip))
        elif link == "pool":
            x = write.pool(ops.AvgPool, x, (1, 1), (1, 1))
        elif link == "bits":
            x = write.conv("binary_float", write.binarize(x), shape[2], (1, 1), (1, 1), (0, 0))
        else:
            x = skip = write.conv("kbit", write.quantize(x, 2), shape[2], (1, 1), (1, 1), (0, 0), 2)
    assert_same_bits(write.finish(x), variant, write.samples(2))


@each_variant
@examples
@given(seeds)
def test_floats_of_any_bits_take_the_same_way(variant: str, seed: int) -> None:
    write = PlanWriter(seed, (2, 3, 37), "float32")
    x = write.pointwise(ops.RPRelu, (write.pointwise(ops.Relu, (0,)),), "shift_in slope shift_out")
    x = write.pointwise(ops.Add, (x, write.pool(ops.MaxPool, 0, (1, 1), (1, 1))))
    plan = write.finish(x, 2)
    batch = write.rng.integers(0, 2**32, (3, 2, 3, 37), dtype=np.uint32).view(np.float32)
    expected, found = walked(ReferenceWalker(plan), batch), walked(NativeWalker(plan, variant), batch)
    assert np.array_equal(found.codes, expected.codes)
    assert (found.exit_index == -1).all()


@each_variant
def test_subnormal_numbers_are_kept(variant: str) -> None:
    write = PlanWriter(0, (2, 2, 5), "float32")
    plan = write.finish(write.pointwise(ops.Relu, (0,)))
    batch = np.full((1, 2, 2, 5), 1e-42, dtype=np.float32)
    assert (assert_same_bits(plan, variant, batch).logits != 0).all()


@each_variant
def test_a_value_at_its_threshold_is_a_one(variant: str) -> None:
    write = PlanWriter(0, (2, 2, 37), "float32")
    x = write.binarize(0)
    write.steps[-1].params["threshold"][:] = 0.75
    plan = write.finish(write.shown(x))
    at, below = (np.full((1, 2, 2, 37), value, dtype=np.float32) for value in (0.75, np.nextafter(np.float32(0.75), 0)))
    ones, zeros = assert_same_bits(plan, variant, at).logits, assert_same_bits(plan, variant, below).logits
    assert not np.array_equal(ones, zeros)

"""What the C kernels are handed is checked once more in C: a wrong plan or buffer is a ValueError, never a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle, BundleError, ops
from hybrid_model.runtime import EdgeEngine
from hybrid_model.runtime.native_walker import NativeWalker, encode_plan, encode_rules, load_native
from hybrid_model.runtime.plan import Plan, build_plan
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker
from tests.hybrid_model.runtime.plan_writer import PlanWriter
from tests.hybrid_model.small_bundle import samples, small_network

native = load_native()
#: Fewer where every step is watched.
MOST_EXAMPLES = int(os.environ.get("DEWPOINT_TEST_EXAMPLES", "1000"))
VARIANTS: list[str] = native.kernels() if native is not None else []
pytestmark = pytest.mark.skipif(native is None, reason="the C kernels were not built: install a C compiler")
each_variant = pytest.mark.parametrize("variant", VARIANTS)
seeds = st.integers(0, 2**32 - 1)

Encoded = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[npt.NDArray[Any]]]
Load = Callable[..., Bundle]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folder = tmp_path_factory.mktemp("plans")

    def make(**options: Any) -> Bundle:
        path = folder / f"{'-'.join(map(str, options.values()))}.dew"
        bundle_file.save(path, *small_network(**options))
        return bundle_file.load(path)

    return make


@pytest.fixture(scope="module")
def encoded(load: Load) -> Encoded:
    return encode_plan(build_plan(load(seed=0)))


def small_plan() -> tuple[Plan, npt.NDArray[Any]]:
    write = PlanWriter(0, (4, 5, 6))
    x = write.normalize()
    return write.finish(x, guard=write.binarize(x)), write.samples(3)


def operands(plan: Plan, count: int) -> dict[str, Any]:
    """Buffers of the right size for `run`, by name, in its order."""
    classes = plan.buffers[plan.stages[0].exit_buffer or 0].shape[2]
    codes = int(np.prod(plan.buffers[plan.cut_buffer].shape))
    return {
        "batch": np.zeros((count, *plan.buffers[0].shape), dtype=np.uint8),
        "rules": encode_rules([ExitRule("entropy", 1.0, 0.5)]),
        "may_leave": np.ones(count, dtype=np.bool_),
        "exit_index": np.zeros(count, dtype=np.int8),
        "class_index": np.zeros(count, dtype=np.int32),
        "confidence": np.zeros(count, dtype=np.float32),
        "in_domain": np.zeros(count, dtype=np.bool_),
        "exit_classes": np.zeros((count, 1), dtype=np.int32),
        "scores": np.zeros((count, 1)),
        "at_cut": np.zeros(count, dtype=np.bool_),
        "logits": np.zeros((count, 1, classes), dtype=np.float32),
        "codes": np.zeros((count, codes), dtype=np.uint8),
        "features": np.zeros((count, (codes + 7) // 8), dtype=np.uint8),
        "distances": np.zeros((count, 1), dtype=np.float32),
        "exit_in_domain": np.zeros((count, 1), dtype=np.bool_),
        "sums": np.zeros((count, plan.sum_count), dtype=np.int32),
    }


@each_variant
@settings(max_examples=min(25, MOST_EXAMPLES))
@given(seeds, st.sampled_from(["uint8", "float32"]), st.sampled_from([1, 2, 3, 4]), st.sampled_from([7, 16, 33, 64]))
def test_whole_networks_give_the_references_answers(
    load: Load, variant: str, seed: int, dtype: str, cut_bits: int, channels: int
) -> None:
    bundle = load(seed=seed, dtype=dtype, cut_bits=cut_bits, channels=channels)
    batch = samples(12, dtype, seed)
    reference, engine = EdgeEngine(bundle, kernel="numpy"), EdgeEngine(bundle, kernel=variant)
    full = reference.infer(batch, thresholds=[-np.inf, -np.inf])
    thresholds = [float(np.median(full.exit_scores[:, e])) + 1e-4 for e in range(2)]
    for force_cut in (False, True):
        expected = reference.infer(batch, thresholds=thresholds, force_cut=force_cut)
        found = engine.infer(batch, thresholds=thresholds, force_cut=force_cut)
        assert np.array_equal(found.exit_index, expected.exit_index)
        assert np.array_equal(found.class_index, expected.class_index)
        assert np.array_equal(found.exit_classes, expected.exit_classes)
        assert found.features == expected.features
        assert np.allclose(found.exit_scores, expected.exit_scores, rtol=1e-6, atol=1e-12, equal_nan=True)
        assert np.allclose(found.confidence, expected.confidence, rtol=1e-6)


@each_variant
@pytest.mark.parametrize("score", ["entropy", "max_probability", "margin"])
def test_scores_are_the_references_to_the_last_places(variant: str, score: Any) -> None:
    write = PlanWriter(0, (1, 1, 7), "float32")
    plan, batch = write.finish(write.pointwise(ops.Relu, (0,))), write.samples(200) * 30
    batch[3:6] = np.array([1e38, -1.0, 0.0]).reshape(3, 1, 1, 1)
    rules = [ExitRule(score, 0.7, 0.4)]
    expected, found = (
        walker.walk(batch, rules, np.ones(200, dtype=np.bool_), to_cut=True)
        for walker in (ReferenceWalker(plan), NativeWalker(plan, variant))
    )
    assert np.allclose(found.scores, expected.scores, rtol=1e-13, atol=1e-15, equal_nan=True)
    assert np.array_equal(found.exit_index, expected.exit_index)


@each_variant
@pytest.mark.parametrize(("channels", "in_place"), [(32, True), (31, False)])
def test_a_repetition_that_one_addition_reads_is_not_stored(variant: str, channels: int, in_place: bool) -> None:
    def workspace_bytes(*, bent: bool) -> int:
        write = PlanWriter(0, (16, 16, channels), "float32")
        way = write.repeat(0, 2)
        around = write.pointwise(ops.Relu, (way,)) if bent else way
        y = write.conv("binary_float", write.binarize(0), 2 * channels, (1, 1), (1, 1), (0, 0))
        plan = write.finish(write.pointwise(ops.Add, (y, around)))
        size: int = native.Plan(variant, *encode_plan(plan)).workspace_bytes
        return size

    saved = workspace_bytes(bent=True) - workspace_bytes(bent=False)
    assert (saved >= 16 * 16 * 2 * channels * 4) == in_place


@each_variant
def test_a_repetition_to_no_whole_multiple_is_refused(variant: str) -> None:
    write = PlanWriter(0, (2, 2, 6), "float32")
    write.repeat(0, 2)
    plan = write.finish(1)
    table, gains, params = encode_plan(plan)
    channels = 4 + 5 * 1 + 3  # of buffer 1
    assert table[channels] == 12
    table[channels] = 13
    with pytest.raises(ValueError, match="step 0 has tensors that do not fit"):
        native.Plan(variant, table, gains, params)


@each_variant
def test_one_walker_serves_several_threads(variant: str) -> None:
    write = PlanWriter(3, (8, 8, 40))
    x = write.conv("binary_float", write.binarize(write.normalize()), 50, (3, 3), (1, 1), (1, 1))
    walker = NativeWalker(write.finish(x), variant)
    batches = [write.samples(9) for _ in range(8)]
    rules, everyone = [ExitRule("entropy", 1.0, 0.5)], np.ones(9, dtype=np.bool_)

    def logits(batch: npt.NDArray[Any]) -> bytes:
        return walker.walk(batch, rules, everyone, to_cut=True).logits.tobytes()

    expected = [logits(batch) for batch in batches]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(logits, batches * 6)) == expected * 6


@each_variant
@settings(max_examples=min(150, MOST_EXAMPLES))
@given(st.data())
def test_an_altered_table_is_refused_or_run_but_never_crashes(
    encoded: Encoded, variant: str, data: st.DataObject
) -> None:
    table, gains, params = encoded[0].copy(), encoded[1], encoded[2]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(table) - 1))
        near = int(encoded[0][at]) + data.draw(st.integers(-2, 2))
        table[at] = data.draw(st.sampled_from([near, 0, 1, -1, 5, 31, 64, 65536, 2**31, 2**62, -(2**63)]))
    try:
        plan = native.Plan(variant, table, gains, params)
    except (ValueError, MemoryError):
        return
    count = 2
    codes, classes = plan.feature_bytes, 4
    results = [np.zeros(count, t) for t in (np.int8, np.int32, np.float32, np.bool_)]
    arrays = [np.zeros((count, 2), np.int32), np.zeros((count, 2)), np.zeros(count, np.bool_)]
    logits, features = np.zeros((count, 2, classes), np.float32), np.zeros((count, codes), np.uint8)
    rules = encode_rules([ExitRule("entropy", 1.0, 0.5)] * 2)
    try:
        plan.run(
            count, True, True, samples(count), rules, None, *results, *arrays, logits, None, features, None, None, None
        )
    except ValueError:
        return


@settings(max_examples=min(100, MOST_EXAMPLES))
@given(st.data())
def test_parameters_of_another_size_are_refused(encoded: Encoded, data: st.DataObject) -> None:
    table, gains, params = encoded[0], encoded[1], list(encoded[2])
    at = data.draw(st.integers(0, len(params) - 1))
    octets = np.ascontiguousarray(params[at]).view(np.uint8).reshape(-1)
    size = data.draw(st.integers(0, 2 * len(octets)).filter(lambda n: n != len(octets)))
    params[at] = np.resize(octets, size)
    with pytest.raises(ValueError, match=r"has parameters of another size|is not aligned|sums of a guard"):
        native.Plan(VARIANTS[-1], table, gains, params)


@pytest.mark.parametrize("broken", ["table", "gains", "params"])
def test_a_plan_with_a_part_missing_is_refused(encoded: Encoded, broken: str) -> None:
    parts = dict(zip(("table", "gains", "params"), encoded, strict=True))
    parts[broken] = parts[broken][:-1]
    with pytest.raises(ValueError, match="the table is not one of a graph"):
        native.Plan(VARIANTS[0], **parts)


def test_an_unknown_kernel_is_refused(encoded: Encoded) -> None:
    with pytest.raises(ValueError, match="this machine cannot run the kernel abacus"):
        native.Plan("abacus", *encoded)


@pytest.mark.parametrize("name", list(operands(small_plan()[0], 3)))
@pytest.mark.parametrize("change", ["shorter", "longer", "read-only"])
def test_buffers_of_another_size_are_refused(name: str, change: str) -> None:
    plan, _ = small_plan()
    walker = NativeWalker(plan, VARIANTS[0])
    given_to = operands(plan, 3)
    walker._native.run(3, True, True, *given_to.values())
    array = given_to[name].reshape(-1)
    if change == "read-only":
        if name in ("batch", "rules", "may_leave"):
            walker._native.run(3, True, True, *given_to.values())
            return
        given_to[name].flags.writeable = False
        with pytest.raises(ValueError, match=r"read-only|not writable"):
            walker._native.run(3, True, True, *given_to.values())
        return
    given_to[name] = array[:-1].copy() if change == "shorter" else np.resize(array, len(array) + 1)
    with pytest.raises(ValueError, match="bytes, not"):
        walker._native.run(3, True, True, *given_to.values())


@pytest.mark.parametrize("count", [-1, 4, 2**24 + 1, 2**62])
def test_another_number_of_samples_than_the_buffers_hold_is_refused(count: int) -> None:
    plan, _ = small_plan()
    with pytest.raises(ValueError, match=r"bytes, not|a batch of"):
        NativeWalker(plan, VARIANTS[0])._native.run(count, True, True, *operands(plan, 3).values())


@pytest.mark.parametrize("rule", [(3, 1, 0, 0), (-1, 1, 0, 0), (0, 0, 0, 0), (0, np.nan, 0, 0), (np.nan, 1, 0, 0)])
def test_an_unknown_rule_is_refused(rule: tuple[float, float, float, float]) -> None:
    plan, _ = small_plan()
    given_to = operands(plan, 3) | {"rules": np.array([rule], dtype=np.float64)}
    with pytest.raises(ValueError, match="a rule has"):
        NativeWalker(plan, VARIANTS[0])._native.run(3, True, True, *given_to.values())


def test_what_is_no_buffer_is_refused() -> None:
    plan, _ = small_plan()
    given_to = operands(plan, 3) | {"scores": [1, 2, 3]}
    with pytest.raises(TypeError):
        NativeWalker(plan, VARIANTS[0])._native.run(3, True, True, *given_to.values())


@settings(max_examples=min(60, MOST_EXAMPLES))
@given(seeds, st.integers(0, 200_000), st.integers(1, 255))
def test_an_altered_bundle_is_refused(tmp_path_factory: pytest.TempPathFactory, seed: int, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("altered")
    bundle_file.save(folder / "b.dew", *small_network(seed=seed % 3))
    content = bytearray((folder / "b.dew").read_bytes())
    content[at % len(content)] ^= flip
    (folder / "b.dew").write_bytes(content)
    try:
        loaded = bundle_file.load(folder / "b.dew")
    except BundleError:
        return
    EdgeEngine(loaded).infer(samples(2), force_cut=True)


def test_an_engine_says_so_once_where_no_kernels_were_built(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from hybrid_model.runtime import engine

    monkeypatch.delenv("DEWPOINT_KERNEL", raising=False)
    monkeypatch.setattr(engine, "KERNELS", {"numpy": ReferenceWalker})
    engine._best_kernel.cache_clear()
    bundle = load(seed=0)
    assert EdgeEngine(bundle).kernel == EdgeEngine(bundle).kernel == "numpy"
    assert [r.message for r in caplog.records if "the C kernels were not built" in r.message][1:] == []
    assert len([r for r in caplog.records if "the C kernels were not built" in r.message]) == 1
    engine._best_kernel.cache_clear()

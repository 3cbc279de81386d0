from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model import bundle as bundle_file
from hybrid_model import exits
from hybrid_model.bundle import Bundle
from hybrid_model.cut import packed_bytes, unpack_batch
from hybrid_model.runtime import EdgeEngine, EdgeResult, engine, staged
from hybrid_model.runtime.plan import build_plan
from tests.hybrid_model.small_bundle import samples, small_network

NOBODY = [-math.inf, -math.inf]
EVERYBODY = [math.inf, math.inf]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("engine")

    def make(**options: Any) -> Bundle:
        path = folder / f"{'-'.join(map(str, options.values()))}.dew"
        bundle_file.save(path, *small_network(**options))
        return bundle_file.load(path)

    return make


@pytest.fixture(scope="module")
def small(load: Any) -> Bundle:
    bundle: Bundle = load(seed=0)
    return bundle


def equal(a: EdgeResult, b: EdgeResult) -> bool:
    """Bit for bit; NaN equals NaN."""
    arrays = ("exit_index", "class_index", "confidence", "in_domain", "exit_classes", "exit_scores")
    return all(getattr(a, f).tobytes() == getattr(b, f).tobytes() for f in arrays) and a.features == b.features


def middling(bundle: Bundle, batch: npt.NDArray[Any]) -> list[float]:
    """Thresholds that let about half of the batch go at each exit."""
    full = EdgeEngine(bundle).infer(batch, thresholds=NOBODY)
    return [float(np.median(full.exit_scores[:, e])) for e in range(2)]


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uint8", "float32"]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([7, 16, 33]),
)
def test_a_staged_run_gives_what_a_full_run_gives(
    load: Any, seed: int, dtype: str, cut_bits: int, channels: int
) -> None:
    bundle = load(seed=seed, dtype=dtype, cut_bits=cut_bits, channels=channels)
    batch, engine = samples(12, dtype, seed), EdgeEngine(bundle)
    thresholds = middling(bundle, batch)
    full = engine.infer(batch, thresholds=thresholds, force_cut=True)
    part = engine.infer(batch, thresholds=thresholds)

    assert np.array_equal(part.exit_index, full.exit_index)
    assert np.array_equal(part.class_index, full.class_index)
    assert np.array_equal(part.confidence, full.confidence)
    for row, index in enumerate(part.exit_index):
        computed = index + 1 if index >= 0 else 2
        assert np.array_equal(part.exit_scores[row, :computed], full.exit_scores[row, :computed])
        assert np.array_equal(part.exit_classes[row, :computed], full.exit_classes[row, :computed])
        assert np.isnan(part.exit_scores[row, computed:]).all()
        assert (part.exit_classes[row, computed:] == -1).all()
        assert part.features[row] == (None if index >= 0 else full.features[row])
        assert len(full.features[row] or b"") == packed_bytes((4, 4, 5), cut_bits)


def test_a_sample_leaves_at_the_first_exit_whose_rule_it_meets(small: Bundle) -> None:
    batch = samples(40)
    thresholds = middling(small, batch)
    result = EdgeEngine(small).infer(batch, thresholds=thresholds, force_cut=True)
    meets = result.exit_scores < np.asarray(thresholds, dtype=np.float32)
    expected = np.where(meets.any(axis=1), meets.argmax(axis=1), -1)
    assert np.array_equal(result.exit_index, expected)
    assert set(result.exit_index.tolist()) == {-1, 0, 1}


def test_what_has_left_is_not_computed_further(small: Bundle) -> None:
    batch = samples(40)
    plan = build_plan(small)
    walker = staged.ReferenceWalker(plan)
    seen: dict[int, int] = {}
    for number, stage in enumerate(walker._kernels):
        kernel = stage[0]
        stage[0] = lambda x, n=number, k=kernel: (seen.update({n: len(x)}), k(x))[1]
    rules = [
        staged.ExitRule("entropy", e.temperature, t)
        for e, t in zip(small.manifest.exits, middling(small, batch), strict=True)
    ]
    walk = walker.walk(batch, rules, np.ones(40, dtype=bool), to_cut=False)
    left = [int((walk.exit_index == e).sum()) for e in range(2)]
    assert seen == {0: 40, 1: 40 - left[0], 2: 40 - left[0] - left[1]}


def test_answers_do_not_depend_on_the_rest_of_the_batch(small: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, thresholds = samples(30), middling(small, samples(30))
    whole = EdgeEngine(small).infer(batch, thresholds=thresholds)
    monkeypatch.setattr(engine, "_MAX_ROWS", 7)
    assert equal(whole, EdgeEngine(small).infer(batch, thresholds=thresholds))
    assert equal(whole, EdgeEngine(small, threads=3).infer(batch, thresholds=thresholds))
    alone = [EdgeEngine(small).infer(batch[i : i + 1], thresholds=thresholds) for i in range(30)]
    assert [int(r.exit_index[0]) for r in alone] == whole.exit_index.tolist()
    assert [r.features[0] for r in alone] == whole.features


def test_one_engine_serves_several_threads(small: Bundle) -> None:
    shared = EdgeEngine(small)
    batches = [samples(16, seed=s) for s in range(8)]
    expected = [EdgeEngine(small).infer(b) for b in batches]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(shared.infer, batches * 3))
    assert all(equal(a, b) for a, b in zip(made, expected * 3, strict=True))


def test_confidence_is_the_greatest_probability_at_the_exits_temperature(small: Bundle) -> None:
    batch = samples(20)
    plan = build_plan(small)
    rules = [staged.ExitRule("entropy", e.temperature, -math.inf) for e in small.manifest.exits]
    walk = staged.ReferenceWalker(plan).walk(batch, rules, np.ones(20, dtype=bool), to_cut=True)
    early = EdgeEngine(small).infer(batch, thresholds=EVERYBODY)
    assert (early.exit_index == 0).all()
    expected = exits.softmax(walk.logits[:, 0], 2.0)
    assert np.array_equal(early.confidence, expected.max(axis=1).astype(np.float32))
    assert np.array_equal(early.class_index, expected.argmax(axis=1))
    late = EdgeEngine(small).infer(batch, thresholds=NOBODY)
    assert np.array_equal(late.confidence, exits.softmax(walk.logits[:, 1], 1.0).max(axis=1).astype(np.float32))
    assert np.array_equal(late.class_index, late.exit_classes[:, 1])


@pytest.mark.parametrize("score", ["max_probability", "margin"])
def test_the_other_rules_let_the_surest_go(tmp_path: Path, score: str) -> None:
    manifest, edge, cloud = small_network()
    for described in manifest["exits"]:
        described |= {"score": score, "threshold": 0.4}
    bundle_file.save(tmp_path / "b.dew", manifest, edge, cloud)
    result = EdgeEngine(bundle_file.load(tmp_path / "b.dew")).infer(samples(40), force_cut=True)
    assert np.array_equal(result.exit_index >= 0, (result.exit_scores > 0.4).any(axis=1))
    assert (result.exit_index >= 0).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_never_leaves_and_harms_no_neighbour(load: Any, bad: float) -> None:
    bundle = load(seed=3, dtype="float32")
    clean = samples(6, "float32")
    spoilt = clean.copy()
    spoilt[2, 4, 4, 1] = bad
    result, before = (EdgeEngine(bundle).infer(x, thresholds=EVERYBODY) for x in (spoilt, clean))
    assert result.exit_index.tolist() == [0, 0, -1, 0, 0, 0]
    assert len(result.features[2] or b"") == bundle.manifest.cut.bytes
    assert np.isfinite(result.confidence).all()
    others = [0, 1, 3, 4, 5]
    assert np.array_equal(result.confidence[others], before.confidence[others])


def test_floats_of_any_size_never_crash_the_engine(load: Any) -> None:
    bundle = load(seed=4, dtype="float32")
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 2**32, (20, 8, 8, 3), dtype=np.uint32).view(np.float32)
    result = EdgeEngine(bundle).infer(batch, force_cut=True)
    assert np.isfinite(result.confidence).all()
    assert all(f is not None for f in result.features)


def test_features_are_the_packed_codes_at_the_cut(load: Any) -> None:
    bundle = load(seed=5, cut_bits=3)
    result = EdgeEngine(bundle).infer(samples(5), thresholds=NOBODY)
    codes = unpack_batch([f for f in result.features if f is not None], (4, 4, 5), 3)
    assert codes.shape == (5, 4, 4, 5)
    assert set(np.unique(codes)) <= set(range(8))
    assert len(np.unique(codes)) > 2


def test_an_empty_batch_gives_an_empty_result(small: Bundle) -> None:
    result = EdgeEngine(small, threads=2).infer(samples(0))
    assert result.exit_index.shape == (0,)
    assert result.exit_classes.shape == result.exit_scores.shape == (0, 2)
    assert result.features == []


def test_result_types_are_the_documented_ones(small: Bundle) -> None:
    result = EdgeEngine(small).infer(samples(3))
    assert [a.dtype for a in (result.exit_index, result.class_index, result.confidence)] == ["int8", "int32", "float32"]
    assert [a.dtype for a in (result.exit_classes, result.exit_scores)] == ["int32", "float32"]


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"\(N, 8, 8, 3\), not \(8, 8, 3\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), r"not \(1, 3, 8, 8\)"),
        (np.zeros((1, 8, 8, 3), np.float32), "uint8, not float32"),
        (np.zeros((1, 8, 8, 3), object), "uint8, not object"),
        ([[1, 2]], "NumPy array, not list"),
    ],
)
def test_a_batch_of_another_shape_or_type_is_refused(small: Bundle, batch: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        EdgeEngine(small).infer(batch)


def test_batches_that_are_views_in_any_order_are_taken(small: Bundle) -> None:
    batch = samples(6)
    turned = np.asfortranarray(batch)
    assert equal(EdgeEngine(small).infer(turned), EdgeEngine(small).infer(batch))
    assert equal(EdgeEngine(small).infer(batch[::-1]), EdgeEngine(small).infer(batch[::-1].copy()))


def test_the_callers_arrays_stay_as_they_are(small: Bundle) -> None:
    batch = samples(6)
    batch.flags.writeable = False
    EdgeEngine(small).infer(batch, force_cut=True)
    assert all(np.array_equal(array, small_network()[1][name]) for name, array in small.edge.items())


def test_another_number_of_thresholds_is_refused(small: Bundle) -> None:
    with pytest.raises(ValueError, match="2 exits take as many thresholds, not 1"):
        EdgeEngine(small).infer(samples(1), thresholds=[0.5])


def test_the_kernel_is_chosen_by_argument_and_environment(small: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEWPOINT_KERNEL", raising=False)
    assert EdgeEngine(small).kernel in engine.KERNELS
    monkeypatch.setenv("DEWPOINT_KERNEL", "numpy")
    assert EdgeEngine(small).kernel == "numpy"
    monkeypatch.setenv("DEWPOINT_KERNEL", "abacus")
    with pytest.raises(ValueError, match="kernel 'abacus' is not available here"):
        EdgeEngine(small)
    assert EdgeEngine(small, kernel="numpy").kernel == "numpy"


def test_an_engine_without_threads_is_refused(small: Bundle) -> None:
    with pytest.raises(ValueError, match="at least one thread"):
        EdgeEngine(small, threads=0)


@pytest.mark.parametrize("kernel", engine.KERNELS)
def test_calibration_sees_every_exit_and_everybodys_features(kernel: str, small: Bundle) -> None:
    batch = samples(300)
    running = EdgeEngine(small, kernel=kernel)
    everything = running.infer(batch, thresholds=EVERYBODY, force_cut=True)

    logits, features = running.exit_logits(batch)

    assert (logits.argmax(axis=2) == everything.exit_classes).all()
    assert features == everything.features
    for number, rule in enumerate(small.manifest.exits):
        scores = exits.score(logits[:, number], temperature=rule.temperature)
        assert np.allclose(scores, everything.exit_scores[:, number], atol=1e-6)


def test_calibration_of_no_samples_sees_nothing(small: Bundle) -> None:
    logits, features = EdgeEngine(small).exit_logits(samples(0))
    assert logits.shape == (0, 2, 4)
    assert features == []


def guarded_halfway(load: Any, batch: npt.NDArray[Any], **options: Any) -> Bundle:
    """A bundle each of whose guards takes about half of the batch in."""
    distances = EdgeEngine(load(**options)).exit_readings(batch).distances
    limits = np.median(distances, axis=0).tolist()
    bundle: Bundle = load(**options, guard_limit=limits[0])
    exits = list(bundle.manifest.exits)
    guard = exits[1].guard
    assert guard is not None
    exits[1] = exits[1].model_copy(update={"guard": guard.model_copy(update={"limit": limits[1]})})
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"exits": tuple(exits)}))


@pytest.mark.parametrize("kernel", list(engine.KERNELS))
@pytest.mark.parametrize("force_cut", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_sample_leaves_where_its_score_passes_and_the_guard_takes_it_in(
    load: Any, kernel: str, force_cut: bool, threads: int
) -> None:
    batch = samples(40)
    bundle = guarded_halfway(load, batch, seed=4)
    thresholds = middling(bundle, batch)
    engine = EdgeEngine(bundle, kernel=kernel, threads=threads)
    read = engine.exit_readings(batch)
    scores = engine.infer(batch, thresholds=NOBODY).exit_scores
    passes = scores < np.array(thresholds)
    assert 0 < read.in_domain[:, 0].sum() < 40
    for guard, leaves in ((True, passes & read.in_domain), (False, passes)):
        found = engine.infer(batch, thresholds=thresholds, guard=guard, force_cut=force_cut)
        expected = np.where(leaves.any(axis=1), leaves.argmax(axis=1), -1)
        assert np.array_equal(found.exit_index, expected)
        told_by = np.where(expected >= 0, expected, 1)
        assert np.array_equal(found.in_domain, read.in_domain[np.arange(40), told_by])
        assert np.array_equal(found.class_index, found.exit_classes[np.arange(40), told_by])
        if guard:
            assert found.in_domain[expected >= 0].all()


def test_every_kernel_measures_the_same_distances(load: Any) -> None:
    bundle, batch = load(seed=0), samples(30)
    first, *others = [EdgeEngine(bundle, kernel=kernel).exit_readings(batch) for kernel in engine.KERNELS]
    assert (first.distances > 0).all()
    for other in others:
        assert other.distances.tobytes() == first.distances.tobytes()
        assert np.array_equal(other.in_domain, first.in_domain)


def test_a_distance_is_the_one_that_its_formula_says(load: Any) -> None:
    bundle, batch = load(seed=0), samples(5)
    engine = EdgeEngine(bundle, kernel="numpy")
    sums, logits = engine.guard_sums(batch)
    assert sums.shape == (5, 20 + 40)
    for number, part in enumerate((sums[:, :20], sums[:, 20:])):
        weight, scale, mean = (bundle.edge[f"guard.{number}.{role}"] for role in ("weight", "scale", "mean"))
        apart = (part @ weight.astype(np.int64)) * scale.astype(np.float64) - mean[logits[:, number].argmax(axis=1)]
        assert engine.exit_readings(batch).distances[:, number] == pytest.approx((apart**2).sum(axis=1), rel=1e-5)


@pytest.mark.parametrize("kernel", list(engine.KERNELS))
def test_what_is_not_finite_is_not_in_the_domain_of_a_guard(load: Any, kernel: str) -> None:
    batch = samples(4, "float32")
    batch[1, 2, 3, 0], batch[3, 0, 0, 0] = np.nan, np.inf
    told = EdgeEngine(load(seed=0, dtype="float32"), kernel=kernel).infer(batch, thresholds=NOBODY)
    assert told.in_domain.tolist() == [True, False, True, False]
    bare = EdgeEngine(load(seed=0, dtype="float32", guard_limit=None), kernel=kernel).infer(batch, thresholds=NOBODY)
    assert bare.in_domain.all()


@pytest.mark.parametrize("kernel", list(engine.KERNELS))
def test_without_a_guard_every_sample_counts_as_in_the_domain(load: Any, kernel: str) -> None:
    batch = samples(10)
    guarded, bare = (EdgeEngine(load(seed=0, **how), kernel=kernel) for how in ({}, {"guard_limit": None}))
    assert equal(guarded.infer(batch), bare.infer(batch))
    assert (bare.exit_readings(batch).distances == 0).all()
    assert bare.exit_readings(batch).in_domain.all()

"""Explanations: what each exit thought, and which parts of the input its score hangs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from hybrid_model import bundle, exits
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.explanation import Engine, explain
from hybrid_model.runtime import EdgeEngine, EdgeResult
from hybrid_model.runtime.engine import KERNELS
from tests.hybrid_model.small_bundle import samples, small_network


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    """Two exits."""
    return loaded(tmp_path)


def loaded(folder: Path, **options: Any) -> Bundle:
    bundle.save(folder / "small.dew", *small_network(**options))
    return bundle.load(folder / "small.dew")


class OneWindow:
    """An engine whose single exit looks at one part of the input alone: the greater its mean, the surer it is."""

    def __init__(self, rows: slice, columns: slice) -> None:
        self.where, self.sizes = (slice(None), rows, columns), list[int]()

    def exit_logits(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        self.sizes.append(len(batch))
        brightness = batch[self.where].mean(axis=(1, 2, 3), dtype=np.float32) / 64
        logits = np.stack([brightness, np.zeros_like(brightness)], axis=1)
        return logits[:, np.newaxis], [b""] * len(batch)

    def infer(
        self, batch: npt.NDArray[Any], *, thresholds: Any = None, guard: bool = True, force_cut: bool = False
    ) -> EdgeResult:
        logits = self.exit_logits(batch)[0][:, 0]
        return EdgeResult(
            exit_index=np.full(len(batch), -1, np.int8),
            class_index=logits.argmax(axis=1).astype(np.int32),
            confidence=exits.softmax(logits).max(axis=1).astype(np.float32),
            in_domain=np.ones(len(batch), np.bool_),
            exit_classes=logits.argmax(axis=1).astype(np.int32)[:, np.newaxis],
            exit_scores=exits.score(logits).astype(np.float32)[:, np.newaxis],
            features=[b""] * len(batch),
        )


def manifest_of(shape: tuple[int, int, int], dtype: str = "uint8") -> Manifest:
    digits = bundle.load(bundle.resolve("digits")).manifest
    kind = "sensor" if shape[0] == 1 else "image"
    return digits.model_copy(
        update={"input": digits.input.model_copy(update={"shape": shape, "dtype": dtype, "kind": kind})}
    )


def test_the_exits_are_told_as_the_engine_decides_them(small: Bundle) -> None:
    engine = EdgeEngine(small)
    for sample in samples(20):
        found = explain(engine, small.manifest, sample)
        result = engine.infer(sample[np.newaxis], force_cut=True)
        assert found.exit_index == result.exit_index[0]
        for number, one in enumerate(found.exits):
            described = small.manifest.exits[number]
            assert (one.exit, one.class_index) == (number, result.exit_classes[0, number])
            assert one.score == pytest.approx(result.exit_scores[0, number])
            assert one.threshold == described.threshold
            assert one.confidence == one.probabilities.max() == one.probabilities[one.class_index]
            assert one.probabilities.sum() == pytest.approx(1)
        answering = found.exits[found.exit_index]
        assert answering.confidence == pytest.approx(result.confidence[0])
        assert next((one.exit for one in found.exits if one.leaves), -1) == found.exit_index


def test_the_decision_is_by_the_thresholds_in_force(small: Bundle) -> None:
    engine, sample = EdgeEngine(small), samples(1)[0]
    for thresholds, left_at, may_leave in (
        ([-1.0, -1.0], -1, [False, False]),
        ([-1.0, 9.0], 1, [False, True]),
        ([9.0, 9.0], 0, [True, True]),
    ):
        found = explain(engine, small.manifest, sample, thresholds=thresholds)
        assert found.exit_index == left_at
        assert [one.leaves for one in found.exits] == may_leave
        assert [one.threshold for one in found.exits] == thresholds
        assert found.occlusion.exit == (left_at if left_at >= 0 else 1)


def test_a_sample_that_is_not_in_the_domain_is_told_so_and_does_not_leave(tmp_path: Path) -> None:
    bundle.save(tmp_path / "strict.dew", *small_network(guard_limit=0.0))
    strict, sample = bundle.load(tmp_path / "strict.dew"), samples(1)[0]
    for guard, left_at in ((True, -1), (False, 0)):
        found = explain(EdgeEngine(strict), strict.manifest, sample, thresholds=[9.0, 9.0], guard=guard)
        assert not found.in_domain
        assert found.exit_index == left_at
        assert found.exits[0].leaves is (left_at == 0)


def test_the_map_is_the_change_of_the_score_when_a_patch_is_covered_by_the_mean(small: Bundle) -> None:
    engine, sample = EdgeEngine(small), samples(1)[0]
    found = explain(engine, small.manifest, sample, exit_index=0).occlusion
    assert (found.cell, found.patch, found.change.shape) == ((1, 1), (3, 3), (8, 8))
    covered = sample.copy()
    covered[2:5, 5:8] = np.rint(sample.mean(axis=(0, 1)))
    before, after = (engine.infer(x[np.newaxis], force_cut=True).exit_scores[0, 0] for x in (sample, covered))
    assert found.change[3, 6] == pytest.approx(after - before, abs=1e-5)
    corner = sample.copy()
    corner[0:2, 0:2] = np.rint(sample.mean(axis=(0, 1)))
    after = engine.infer(corner[np.newaxis], force_cut=True).exit_scores[0, 0]
    assert found.change[0, 0] == pytest.approx(after - before, abs=1e-5)


def test_the_map_finds_the_part_that_the_exit_looks_at() -> None:
    engine, sample = OneWindow(slice(8, 12), slice(20, 24)), np.full((32, 32, 3), 40, np.uint8)
    sample[8:12, 20:24] = 250
    found = explain(cast(Engine, engine), manifest_of((32, 32, 3)), sample).occlusion
    assert (found.cell, found.change.shape) == ((2, 2), (16, 16))
    looked_at = np.zeros((16, 16), dtype=bool)
    looked_at[3:7, 9:13] = True  # cells whose patch of 6 x 6 pixels touches the part
    assert (found.surer[looked_at] < 0).all()  # without it the exit is less sure: its entropy rises
    assert (found.change[looked_at] > 0).all()
    assert (found.change[~looked_at] == 0).all()


def test_a_window_is_cut_into_segments_of_time() -> None:
    engine, window = OneWindow(slice(0, 1), slice(60, 64)), np.full((1, 128, 9), -1, np.float32)
    window[0, 60:64] = 300
    found = explain(cast(Engine, engine), manifest_of((1, 128, 9), "float32"), window).occlusion
    assert (found.cell, found.patch, found.change.shape) == ((1, 2), (1, 6), (1, 64))
    assert np.flatnonzero(found.change[0]).tolist() == [29, 30, 31, 32]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 32), (224, 224), (480, 640), (3, 1000), (1, 7), (1, 4097)])
def test_the_number_of_covered_inputs_is_bounded_and_they_cover_all(height: int, width: int) -> None:
    engine, sample = OneWindow(slice(0, height), slice(0, width)), np.zeros((height, width, 1), np.uint8)
    found = explain(cast(Engine, engine), manifest_of((height, width, 1)), sample).occlusion
    rows, columns = found.change.shape
    assert rows * columns <= (64 if height == 1 else 256)
    assert (rows - 1) * found.cell[0] < height <= rows * found.cell[0]
    assert (columns - 1) * found.cell[1] < width <= columns * found.cell[1]
    assert max(engine.sizes) <= 32


@pytest.mark.parametrize("name", ["digits", "har"])
def test_all_kernels_explain_alike(name: str) -> None:
    network = bundle.load(bundle.resolve(name))
    shape, rng = network.manifest.input.shape, np.random.default_rng(3)
    sample = rng.integers(0, 256, shape, dtype=np.uint8) if name == "digits" else rng.normal(size=shape).astype("f4")
    found = [
        explain(EdgeEngine(network, kernel=kernel), network.manifest, sample, cells_max=16).occlusion.change
        for kernel in KERNELS
    ]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=1e-4)


def test_an_input_that_is_not_finite_never_leaves_and_has_no_confidence(tmp_path: Path) -> None:
    small = loaded(tmp_path, dtype="float32")
    sample = samples(1, "float32")[0]
    sample[0, 0, 0] = np.inf
    found = explain(EdgeEngine(small), small.manifest, sample, thresholds=[9.0, 9.0])
    assert found.exit_index == -1
    assert not any(one.leaves for one in found.exits)


def test_what_cannot_be_explained_is_told(small: Bundle) -> None:
    engine, sample = EdgeEngine(small), samples(1)[0]
    with pytest.raises(ValueError, match="shape"):
        explain(engine, small.manifest, sample[:4])
    with pytest.raises(ValueError, match="2 exits take as many thresholds"):
        explain(engine, small.manifest, sample, thresholds=[0.5])
    with pytest.raises(ValueError, match="no exit 2"):
        explain(engine, small.manifest, sample, exit_index=2)
    with pytest.raises(ValueError, match="at least one cell"):
        explain(engine, small.manifest, sample, cells_max=0)

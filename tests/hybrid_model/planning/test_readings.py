"""What is chosen for own readings: networks that can be built for any window, and trained in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hybrid_model.data import Dataset, Split
from hybrid_model.data.readings import OwnReadings, ReadingsForm
from hybrid_model.data.readings.length import chosen_length, stem_stride
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.edge_graph import edge_graph
from hybrid_model.planning import PlanningError, edge_bytes, plan_readings
from hybrid_model.planning.readings import in_triples

NAMES = ("acc_x", "acc_y", "acc_z")


def own(
    *, length: int = 128, channels: tuple[str, ...] = NAMES, counts: tuple[int, ...] = (600, 600), rate_hz: float = 50.0
) -> OwnReadings:
    """Windows of noise around 5, as many of each class as `counts` says."""
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.random.default_rng(0).normal(5.0, 2.0, (len(y), 1, length, len(channels))).astype(np.float32)
    split = Split(x=x, y=y)
    few = split.take(np.arange(5))
    classes = tuple(f"class {number}" for number in range(len(counts)))
    form = ReadingsForm("device", "time", "s", "label", channels, length, length // 2, rate_hz, False, "device")
    return OwnReadings(
        dataset=Dataset("gym", classes, "sensor", split, few, few, few, channels=channels, rate_hz=rate_hz),
        sources={},
        digests={},
        form=form,
    )


def value(of: OwnReadings, name: str, **wishes: Any) -> str:
    return next(choice.value for choice in plan_readings(of, **wishes).choices if choice.name == name)


@pytest.mark.parametrize("length", [8, 12, 24, 32, 48, 128, 256, 1024, 2048, 16_384])
def test_a_network_is_built_for_windows_of_any_length(length: int) -> None:
    recipe = plan_readings(own(length=length, channels=("c",), counts=(30, 30))).recipe
    network = HybridNetwork(recipe.build()).eval()
    edge_graph(network)
    assert network.cut_shape[1] * 4 * stem_stride(length) == length


def test_every_window_that_is_asked_for_is_brought_to_a_length_that_can_be_halved_twice() -> None:
    for wanted in (*range(8, 200), 500, 999, 1000, 5000):
        length, hop, told = chosen_length([], 1.0, float(wanted), None)
        assert length % (4 * stem_stride(length)) == 0
        assert abs(length - wanted) <= 0.2 * wanted
        assert hop == length // 2
        assert f"windows of {length} readings" in told


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("classes", [2, 50])
def test_a_network_is_built_for_any_number_of_channels_and_classes(channels: int, classes: int) -> None:
    some = own(channels=tuple(f"c{n}" for n in range(channels)), counts=(12,) * classes)
    arch = plan_readings(some).recipe.build()
    assert (arch.input_shape, arch.classes) == ((1, 128, channels), classes)


def test_channels_are_scaled_by_the_training_windows() -> None:
    some = own()
    some.dataset.train.x[..., 1] = 7.0
    arch = plan_readings(some).recipe.build()
    assert arch.zero_point == pytest.approx((5.0, 7.0, 5.0), abs=0.05)
    assert arch.scale == pytest.approx((0.5, 1.0, 0.5), abs=0.01)


def test_a_run_is_over_after_its_minutes_and_sooner_where_that_suffices() -> None:
    schedule = plan_readings(own(), minutes=3).recipe.schedule
    assert schedule.epochs_max is not None
    assert schedule.epochs_max * (1200 // 64) >= 1500
    assert plan_readings(own(counts=(64 * 500, 64 * 500), length=8, channels=("c",))).recipe.schedule.epochs_max == 16


def test_few_windows_have_small_batches_and_a_narrow_network() -> None:
    few = plan_readings(own(counts=(30, 40))).recipe
    assert few.schedule.batch_size == 8
    assert few.architecture["stem_channels"] == 32
    assert plan_readings(own()).recipe.architecture["stem_channels"] == 64


def test_rare_classes_count_more_by_the_square_root() -> None:
    weights = plan_readings(own(counts=(900, 100))).recipe.losses.class_weights
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx(3.0, rel=1e-3)
    assert (900 * weights[0] + 100 * weights[1]) / 1000 == pytest.approx(1.0, rel=1e-3)
    assert plan_readings(own(counts=(600, 500))).recipe.losses.class_weights == ()


def test_only_channels_that_are_named_as_triples_are_turned() -> None:
    assert in_triples(("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"))
    assert in_triples(("x", "y", "z"))
    assert in_triples(("accX", "accY", "accZ"))
    assert not in_triples(("acc_x", "acc_z", "acc_y"))
    assert not in_triples(("a_x", "b_y", "c_z"))
    assert not in_triples(("acc_x", "acc_y"))
    assert plan_readings(own()).recipe.augmentation == "inertial"
    assert plan_readings(own(channels=("a", "b", "c"))).recipe.augmentation == "sensor"
    assert plan_readings(own(), triples=False).recipe.augmentation == "sensor"
    assert plan_readings(own(channels=("a", "b", "c")), triples=True).recipe.augmentation == "inertial"
    with pytest.raises(PlanningError, match="2 channels are no triples"):
        plan_readings(own(channels=("a", "b")), triples=True)


def test_an_edge_half_is_as_small_as_it_has_to_be() -> None:
    wide, narrow = (plan_readings(own(), edge_kb=kb).recipe for kb in (None, 30.0))
    assert edge_bytes(narrow) <= 30_000 < edge_bytes(wide)
    with pytest.raises(PlanningError, match=r"no edge half fits into 1 kB; the smallest takes"):
        plan_readings(own(), edge_kb=1.0)


def test_other_readings_begin_a_run_of_their_own() -> None:
    first, second = own(), own()
    second.dataset.train.x[0, 0, 0, 0] += 1
    assert plan_readings(first).recipe.fingerprint() != plan_readings(second).recipe.fingerprint()


def test_every_choice_has_a_reason() -> None:
    assert all(choice.reason for choice in plan_readings(own()).choices)
    assert value(own(), "window") == "128 readings, 2.56 s"

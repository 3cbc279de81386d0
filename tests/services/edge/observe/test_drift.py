"""The drift alert in simulated time: the worker's own gauges, the deployed rule, the rates of the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from hybrid_model import bundle, data
from hybrid_model.runtime import EdgeEngine
from services.edge.observe.drift import DriftGauges
from services.metrics import OTHER_DEVICE, DeviceNames, EdgeMetrics
from services.sources.degrade import Degradation

DEVICES = [f"camera-{number + 1}" for number in range(5)]
FOGGY = DEVICES[-1]
PROMETHEUS = Path(__file__).parents[4] / "deploy" / "prometheus"
NETWORKS = ["digits", pytest.param("cifar10", marks=pytest.mark.data)]


@dataclass(frozen=True)
class Alert:
    """The rule as it is deployed: psi above threshold, for so long, looked at so often."""

    for_s: float
    every_s: float

    @classmethod
    def deployed(cls) -> Alert:
        rules = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())
        every = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["evaluation_interval"]
        [found] = [
            rule
            for group in rules["groups"]
            for rule in group["rules"]
            if rule.get("expr", "").strip() == "dewpoint_drift_psi > dewpoint_drift_psi_threshold"
        ]
        return cls(_seconds(found["for"]), _seconds(every))


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


@cache
def scores(name: str, spoilt_by: str | None = None) -> np.ndarray:
    """First-exit scores (N,) of the test split's samples, as the engine gives them."""
    loaded = bundle.load(bundle.resolve(name))
    x = data.load(name).test.x
    x = x[np.random.default_rng(0).permutation(len(x))[:2000]]
    if spoilt_by is not None:
        x = Degradation.parse(spoilt_by).pictures(x)
    engine = EdgeEngine(loaded)
    found: np.ndarray = np.concatenate(
        [engine.infer(x[start : start + 250]).exit_scores[:, 0] for start in range(0, len(x), 250)]
    )
    return found


class Simulation:
    """Five devices that send random samples of a test split, an edge worker's gauges, and who watches them."""

    def __init__(self, name: str, *, seed: int = 0) -> None:
        self.alert, self.metrics = Alert.deployed(), EdgeMetrics()
        self.gauges = DriftGauges(
            manifest=bundle.load(bundle.resolve(name)).manifest, metrics=self.metrics, devices=DeviceNames(10)
        )
        self.pools = {device: scores(name) for device in DEVICES}
        self.random, self.now_s = np.random.default_rng(seed), 0.0
        self.pending_since: dict[str, float] = {}

    def run(self, seconds: float, *, rate_hz: float) -> dict[str, float]:
        """Firing devices, and after how many seconds of this run each fired first."""
        fired: dict[str, float] = {}
        begun, each = self.now_s, int(rate_hz / len(DEVICES) * self.alert.every_s)
        while self.now_s < begun + seconds:
            self.now_s += self.alert.every_s
            for device, pool in self.pools.items():
                batch = SimpleNamespace(exit_scores=self.random.choice(pool, (each, 1)))
                self.gauges.add([device] * each, batch)  # type: ignore[arg-type]
            self.gauges.show()
            for device in DEVICES:
                if self.fires(device) and device not in fired:
                    fired[device] = self.now_s - begun
        return fired

    def fires(self, device: str) -> bool:
        psi, threshold = self.value("drift_psi", device), self.value("drift_psi_threshold", device)
        if psi is None or threshold is None or psi <= threshold:
            self.pending_since.pop(device, None)
            return False
        return self.now_s - self.pending_since.setdefault(device, self.now_s) >= self.alert.for_s

    def value(self, name: str, device: str) -> float | None:
        [family] = getattr(self.metrics, name).collect()  # the whole registry would take long
        return {one.labels["device"]: one.value for one in family.samples}.get(device)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rate_hz", [250, 25])
def test_in_thirty_clean_minutes_of_five_devices_no_alert_fires(name: str, rate_hz: float) -> None:
    simulation = Simulation(name)
    assert simulation.run(30 * 60, rate_hz=rate_hz) == {}
    assert simulation.value("drift_samples", DEVICES[0]) == 400
    assert simulation.value("drift_psi", DEVICES[0]) is not None


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rate_hz", [250, 100])
def test_fog_fires_within_a_minute_and_for_the_foggy_device_alone(name: str, rate_hz: float) -> None:
    simulation = Simulation(name)
    assert simulation.run(300, rate_hz=rate_hz) == {}
    simulation.pools[FOGGY] = scores(name, "fog")
    fired = simulation.run(120, rate_hz=rate_hz)
    assert fired.keys() == {FOGGY}
    assert fired[FOGGY] <= 60
    simulation.pools[FOGGY] = scores(name)
    simulation.run(60, rate_hz=rate_hz)
    assert not simulation.fires(FOGGY), "it ends when the fog has lifted"


def test_below_two_hundred_samples_there_is_no_index_to_fire_by() -> None:
    simulation = Simulation("digits")
    simulation.pools = {device: np.full(100, 2.3, np.float32) for device in DEVICES}
    assert simulation.run(60, rate_hz=5 * 3) == {}
    assert simulation.value("drift_samples", FOGGY) == 180
    assert simulation.value("drift_psi", FOGGY) is None


def test_devices_beyond_the_bound_share_one_index() -> None:
    metrics = EdgeMetrics()
    gauges = DriftGauges(
        manifest=bundle.load(bundle.resolve("digits")).manifest, metrics=metrics, devices=DeviceNames(1)
    )
    for device in ("first", "second", "third"):
        gauges.add([device] * 100, SimpleNamespace(exit_scores=np.zeros((100, 1), np.float32)))  # type: ignore[arg-type]
    gauges.show()
    shown = {device: metrics.registry.get_sample_value("dewpoint_drift_samples", {"device": device})
             for device in ("first", "second", "third", OTHER_DEVICE)}  # fmt: skip
    assert shown == {"first": 100, "second": None, "third": None, OTHER_DEVICE: 200}


def test_a_bundle_without_calibration_has_no_gauges() -> None:
    metrics = EdgeMetrics()
    manifest = bundle.load(bundle.resolve("digits")).manifest.model_copy(update={"calibration": None})
    gauges = DriftGauges(manifest=manifest, metrics=metrics, devices=DeviceNames(1))
    gauges.add(["cam"], SimpleNamespace(exit_scores=np.zeros((1, 1))))  # type: ignore[arg-type]
    gauges.show()
    assert metrics.registry.get_sample_value("dewpoint_drift_samples", {"device": "cam"}) is None


def test_what_goes_wrong_with_drift_stops_no_worker() -> None:
    gauges = DriftGauges(
        manifest=bundle.load(bundle.resolve("digits")).manifest, metrics=EdgeMetrics(), devices=DeviceNames(1)
    )
    broken: Any = SimpleNamespace(exit_scores=None)
    gauges.add(["cam"], broken)
    gauges.show()

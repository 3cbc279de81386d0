"""A budget of latency while one of two cloud workers is killed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.control.plant import Camera, Look, Plant
from tests.control.windows import WINDOW_S, Window, at, escalated_shares, p99s_ms

#: What rises at the base is this part of what both workers can answer.
_LOAD = 0.8
_SHARE_AT_BASE = 0.375
_RATE_MAX_HZ = 400.0
_FLOOD_HZ = 200.0


@dataclass(frozen=True)
class Options:
    """`flood_s`: how long the workers' speed is measured; `budget_ms`: of 99 of 100 final labels."""

    network: str = "cifar10"
    budget_ms: float = 1500.0
    flood_s: float = 15.0
    settle_s: float = 30.0
    before_s: float = 30.0
    after_s: float = 120.0
    batch_max: int = 4


@dataclass(frozen=True)
class Seen:
    """What a run left to draw."""

    looks: list[Look]
    p99_ms: list[Window]
    killed_s: float
    end_s: float


def run(options: Options, folder: Path) -> tuple[dict[str, Any], Seen]:
    """Run it. The figures, and what was seen of it from moment to moment."""
    cloud = {"batch_max": options.batch_max, "lease_s": 5.0}
    (folder / "flood").mkdir()
    (folder / "budget").mkdir()
    per_s = _answered_by_both(options, folder / "flood", cloud)
    rate_hz = min(_RATE_MAX_HZ, _LOAD * per_s / _SHARE_AT_BASE)
    control = {"mode": "budget", "budget": "latency_p99_ms", "value": options.budget_ms, "allow_uncalibrated": True}
    with Plant(folder / "budget", network=options.network, control=control, clouds=2, cloud=cloud) as plant:
        with Camera(plant.link, options.network, rate_hz):
            plant.begin()
            killed_s = options.settle_s + options.before_s
            plant.watch(killed_s)
            plant.clouds[0].kill()
            plant.watch(killed_s + options.after_s)
        looks, finals = plant.looks, list(plant.finals)
    end_s = killed_s + options.after_s
    before, after = p99s_ms(finals, options.settle_s, killed_s), p99s_ms(finals, killed_s, end_s)
    shares = escalated_shares(looks, options.settle_s, killed_s), escalated_shares(looks, killed_s, end_s)
    sliding = p99s_ms(finals, 0.0, end_s, every_s=1.0)
    worst = max(one.value for one in sliding if one.end_s > killed_s)
    late = [one.end_s for one in sliding if one.end_s > killed_s and one.value > options.budget_ms]
    return {
        "network": options.network,
        "budget_ms": options.budget_ms,
        "cloud_batch_max": options.batch_max,
        "answered_by_both_workers_per_s": round(per_s, 1),
        "samples_per_s": round(rate_hz, 1),
        "killed_s": killed_s,
        "p99_ms_before": [round(one.value) for one in before],
        "p99_ms_after": [round(one.value) for one in after],
        "p99_ms_worst": round(worst),
        "last_window_over_budget_ends_after_s": round(max(late) - killed_s, 1) if late else 0.0,
        "rose_per_s_before": round(_rose_per_s(looks, options.settle_s, killed_s), 1),
        "answered_per_s_after": round(_answered_per_s(looks, killed_s, end_s), 1),
        "share_before": [round(one.value, 3) for one in shares[0]],
        "share_after": [round(one.value, 3) for one in shares[1]],
        "window_s": WINDOW_S,
        "timeline": [asdict(one) for one in looks],
    }, Seen(looks, sliding, killed_s, end_s)


def _rose_per_s(looks: list[Look], begin_s: float, end_s: float) -> float:
    first, last = at(looks, begin_s), at(looks, end_s)
    rose = last.samples - first.samples - (last.confident - first.confident)
    return rose / (last.seconds - first.seconds)


def _answered_per_s(looks: list[Look], begin_s: float, end_s: float) -> float:
    first, last = at(looks, begin_s), at(looks, end_s)
    return (last.by_cloud - first.by_cloud) / (last.seconds - first.seconds)


def _answered_by_both(options: Options, folder: Path, cloud: dict[str, Any]) -> float:
    """How many hard samples two cloud workers answer in a second when more than that rise."""
    control = {"point": 0, "allow_uncalibrated": True}
    with Plant(folder, network=options.network, control=control, clouds=2, cloud=cloud) as plant:
        with Camera(plant.link, options.network, _FLOOD_HZ):
            plant.begin()
            plant.watch(5.0)
            first = plant.looks[-1]
            plant.watch(5.0 + options.flood_s)
        last = plant.looks[-1]
    return (last.by_cloud - first.by_cloud) / (last.seconds - first.seconds)

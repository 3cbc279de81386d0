"""A budget of escalations while the camera's picture goes out of focus half-way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.sources.degrade import Degradation
from tests.control.plant import Camera, Look, Plant
from tests.control.windows import WINDOW_S, escalated_shares


@dataclass(frozen=True)
class Options:
    """`settle_s`: before what is measured; then `before_s` of clear pictures and `after_s` of blurred ones."""

    network: str = "cifar10"
    share: float = 0.2
    rate_hz: float = 250.0
    settle_s: float = 30.0
    before_s: float = 40.0
    after_s: float = 120.0
    blur: float = 0.7


def run(options: Options, folder: Path) -> tuple[dict[str, Any], list[Look]]:
    """Run it. The figures, and what was seen of it from moment to moment."""
    control = {"mode": "budget", "budget": "escalated_share", "value": options.share, "allow_uncalibrated": True}
    blur = Degradation("blur", options.blur)
    with Plant(folder, network=options.network, control=control, clouds=1) as plant:
        with Camera(plant.link, options.network, options.rate_hz, blur) as camera:
            plant.begin()
            plant.watch(options.settle_s)
            turned_s = options.settle_s + options.before_s
            plant.watch(turned_s)
            camera.blurred = True
            plant.watch(turned_s + options.after_s)
        looks = plant.looks
    end_s = turned_s + options.after_s
    before = escalated_shares(looks, options.settle_s, turned_s)
    after = escalated_shares(looks, turned_s, end_s)
    samples = looks[-1].samples - looks[0].samples
    back = next((one.end_s - turned_s for one in after if abs(one.value - options.share) <= 0.02), None)
    seconds = escalated_shares(looks, turned_s, turned_s + 10, step_s=1.0)
    return {
        "network": options.network,
        "budget": options.share,
        "blur": options.blur,
        "samples_per_s": round(samples / (looks[-1].seconds - looks[0].seconds), 1),
        "turned_hard_s": turned_s,
        "share_before": [round(one.value, 4) for one in before],
        "share_after": [round(one.value, 4) for one in after],
        "share_of_the_worst_second": round(max(one.value for one in seconds), 4),
        "within_2_points_after_s": back,
        "window_20_to_30_s": round(after[2].value, 4),
        "largest_deviation_later": round(max(abs(one.value - options.share) for one in after[3:]), 4),
        "window_s": WINDOW_S,
        "timeline": [asdict(one) for one in looks],
    }, looks

"""The figures of the page, added up over the workers' metrics: each equals the counters that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.console.collect.increments import spent_j
from services.console.collect.metrics_page import MetricsPage

__all__ = ["DeviceFigures", "SiteFigures", "device_figures", "site_figures"]

DEVICES_MAX = 1000


@dataclass(frozen=True, slots=True)
class SiteFigures:
    """Since the workers began.

    Attributes:
        finals: `exits_total`.
        confident: `exits_total{reason="confident"}`.
        cloud: `exits_total{exit="cloud"}` without the reused.
        reused: `exits_total{reason="reused"}`: of these the cloud's answer to another sample was taken.
        rate_limited: `exits_total{reason="rate_limited"}`.
        provisionals: `provisionals_total`.
        corrected: `corrections_total`.
        samples: `samples_received_total`.
        dropped: `drops_total`.
        energy_j, baseline_j: `energy_joules_total` with the cloud's and the audits', and
            `energy_baseline_joules_total`.
        queue: The greatest `queue_depth` that any worker tells.
        queue_age_s: Likewise.
        dead_letters: `cloud_dead_letters`, the greatest of each network.
        selected, audited, disagreed: `audits_selected_total`, `cloud_audited_total` and `cloud_disagreed_total`.
    """

    finals: int = 0
    confident: int = 0
    cloud: int = 0
    reused: int = 0
    rate_limited: int = 0
    provisionals: int = 0
    corrected: int = 0
    samples: int = 0
    dropped: int = 0
    energy_j: float = 0.0
    baseline_j: float = 0.0
    queue: int = 0
    queue_age_s: float = 0.0
    dead_letters: int = 0
    selected: int = 0
    audited: int = 0
    disagreed: int = 0

    @property
    def edge_share(self) -> float | None:
        """Finals that left at an exit of the edge, of all."""
        return self.confident / self.finals if self.finals else None

    @property
    def corrected_share(self) -> float | None:
        """Finals that differ from the edge's own label, of those with an answer of the cloud, reused or not."""
        answers = self.cloud + self.reused
        return self.corrected / answers if answers else None

    @property
    def reduction(self) -> float | None:
        """How many times less energy than if the full-precision twin had answered all in the cloud (estimate)."""
        return self.baseline_j / self.energy_j if self.energy_j and self.baseline_j else None


def site_figures(pages: Iterable[MetricsPage]) -> SiteFigures:
    """The figures of the whole site, from the last page of each worker."""
    all_pages = list(pages)

    def total(name: str, **labels: str) -> int:
        return round(sum(page.sum(name, **labels) for page in all_pages))

    def greatest(*names: str) -> float:
        return max((value for page in all_pages for name in names for _, value in page.each(name)), default=0.0)

    letters: dict[str, float] = {}
    for page in all_pages:
        for network, count in page.by("network", "cloud_dead_letters").items():
            letters[network] = max(count, letters.get(network, 0.0))
    return SiteFigures(
        finals=total("exits_total"),
        confident=total("exits_total", reason="confident"),
        cloud=total("exits_total", exit="cloud") - total("exits_total", reason="reused"),
        reused=total("exits_total", reason="reused"),
        rate_limited=total("exits_total", reason="rate_limited"),
        provisionals=total("provisionals_total"),
        corrected=total("corrections_total"),
        samples=total("samples_received_total"),
        dropped=total("drops_total"),
        energy_j=sum(spent_j(page) for page in all_pages),
        baseline_j=sum(page.sum("energy_baseline_joules_total") for page in all_pages),
        queue=round(greatest("queue_depth", "cloud_queue_depth")),
        queue_age_s=greatest("queue_oldest_age_seconds", "cloud_queue_oldest_age_seconds"),
        dead_letters=round(sum(letters.values())),
        selected=total("audits_selected_total"),
        audited=total("cloud_audited_total"),
        disagreed=total("cloud_disagreed_total"),
    )


@dataclass(slots=True)
class DeviceFigures:
    """One device since the workers began. `last_seen` is epoch seconds, `drift` a population stability index.

    `drift_threshold`: above it the device has drifted. None where no worker tells.
    """

    name: str
    finals: int = 0
    confident: int = 0
    corrected: int = 0
    last_seen: float | None = None
    drift: float | None = None
    drift_threshold: float | None = None

    @property
    def edge_share(self) -> float | None:
        """Finals that left at an exit of the edge, of all."""
        return self.confident / self.finals if self.finals else None

    @property
    def drifted(self) -> bool:
        """Whether its drift is above the threshold."""
        return self.drift is not None and self.drift_threshold is not None and self.drift > self.drift_threshold


def device_figures(pages: Iterable[MetricsPage]) -> list[DeviceFigures]:
    """All devices, by name, at most a thousand."""
    found: dict[str, DeviceFigures] = {}

    def of(name: str) -> DeviceFigures:
        if name not in found and len(found) >= DEVICES_MAX:
            return DeviceFigures(name)  # counted for nobody
        return found.setdefault(name, DeviceFigures(name))

    for page in pages:
        for labels, value in page.each("exits_total"):
            device = of(labels.get("device", ""))
            device.finals += round(value)
            device.confident += round(value) if labels.get("reason") == "confident" else 0
        for name, value in page.by("device", "corrections_total").items():
            of(name).corrected += round(value)
        for name, value in page.by("device", "last_seen_timestamp_seconds").items():
            of(name).last_seen = max(value, of(name).last_seen or 0.0)
        thresholds = page.by("device", "drift_psi_threshold")
        for name, value in page.by("device", "drift_psi").items():
            if (threshold := thresholds.get(name)) is not None:
                of(name).drift, of(name).drift_threshold = value, threshold
    return sorted(found.values(), key=lambda device: _natural(device.name))


def _natural(name: str) -> tuple[str, int, str]:
    """camera-10 after camera-9."""
    kind, _, number = name.rpartition("-")
    return (kind, int(number), "") if number.isdecimal() and len(number) < 10 else (name, 0, "")

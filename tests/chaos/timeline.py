"""What is seen of a demonstration from moment to moment, and its picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from services.demo.run import Demo
from services.feature_stream import Stream
from tests.metrics_page import MetricsPage

_PERIOD_S = 0.25
_COLOURS = {
    "confident": "#2ca02c",
    "escalated": "#1f77b4",
    "reused": "#17becf",
    "rate_limited": "#bcbd22",
    "deadline": "#ff7f0e",
    "offline": "#8c564b",
    "shed": "#9467bd",
    "failed": "#d62728",
}


@dataclass(frozen=True)
class Moment:
    """`entries`: of the feature stream, none while Redis is down; `waiting`: hard samples in the edge's journal."""

    seconds: float
    entries: int | None
    waiting: int
    provisionals: int
    finals: dict[str, int]


class Timeline:
    """Looks at a demonstration, four times a second at most."""

    def __init__(self, demo: Demo) -> None:
        self.moments: list[Moment] = []
        self._demo = demo
        self._key = Stream(demo.bundle.manifest.network_id, 0).features
        self._redis = redis.Redis(port=demo.servers.redis.port, socket_timeout=1.0)
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self._begun

    def look(self) -> None:
        """Note a moment, if it is time for one."""
        if self.moments and self.seconds - self.moments[-1].seconds < _PERIOD_S:
            return
        page = MetricsPage.fetch(self._demo.metrics_ports["edge"])
        if page is not None:
            self.moments.append(
                Moment(
                    seconds=round(self.seconds, 2),
                    entries=self._entries(),
                    waiting=int(page.value("journal_rows", state="waiting")),
                    provisionals=int(page.value("labels_published_total", status="provisional")),
                    finals=self._demo.books.tally().reasons,
                )
            )

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def to_json(self) -> list[dict[str, Any]]:
        """The moments as plain data."""
        return [asdict(one) for one in self.moments]

    def _entries(self) -> int | None:
        if not self._demo.servers.redis.running:
            return None
        try:
            return int(self._redis.xlen(self._key))
        except redis.RedisError:
            return None


def draw(moments: Sequence[Moment], outage_s: tuple[float, float], path: Path) -> None:
    """Three panels over time: the queue in Redis, the rows that wait on the edge, final labels by reason."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"
    from matplotlib import pyplot

    figure, (queue, waiting, finals) = pyplot.subplots(3, 1, figsize=(7.5, 7.0), sharex=True, layout="constrained")
    seconds = [one.seconds for one in moments]
    entries = [float("nan") if one.entries is None else one.entries for one in moments]
    queue.plot(seconds, entries, color="#1f77b4", linewidth=1)
    queue.set_ylabel("entries in Redis")
    waiting.plot(seconds, [one.waiting for one in moments], color="#ff7f0e", linewidth=1)
    waiting.set_ylabel("hard samples waiting\nin the edge's journal")
    for reason, colour in _COLOURS.items():
        counts = [one.finals.get(reason, 0) for one in moments]
        if any(counts):
            finals.plot(seconds, counts, color=colour, linewidth=1.5, label=reason)
    finals.plot(
        seconds,
        [one.provisionals for one in moments],
        color="#7f7f7f",
        linestyle="--",
        linewidth=1,
        label="provisional",
    )
    finals.set_ylabel("labels so far, by reason")
    finals.set_xlabel("seconds")
    finals.legend(fontsize=8, frameon=False, loc="upper left")
    for axis in (queue, waiting, finals):
        axis.axvspan(*outage_s, color="#d62728", alpha=0.08, linewidth=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    queue.text(outage_s[0], queue.get_ylim()[1], " Redis wiped and down", fontsize=8, va="top", color="#d62728")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)

"""`python -m tests.chaos.outage`: Redis loses its data and stays away, in the middle of a demonstration.

Figures and picture show that the edge goes on meanwhile, and that the hard samples get the cloud's answer after it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from services.cli.interruption import interruptible
from services.common import logs
from services.demo import Demo, DemoOptions
from services.settings import LogSettings
from tests.chaos.timeline import Moment, Timeline, draw


@dataclass(frozen=True)
class Options:
    """`seconds`: how long Redis is away; `before_s`, `after_s`: how long samples come before and after that."""

    seconds: float = 60.0
    before_s: float = 20.0
    after_s: float = 40.0
    rate_hz: float = 60.0


class Outage:
    """Watches a demonstration, and takes its Redis away when it is time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.timeline: Timeline | None = None
        self.began_s: float | None = None
        self.ended_s: float | None = None

    def watch(self, demo: Demo) -> None:
        """Called by the demonstration, some times a second."""
        self.timeline = timeline = self.timeline or Timeline(demo)
        server = demo.servers.redis
        if self.began_s is None and timeline.seconds >= self._options.before_s:
            timeline.look()
            server.kill()
            server.wipe()
            self.began_s = timeline.seconds
        elif self.began_s is not None and self.ended_s is None and self._is_over(timeline):
            server.start()
            self.ended_s = timeline.seconds
        timeline.look()

    def _is_over(self, timeline: Timeline) -> bool:
        return self.began_s is not None and timeline.seconds >= self.began_s + self._options.seconds


def run(options: Options, console: Console) -> tuple[dict[str, Any], Outage]:
    """Run it. The figures: those of the demonstration, and what went on during the outage and after it."""
    frames = int(options.rate_hz * (options.before_s + options.seconds + options.after_s))
    outage = Outage(options)
    # Two devices of three are so noisy that many of their samples are hard.
    noisy = ("scanner-2=noise:0.5", "scanner-3=noise:0.5")
    wanted = DemoOptions(frames=frames, devices=3, degraded=noisy, rate_hz=options.rate_hz, broker="mosquitto")
    with Demo(wanted, console) as demo:
        try:
            found = demo.stream(watch=outage.watch)
            tally = demo.books.tally()
        finally:
            if outage.timeline is not None:
                outage.timeline.close()
    assert outage.timeline is not None
    assert outage.began_s is not None
    assert outage.ended_s is not None, "the samples were at an end before the outage was"
    moments = outage.timeline.moments
    during = [one for one in moments if outage.began_s + 1.0 <= one.seconds < outage.ended_s]
    hard = tally.finals - tally.reasons.get("confident", 0)
    return {
        **{name: found[name] for name in ("samples", "labels_final", "lost", "duplicates")},
        "finals_by_reason": tally.reasons,
        "hard_answered_share": tally.reasons.get("escalated", 0) / hard if hard else None,
        "outage_s": [round(outage.began_s, 1), round(outage.ended_s, 1)],
        "confident_during_outage": during[-1].finals.get("confident", 0) - during[0].finals.get("confident", 0),
        "provisionals_during_outage": during[-1].provisionals - during[0].provisionals,
        "waiting_max": max(one.waiting for one in moments),
        "drained_after_s": _drained_after(moments, outage.began_s, outage.ended_s),
        "rate_hz": options.rate_hz,
        "timeline": outage.timeline.to_json(),
    }, outage


def _drained_after(moments: list[Moment], began_s: float, ended_s: float) -> float | None:
    """Seconds from Redis' return until no more rows waited than in the ten seconds before it went."""
    usual = max((one.waiting for one in moments if began_s - 10 <= one.seconds < began_s), default=0)
    drained = (one.seconds for one in moments if one.seconds > ended_s and one.waiting <= usual)
    first = next(drained, None)
    return None if first is None else round(first - ended_s, 1)


def main() -> int:
    """Parse, run, tell; status 1 where a sample was lost or a hard one kept the edge's label."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long Redis is away")
    parser.add_argument("--before", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--after", type=float, default=40.0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=60.0, metavar="HZ", help="samples per second")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the picture here")
    chosen = parser.parse_args()
    logs.configure(LogSettings(level="error"))
    options = Options(chosen.seconds, chosen.before, chosen.after, chosen.rate)
    with interruptible():
        found, outage = run(options, Console(stderr=True))
    if chosen.picture is not None:
        assert outage.timeline is not None
        draw(outage.timeline.moments, (found["outage_s"][0], found["outage_s"][1]), chosen.picture)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "timeline"}, indent=2))
    return 1 if found["lost"] or found["hard_answered_share"] != 1.0 else 0


if __name__ == "__main__":
    sys.exit(main())

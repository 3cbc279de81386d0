"""`python -m tests.control`: budgets kept by real workers, while the stream turns hard and while the cloud shrinks.

Figures and picture of both runs; exit status 1 where a budget was not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.cli.interruption import interruptible
from services.common import logs
from services.settings import LogSettings
from tests.control import latency, share
from tests.control.picture import draw


def kept(figures: dict[str, Any]) -> list[str]:
    """What was not kept, a phrase each."""
    faults = []
    one, two = figures["share"], figures["latency"]
    if one["samples_per_s"] < 200:
        faults.append(f"only {one['samples_per_s']:g} samples/s")
    if abs(one["window_20_to_30_s"] - one["budget"]) > 0.02:
        faults.append(f"{one['window_20_to_30_s']:.1%} rose from 20 to 30 s after the picture blurred")
    if one["largest_deviation_later"] > 0.04:
        faults.append(f"later a window was {one['largest_deviation_later']:.1%} off")
    if two["rose_per_s_before"] < 1.05 * two["answered_per_s_after"]:
        faults.append("one cloud worker alone was not overloaded")
    if two["last_window_over_budget_ends_after_s"] > 30:
        faults.append(f"a latency over its budget {two['last_window_over_budget_ends_after_s']:g} s after the kill")
    return faults


def main() -> int:
    """Parse, run, draw, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.control", description=__doc__)
    parser.add_argument("--rate", type=float, default=250.0, metavar="HZ", help="samples per second of the first run")
    parser.add_argument("--after", type=float, default=120.0, metavar="SECONDS", help="how long each goes on")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the picture here")
    chosen = parser.parse_args()
    logs.configure(LogSettings(level="error"))
    options = share.Options(rate_hz=chosen.rate, after_s=chosen.after)
    other = latency.Options(after_s=chosen.after)
    with interruptible(), tempfile.TemporaryDirectory(prefix="dewpoint-control-") as folder:
        (Path(folder) / "share").mkdir()
        (Path(folder) / "latency").mkdir()
        one = share.run(options, Path(folder) / "share")
        two = latency.run(other, Path(folder) / "latency")
    figures = {"share": one[0], "latency": two[0]}
    faults = kept(figures)
    if chosen.picture is not None:
        draw(one, two, chosen.picture)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures | {"faults": faults}, indent=2) + "\n")
    told = {name: {key: value for key, value in one.items() if key != "timeline"} for name, one in figures.items()}
    print(json.dumps(told | {"faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

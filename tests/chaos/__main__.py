"""`python -m tests.chaos`: one run, its figures on standard output and as JSON; status 1 if a promise was broken."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from services.cli.interruption import interruptible
from services.common import logs
from services.settings import LogSettings
from tests.chaos import report
from tests.chaos.driver import Options, run


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--samples", type=int, default=2000, help="samples that the broker must take")
    add("--seconds", type=float, default=3600.0, help="cap of the whole run")
    add("--seed", type=int, default=0, help="of the faults")
    add("--faults", type=int, default=0, help="faults that must strike, at least")
    add("--rate", type=float, default=30.0, metavar="HZ", help="samples per second")
    add("--faults-rate", type=float, default=0.5, metavar="HZ", help="faults per second")
    add("--kinds", nargs="*", default=(), metavar="KIND", help="faults of these kinds alone")
    add("--image-edges", type=int, default=2, help="edge workers that take pictures")
    add("--sensor-edges", type=int, default=2, help="edge workers that take readings")
    add("--mixed-edges", type=int, default=1, help="edge workers that take both, by two networks")
    add("--clouds", type=int, default=3, help="cloud workers")
    add("--readings", choices=("auto", "har", "synthetic"), default="auto", help="what sensors send")
    add("--folder", type=Path, help="where logs and journals are left to be looked at")
    add("--json", type=Path, metavar="PATH", help="write the figures here")
    chosen = parser.parse_args()
    logs.configure(LogSettings(level="error"))
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        samples=chosen.samples,
        seconds=chosen.seconds,
        seed=chosen.seed,
        faults=chosen.faults,
        rate_hz=chosen.rate,
        faults_hz=chosen.faults_rate,
        image_edges=chosen.image_edges,
        sensor_edges=chosen.sensor_edges,
        mixed_edges=chosen.mixed_edges,
        clouds=chosen.clouds,
        source=chosen.readings,
        kinds=tuple(chosen.kinds),
        folder=chosen.folder,
    )
    with interruptible():
        found = run(options, tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(report.lines(found))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if report.broken_promises(found) else 0


if __name__ == "__main__":
    sys.exit(main())

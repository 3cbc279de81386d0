"""`python -m tests.soak`: half the capacity for some minutes; status 1 if a sample was lost."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from services.cli.interruption import interruptible
from services.common import logs
from services.settings import LogSettings
from tests.soak.driver import Options, run
from tests.soak.picture import draw


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw memory, descriptors and threads here")
    chosen = parser.parse_args()
    logs.configure(LogSettings(level="error"))

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with interruptible():
        figures, readings = run(Options(chosen.minutes), Console(stderr=True), tell=tell)
    if chosen.picture is not None:
        draw(readings, chosen.picture)
    if chosen.json is not None:
        everything = {**figures, "readings": {name: [vars(one) for one in found] for name, found in readings.items()}}
        chosen.json.write_text(json.dumps(everything, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    return 1 if figures["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())

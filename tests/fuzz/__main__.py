"""`python -m tests.fuzz`: all decoders under atheris; status 1 after a crash, a hang or an undocumented error."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from tests.fuzz.driver import run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--targets", nargs="*", default=(), choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    chosen = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("this needs atheris, which is made for Linux on x86-64: pip install atheris", file=sys.stderr)
        return 2

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = run(chosen.inputs, names=chosen.targets, seed=chosen.seed, tell=tell)
    print(
        f"{found['inputs']:,} inputs in {found['seconds']:,.0f} s: {found['crashes']} crashes, {found['hangs']} hangs,"
        f" {found['errors']} undocumented errors, memory grows by {found['rss_kb_per_10000_inputs']} KB"
        " in 10,000 inputs at most"
    )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["crashes"] or found["hangs"] or found["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())

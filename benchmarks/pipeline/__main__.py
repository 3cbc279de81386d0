"""The command line: `python -m benchmarks.pipeline --json PATH`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.edge_engine import cpu_name
from benchmarks.pipeline import footprint, goals, rounds, stands, table
from benchmarks.pipeline.cells import Cell
from benchmarks.pipeline.stands import NAMES, Stand

#: Cells of the form of seconds; so deep that whoever can lose samples for want of connections does.
_QUICK_CELLS = (Cell(in_flight=128), Cell(load=0.5))


def chosen_stands(only: list[str], nets: list[str], *, short: bool, quick: bool) -> list[Stand]:
    """Who is measured, in the order of the tables."""
    found = [stands.null_stand("3.1.1")] if "null" in only else []
    for net in nets:
        found += [stand for stand in stands.stands(net, short=short or quick) if stand.name in only]
    if quick:  # everybody who is named, once
        one_each = {stand.name: stand for stand in found if stand.share is None or stand.share > 0}
        closed, both = _QUICK_CELLS[:1], _QUICK_CELLS
        found = [stand.with_cells(both if stand.name == "dewpoint" else closed) for stand in one_each.values()]
    return found


def footprints(chosen: list[Stand]) -> dict[str, Any]:
    """By what is installed: its packages and bytes."""
    wanted = {f"{stand.title}: {role}": names for stand in chosen for role, names in stand.distributions.items()}
    return {title: footprint.footprint(names) for title, names in wanted.items()}


def main() -> None:
    """Measure as the command line says, print the tables and write the figures."""
    parser = argparse.ArgumentParser(
        description="The pipeline beside a bare subscriber and what else people would use."
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--nets", nargs="+", choices=("digits", "cifar10"), default=["digits", "cifar10"])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of everybody")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a cell is measured")
    parser.add_argument("--broker", choices=("mosquitto", "nats"), default="mosquitto")
    parser.add_argument("--short", action="store_true", help="only what the table of ratios needs: minutes")
    parser.add_argument("--quick", action="store_true", help="seconds: whether it works, not what it costs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    given = parser.parse_args()
    chosen = chosen_stands(given.only, given.nets, short=given.short, quick=given.quick)
    count, seconds = (1, 0.3) if given.quick else (given.rounds, given.seconds)
    result = rounds.run(
        chosen,
        rounds=count,
        times=rounds.Times(min(0.5, seconds), seconds),
        broker=given.broker,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    result = {"cpu": cpu_name(), **result, "footprint": footprints(chosen)}
    result["ratios"] = goals.ratios(result)
    print(table.tables(result))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

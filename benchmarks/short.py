"""A short form of every benchmark, and one table of ratios: `make bench`, or `python -m benchmarks.short --json PATH`.

Each benchmark runs in a process of its own, one after the other, and writes its figures; what is told here of them is
ratios within one run, which say more of the code and less of the machine than times do.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pipeline.table import ratios as ratios_table

Ratio = dict[str, Any]


@dataclass(frozen=True)
class Short:
    """A benchmark: its arguments in the short form and in that of seconds, and the ratios in its figures.

    `statuses`: those with which it may end; a bound that is not kept is told by its ratio.
    """

    arguments: tuple[str, ...]
    quick: tuple[str, ...]
    ratios: Callable[[dict[str, Any]], list[Ratio]]
    statuses: tuple[int, ...] = (0,)


def ratio(
    what: str,
    median: float,
    least: float | None = None,
    most: float | None = None,
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    more: bool = True,
) -> Ratio:
    """One row; `bounds`: floor and goal. Without a spread it is the median alone."""
    spread = {"median": median, "least": least or median, "most": most or median}
    return {"what": what, "ratio": spread, "floor": bounds[0], "goal": bounds[1], "more_is_better": more}


#: Floor and goal against the best int8 runtime, by net.
_NETS = {"cifar10": (3.5, 6.0), "cifar100": (1.2, 2.0)}


def _edge_engine(found: dict[str, Any]) -> list[Ratio]:
    made = []
    for row in found["layers"] + found["nets"]:
        for precision in ("int8", "fp32"):
            value, between = row[f"ratio_best_{precision}"], row[f"ratio_best_{precision}_range"]
            if value is not None:
                bounds = _NETS.get(row["name"].split()[0], (None, None)) if precision == "int8" else (None, None)
                rival = row[f"best_{precision}"]
                made.append(ratio(f"{row['name']}: edge engine over ({rival})", value, *between, bounds=bounds))
    return made


def _sizes(found: dict[str, Any]) -> list[Ratio]:
    bounds = {"64 x 64": 2.0, "224 x 224": 6.0}
    return [
        ratio(
            f"time of an edge for {row['name']} over cifar10",
            row["ratio"],
            bounds=(bounds[row["name"]], None),
            more=False,
        )
        for row in found["rows"]
        if row["name"] in bounds
    ]


def _inputs(found: dict[str, Any]) -> list[Ratio]:
    return [ratio(f"JSON by {form} over our own", value, more=False) for form, value in found["over_own"].items()]


def _overhead(found: dict[str, Any]) -> list[Ratio]:
    told = found["cpu_time_on_over_off"]
    return [
        ratio(
            "worker CPU with metrics, audit and control over without",
            told["median"],
            told["least"],
            told["most"],
            more=False,
        )
    ]


def _traces(found: dict[str, Any]) -> list[Ratio]:
    told = {share: found[f"cpu_s_per_sample_{share}"] for share in ("percent_over_off", "on_over_off")}
    names = {"percent_over_off": "1 % of the samples traced", "on_over_off": "all samples traced"}
    return [
        ratio(
            f"worker CPU with {names[share]} over none",
            it["median"],
            it["lower_quarter"],
            it["upper_quarter"],
            more=False,
        )
        for share, it in told.items()
    ]


#: Floor and goal of the cloud half, by what is compared; batches of 32 are those that are promised something.
_CLOUD = {"worker over the fastest bare": (0.85, 0.97), "half over torch fp32": (3.0, 4.5)}


def _cloud_half(found: dict[str, Any]) -> list[Ratio]:
    return [
        ratio(
            f"{row['net']}, batch {row['batch']}: {what}",
            told["median"],
            told["low"],
            told["high"],
            bounds=_CLOUD.get(what, (None, None)) if row["batch"] == 32 else (None, None),
        )
        for row in found["rows"]
        for what, told in row["ratios"].items()
    ]


def _pipeline(found: dict[str, Any]) -> list[Ratio]:
    made: list[Ratio] = found["ratios"]
    return made


#: Every benchmark of times; `benchmarks.results` tells of networks, not of this machine.
BENCHMARKS: dict[str, Short] = {
    "cloud_half": Short(("cifar10", "--rounds", "5"), ("--quick",), _cloud_half),
    "edge_engine": Short(("--rounds", "5"), ("--rounds", "1"), _edge_engine),
    "sizes": Short(("--quick",), ("--quick",), _sizes, statuses=(0, 1)),
    "inputs": Short(("--rounds", "50"), ("--quick",), _inputs),
    "overhead": Short(("--samples", "1000", "--rounds", "3"), ("--quick",), _overhead),
    "traces": Short(("--samples", "1000", "--rounds", "3"), ("--quick",), _traces),
    "pipeline": Short(
        ("--short", "--nets", "digits", "--rounds", "2", "--seconds", "1"),
        ("--quick", "--nets", "digits", "--only", "null", "int8_edge"),
        _pipeline,
    ),
}


def run(names: list[str], *, quick: bool, broker: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """The figures of each, its seconds, and all ratios; a benchmark that fails is told and the others run."""
    result: dict[str, Any] = {"figures": {}, "seconds": {}, "failed": {}, "ratios": []}
    with tempfile.TemporaryDirectory(prefix="dewpoint-bench-") as folder:
        for name in names:
            short, path, begun = BENCHMARKS[name], Path(folder) / f"{name}.json", time.monotonic()
            arguments = [*(short.quick if quick else short.arguments), "--json", str(path)]
            if name in ("overhead", "traces", "pipeline"):
                arguments += ["--broker", broker]
            progress(f"{name} {' '.join(arguments[:-2])}")
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}", *arguments], stdout=subprocess.DEVNULL, check=False
            )
            result["seconds"][name] = round(time.monotonic() - begun, 1)
            if done.returncode not in short.statuses:
                result["failed"][name] = f"ended with status {done.returncode}"
                continue
            result["figures"][name] = json.loads(path.read_text())
            result["ratios"] += short.ratios(result["figures"][name])
    return result


def main() -> None:
    """Run what is named, print the table; the exit status is 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description="A short form of every benchmark, and one table of ratios.")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="seconds each: whether they work, not what they measure")
    parser.add_argument("--broker", choices=("mosquitto", "nats"), default="mosquitto")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures here")
    given = parser.parse_args()

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    result = run(given.only, quick=given.quick, broker=given.broker, progress=progress)
    print(ratios_table(result["ratios"]))
    for name, why in result["failed"].items():
        print(f"\nNot measured: {name}: {why}.")
    for name, figures in result["figures"].items():
        for what, why in figures.get("missing", {}).items():
            print(f"\nNot measured by {name}: {what}: {why}.")
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    raise SystemExit(1 if result["failed"] else 0)


if __name__ == "__main__":
    main()

"""What the edge costs by the size of its pictures: `python -m benchmarks.sizes --json PATH`.

The edges that a training on somebody's own pictures chooses by itself, for every size, beside the shipped `cifar10`.
One process, one thread, one picture at a time, decoded before, all in turn, round after round. A number is a median
over the rounds; a ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.edge_engine import cpu_name
from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle
from hybrid_model.data.pictures import Picture, Survey
from hybrid_model.planning import PictureWishes, choose_network
from hybrid_model.planning.edge_budget import edge_energy_j, untrained_bundle
from hybrid_model.planning.picture_network import SIZES
from hybrid_model.runtime import EdgeEngine

REFERENCE = "cifar10"
_CALLS = 5
_CLASSES = 10
#: How many times the reference's time the default edge may take, by size.
BOUNDS = {64: 2.0, 224: 6.0}


def survey_of(size: int, per_class: int) -> Survey:
    """So many pictures of `size` pixels in ten classes, which nobody decodes."""
    names = tuple(str(number) for number in range(_CLASSES))
    pictures = tuple(
        Picture(Path(), f"{name}/{n}", name, None, n.to_bytes(8, "big"), size, size)
        for name in names
        for n in range(per_class)
    )
    return Survey("sizes", names, pictures, ())


def candidates() -> dict[str, tuple[Bundle, float | None]]:
    """Bundles by name, with their edges' estimated joules: reference, every size from scratch, two with a trunk."""
    shipped = bundle_file.load(bundle_file.resolve(REFERENCE))
    made: dict[str, tuple[Bundle, float | None]] = {REFERENCE: (shipped, None)}
    for size in SIZES:
        network = choose_network(survey_of(size, 1000), PictureWishes(size=size))
        made[f"{size} x {size}"] = (untrained_bundle(network.build()), edge_energy_j(network.build()))
    for size in (32, 64):
        network = choose_network(survey_of(size, 50), PictureWishes(size=size))
        made[f"{size} x {size}, trunk"] = (untrained_bundle(network.build()), edge_energy_j(network.build()))
    return made


def run(rounds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measures all and returns what is written as JSON."""
    rng = np.random.default_rng(0)
    made = candidates()
    engines, pictures = {}, {}
    for name, (bundle, _) in made.items():
        engines[name] = EdgeEngine(bundle)
        pictures[name] = rng.integers(0, 256, (1, *bundle.manifest.input.shape), dtype=np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name, engine in engines.items():
            everybody = [math.inf] * len(made[name][0].manifest.exits)
            engine.infer(pictures[name], thresholds=everybody)
            times = []
            for _ in range(_CALLS):
                start = time.perf_counter()
                engine.infer(pictures[name], thresholds=everybody)
                times.append(time.perf_counter() - start)
            seconds[name].append(statistics.median(times))
    reference = seconds[REFERENCE]
    rows = []
    for name, (_, joules) in made.items():
        ratios = [own / other for own, other in zip(seconds[name], reference, strict=True)]
        rows.append(
            {
                "name": name,
                "us": round(statistics.median(seconds[name]) * 1e6, 1),
                "ratio": round(statistics.median(ratios), 2),
                "edge_uj": None if joules is None else round(joules * 1e6, 1),
            }
        )
    return {
        "kernel": engines[REFERENCE].kernel,
        "cpu": cpu_name(),
        "rounds": rounds,
        "rows": rows,
        "kept": {
            str(size): next(row["ratio"] for row in rows if row["name"] == f"{size} x {size}") <= most
            for size, most in BOUNDS.items()
        },
    }


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"Kernel `{result['kernel']}` on {result['cpu']}, to the exit; medians of {result['rounds']} rounds.",
        "",
        f"| input | us a picture | times `{REFERENCE}` | energy (estimate) |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        energy = "" if row["edge_uj"] is None else f"{row['edge_uj']:g} uJ"
        lines.append(f"| {row['name']} | {row['us']} | {row['ratio']} | {energy} |")
    return "\n".join(lines)


def main() -> None:
    """Command line; the exit status is 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=str, default="-", metavar="PATH", help="where to write the numbers; - is stdout")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="a few rounds: whether the bounds are kept")
    given = parser.parse_args()
    result = run(10 if given.quick else given.rounds, lambda text: print(text, file=sys.stderr))
    print(table(result), file=sys.stderr)
    text = json.dumps(result, indent=2)
    if given.json == "-":
        print(text)
    else:
        Path(given.json).write_text(text + "\n")
    raise SystemExit(0 if all(result["kept"].values()) else 1)


if __name__ == "__main__":
    main()

"""The edge engine against other runtimes: `python -m benchmarks.edge_engine --json PATH`.

One process, one thread, batch 1, everything in turn, round after round; numbers are medians over the rounds. A layer's
time is what one more layer in a chain costs: (five - one) / 4, so that calls and conversions cancel for everybody.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import nets, runtimes
from benchmarks.peak import peak_gops
from benchmarks.twin import twin_of
from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle
from hybrid_model.runtime import EdgeEngine

LAYERS = [(64, 32), (128, 16), (256, 8)]
#: Bundles whose edge halves are timed to the cut.
SHIPPED = ("cifar10", "cifar100", "har")
_SHORT, _LONG = 1, 5
_CALLS = 5


@dataclass
class Timed:
    """One runner and its seconds, a number per round."""

    run: Callable[[], Any]
    seconds: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """One round: the median of some calls, behind one that is not counted."""
        self.run()
        times = []
        for _ in range(_CALLS):
            start = time.perf_counter()
            self.run()
            times.append(time.perf_counter() - start)
        self.seconds.append(statistics.median(times))


def ours(bundle: Bundle, *, to_cut: bool) -> Callable[[], Any]:
    """One sample through the engine: to its exit, or (`to_cut`) through the whole edge half."""
    engine = EdgeEngine(bundle)
    x = np.random.default_rng(2).integers(0, 256, (1, *bundle.manifest.input.shape)).astype(bundle.manifest.input.dtype)
    everybody = [math.inf] * len(bundle.manifest.exits)
    return lambda: engine.infer(x, thresholds=everybody, force_cut=to_cut)


class Contest:
    """One piece of work for everybody: our engine, and each runtime in fp32 and int8."""

    def __init__(self, bundle: Bundle, *, to_cut: bool = False) -> None:
        twin = twin_of(bundle, with_cut=to_cut)
        self.timed: dict[str, Timed] = {"dewpoint": Timed(ours(bundle, to_cut=to_cut))}
        for name in runtimes.available()[0]:
            for precision in ("int8", "fp32"):
                try:
                    self.timed[f"{name} {precision}"] = Timed(runtimes.RUNTIMES[name][1](twin, precision == "int8"))
                except LookupError:
                    continue

    def measure(self) -> None:
        """One round of everybody."""
        for timed in self.timed.values():
            timed.measure()


def difference(long: Contest, short: Contest) -> dict[str, list[float]]:
    """Seconds of one layer, a number per round, by runner."""
    share = _LONG - _SHORT
    return {
        name: [(a - b) / share for a, b in zip(timed.seconds, short.timed[name].seconds, strict=True)]
        for name, timed in long.timed.items()
    }


def row(name: str, seconds: dict[str, list[float]], macs: float | None, peak: float | None) -> dict[str, Any]:
    """Medians in us, the spread (half the distance of the quartiles, minimum, maximum), and our ratios to the best."""
    median = {runner: statistics.median(s) for runner, s in seconds.items()}
    mine = seconds["dewpoint"]
    made: dict[str, Any] = {"name": name, "us": _us(median["dewpoint"]), "spread_us": _spread(mine)}
    made |= {"min_us": _us(min(mine)), "max_us": _us(max(mine))}
    if macs is not None:
        made["gops"] = round(macs / median["dewpoint"] * 1e-9, 1)
        made["share_of_peak"] = round(made["gops"] / peak, 3) if peak else None
    for precision in ("int8", "fp32"):
        rivals = {runner: s for runner, s in median.items() if runner.endswith(precision)}
        best = min(rivals, key=rivals.__getitem__, default=None)
        made[f"best_{precision}"] = best
        made[f"best_{precision}_us"] = _us(rivals[best]) if best else None
        made[f"ratio_best_{precision}"] = round(rivals[best] / median["dewpoint"], 2) if best else None
        ratios = [theirs / us for theirs, us in zip(seconds[best], mine, strict=True)] if best else []
        made[f"ratio_best_{precision}_range"] = [round(min(ratios), 2), round(max(ratios), 2)] if ratios else None
    made["all_us"] = {runner: _us(s) for runner, s in sorted(median.items(), key=lambda item: item[1])}
    return made


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def _spread(seconds: list[float]) -> float:
    if len(seconds) < 4:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4)
    return _us((high - low) / 2)


def run(rounds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measures all of it in this process and returns what is written as JSON."""
    progress("building")
    chains = [
        (Contest(nets.chain(c, size, _LONG)), Contest(nets.chain(c, size, _SHORT)), c, size) for c, size in LAYERS
    ]
    whole = {"plain": Contest(nets.plain_net())}
    for name in SHIPPED:
        shipped = bundle_file.load(bundle_file.resolve(name))
        whole[f"{name} edge half"] = Contest(shipped, to_cut=True)
    kernel = EdgeEngine(nets.plain_net()).kernel
    peaks: list[float] = []
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        peak = peak_gops(kernel)
        peaks += [peak] if peak is not None else []
        for long, short, _, _ in chains:
            for name in long.timed:
                long.timed[name].measure()
                short.timed[name].measure()
        for contest in whole.values():
            contest.measure()
    best = statistics.median(peaks) if peaks else None
    return {
        "kernel": kernel,
        "cpu": cpu_name(),
        "rounds": rounds,
        "capped_to_avx2": bool(os.environ.get(runtimes.CAPPED)),
        "missing": runtimes.available()[1],
        "peak_gops": round(best, 1) if best else None,
        "layers": [
            row(f"3x3 {c}->{c} at {size}x{size}", difference(long, short), float(size * size * c * c * 9), best)
            for long, short, c, size in chains
        ],
        "nets": [row(name, {n: t.seconds for n, t in c.timed.items()}, None, None) for name, c in whole.items()],
    }


def cpu_name() -> str:
    """The processor's model name and the instruction sets that matter here."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key: re.search(rf"^{key}\s*: (.*)$", info, re.MULTILINE) for key in ("model name", "cpu family", "model")}
    said = {key: match.group(1) for key, match in found.items() if match}
    return f"{said.get('model name', platform.machine())} (family {said.get('cpu family')}, model {said.get('model')})"


def run_capped(rounds: int) -> dict[str, Any]:
    """The same in a child process that keeps to AVX2: our kernels, and those runtimes that can be asked to."""
    environment = os.environ | {
        runtimes.CAPPED: "1",
        "DEWPOINT_KERNEL": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    }
    command = [sys.executable, "-m", "benchmarks.edge_engine", "--rounds", str(rounds), "--json", "-"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"Kernel `{result['kernel']}` on {result['cpu']}, peak of xor+popcount {result['peak_gops']} billion "
        f"multiply-accumulates a second; medians of {result['rounds']} rounds, +- half the distance of the quartiles.",
        "",
        "| | us | of the peak | best int8 | | best fp32 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in result["layers"] + result["nets"]:
        share = entry.get("share_of_peak")
        cells = [entry["name"], f"{entry['us']} +- {entry['spread_us']}", f"{share:.0%}" if share else ""]
        for precision in ("int8", "fp32"):
            best = entry[f"best_{precision}"]
            cells.append(f"{entry[f'best_{precision}_us']} us ({best.split()[0]})" if best else "none")
            cells.append(f"{entry[f'ratio_best_{precision}']}x" if best else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"Not measured: {name}: {why}." for name, why in result["missing"].items()]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=str, default="-", metavar="PATH", help="where to write the numbers; - is stdout")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--avx2", action="store_true", help="add a run that keeps to AVX2, in a child process")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw a bar chart (matplotlib)")
    given = parser.parse_args()
    result = run(given.rounds, lambda text: print(text, file=sys.stderr))
    if given.avx2:
        result["avx2"] = run_capped(given.rounds)
    print(table(result), file=sys.stderr)
    if given.avx2:
        print("\n" + table(result["avx2"]), file=sys.stderr)
    text = json.dumps(result, indent=2)
    if given.json == "-":
        print(text)
    else:
        Path(given.json).write_text(text + "\n")
    if given.picture is not None:
        from benchmarks.picture import draw

        draw(result, given.picture)


if __name__ == "__main__":
    main()

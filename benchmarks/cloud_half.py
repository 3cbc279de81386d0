"""The cloud worker's computing against the same layers by other means: `python -m benchmarks.cloud_half --json PATH`.

One process, everything in turn, round after round; a number is the median over the rounds, a ratio the median of the
ratios within a round. Where other work disturbs the machine, the shortest times, which are told as well, say more.
`worker` is what a cloud worker does with a batch between Redis and Redis: escalations decoded, features unpacked,
computed, close calls looked at again, answers made. All others are bare forwards, from a tensor to logits: `half` that
of the same half in the precision that the worker chose, then torch as one would write it, and other runtimes with the
same weights.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.edge_engine import cpu_name
from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model import data
from hybrid_model.bundle import Bundle
from hybrid_model.cloud_half import CloudHalf, build_network
from hybrid_model.errors import DewpointError
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.folded import FoldedHalf
from hybrid_model.runtime import EdgeEngine
from services.cloud.batch import Job, JobReader, infer
from services.cloud.networks import Network
from services.feature_stream import Delivery, Stream
from services.messages import Escalation

NETS = ("cifar10", "cifar100", "har", "digits")
BATCHES = (1, 32, 128)
_CALLS = 3
_SAMPLES = 500

Runner = Callable[[], Any]


def worker(loaded: Bundle, half: CloudHalf, features: list[bytes]) -> Runner:
    """What a cloud worker does with a batch that it read."""
    network, reader = Network(loaded.manifest, half), JobReader()
    stream = Stream(network.network_id, 0)
    deliveries = []
    for number, packed in enumerate(features):
        sample = Escalation(f"{number}", "site", "edge", "device", network.network_id, 1, ((0, 0.5),), packed, 1e9)
        deliveries.append(Delivery(stream, f"{number}-0", sample.encode()))

    def run() -> Any:
        jobs = [reader.read(delivery, network) for delivery in deliveries]
        answers, broken = infer(network, [job for job in jobs if isinstance(job, Job)])
        assert broken is None
        assert len(answers) == len(features)
        return answers

    return run


def by_torch(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, bf16: bool = False) -> Runner:
    """A forward as torch's documentation has it: no gradients, autocast where it is bfloat16."""

    def run() -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return forward(x)

    return run


def compiled(network: HybridNetwork, x: torch.Tensor, *, bf16: bool) -> tuple[Runner, float]:
    """`torch.compile`, and the seconds that it takes."""
    torch.compiler.reset()
    made = torch.compile(network.cloud_half, dynamic=False)

    def run() -> Any:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return made(x)

    began = time.perf_counter()
    run()
    return run, time.perf_counter() - began


def onnxruntime(network: HybridNetwork, x: torch.Tensor, threads: int) -> Runner:
    """ONNX Runtime in float32."""
    ort, files = importlib.import_module("onnxruntime"), importlib.import_module("benchmarks.cloud_twin")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(files.cloud_onnx(network, len(x)), options, providers=["CPUExecutionProvider"])
    feed = {"input": x.contiguous().numpy()}
    return lambda: session.run(None, feed)


def openvino(network: HybridNetwork, x: torch.Tensor, threads: int, precision: str) -> Runner:
    """OpenVINO, in `precision` f32 or bf16."""
    ov, files = importlib.import_module("openvino"), importlib.import_module("benchmarks.cloud_twin")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
    }
    core = ov.Core()
    request = core.compile_model(core.read_model(files.cloud_onnx(network, len(x))), "CPU", settings)
    request = request.create_infer_request()
    request.set_input_tensor(ov.Tensor(x.contiguous().numpy()))
    return lambda: request.infer()


def hard_features(loaded: Bundle, count: int) -> tuple[list[bytes], str]:
    """Features of `count` test samples that rise, again from the first where they are few; made up without the data."""
    manifest = loaded.manifest
    try:
        x = data.load(str(manifest.provenance["dataset"]), progress=False).test.x[: _SAMPLES + 20 * count]
    except DewpointError:
        generator = np.random.default_rng(0)
        shape, bits = manifest.cut.shape, manifest.cut.bits
        codes = generator.integers(0, 2**bits, (count, *shape), dtype=np.uint8)
        return cut_codec.pack_batch(codes, bits), "made up"
    found = [one for one in EdgeEngine(loaded).infer(x).features if one is not None]
    return (found * (count // len(found) + 1))[:count], "of hard test samples"


class Contest:
    """One network at one batch: everybody by name, and the seconds of each by round."""

    def __init__(self, name: str, batch: int, threads: int, *, compiles: bool) -> None:
        loaded = bundle_file.load(bundle_file.resolve(name), cloud=True)
        half, network = CloudHalf(loaded, threads=threads, precision="auto"), build_network(loaded)
        self.name, self.batch, self.precision = name, batch, half.precision
        shape, bits = network.cut_shape, network.cut.bits
        features, self.features = hard_features(loaded, batch)
        codes = cut_codec.unpack_batch(features, shape, bits)
        x = network.cut.dequantize(torch.from_numpy(codes))
        self.compile_s: dict[str, float] = {}
        last = build_network(loaded)
        last.cloud.to(memory_format=torch.channels_last)
        self.runners: dict[str, Runner] = {
            "worker": worker(loaded, half, features),
            "half": by_torch(FoldedHalf(network, half.precision), x),
            "torch fp32": by_torch(network.cloud_half, x),
            "torch bf16": by_torch(last.cloud_half, x, bf16=True),
        }
        if compiles:
            for precision in ("fp32", "bf16"):
                made, seconds = compiled(last, x, bf16=precision == "bf16")
                self.runners[f"torch.compile {precision}"] = made
                self.compile_s[precision] = round(seconds, 1)
        if available("onnxruntime"):
            self.runners["onnxruntime fp32"] = onnxruntime(network, x, threads)
        if available("openvino"):
            for precision in ("f32", "bf16"):
                self.runners[f"openvino {precision}"] = openvino(network, x, threads, precision)
        self.seconds: dict[str, list[float]] = {runner: [] for runner in self.runners}
        self.shortest: dict[str, list[float]] = {runner: [] for runner in self.runners}

    def measure(self, threads: int) -> None:
        """One round: of everybody the median of some calls, behind one that is not counted."""
        for name, run in self.runners.items():
            torch.set_num_threads(threads)
            run()
            times = []
            for _ in range(_CALLS):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            self.seconds[name].append(statistics.median(times))
            self.shortest[name].append(min(times))

    def row(self) -> dict[str, Any]:
        """Medians in microseconds a sample, and ratios of speed with their quartiles."""
        median = {name: statistics.median(seconds) for name, seconds in self.seconds.items()}
        bare = {name: seconds for name, seconds in median.items() if name != "worker"}
        fastest = min(bare, key=bare.__getitem__)
        others = {name: seconds for name, seconds in bare.items() if name != "half"}
        best = min(others, key=others.__getitem__)
        shortest = {name: min(self.shortest[name]) for name in self.shortest}
        return {
            "net": self.name,
            "batch": self.batch,
            "precision": self.precision,
            "features": self.features,
            "us_a_sample": {name: round(s / self.batch * 1e6, 2) for name, s in sorted(median.items(), key=_second)},
            "shortest_us_a_sample": {name: round(s / self.batch * 1e6, 2) for name, s in shortest.items()},
            "compile_s": self.compile_s,
            "fastest_bare": fastest,
            "best_other": best,
            "ratios": {
                "worker over half": self._ratio("half", "worker"),
                "worker over the fastest bare": self._ratio(fastest, "worker"),
                "half over torch fp32": self._ratio("torch fp32", "half"),
                "half over the best other": self._ratio(best, "half"),
            },
            "ratios_of_the_shortest": {
                "worker over half": round(shortest["half"] / shortest["worker"], 3),
                "half over torch fp32": round(shortest["torch fp32"] / shortest["half"], 3),
                "half over the best other": round(min(shortest[name] for name in others) / shortest["half"], 3),
            },
        }

    def _ratio(self, slower: str, faster: str) -> dict[str, float]:
        """How many times as fast `faster` is."""
        pairs = zip(self.seconds[slower], self.seconds[faster], strict=True)
        ratios = [one / other for one, other in pairs]
        low, high = min(ratios), max(ratios)
        if len(ratios) >= 4:
            low, _, high = statistics.quantiles(ratios, n=4)
        told = {"median": statistics.median(ratios), "low": low, "high": high}
        return {name: round(ratio, 3) for name, ratio in told.items()}


def _second(item: tuple[str, float]) -> float:
    return item[1]


def available(module: str) -> bool:
    """Whether a runtime, and what writes files for it, is installed."""
    return find_spec(module) is not None and find_spec("onnx") is not None


def run(
    nets: list[str], batches: list[int], rounds: int, threads: int, compiles: bool, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measures all of it and returns what is written as JSON."""
    contests = []
    for name in nets:
        for batch in batches:
            progress(f"preparing {name}, batch {batch}")
            contests.append(Contest(name, batch, threads, compiles=compiles))
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for contest in contests:
            contest.measure(threads)
    return {
        "cpu": cpu_name(),
        "torch": torch.__version__,
        "threads": threads,
        "rounds": rounds,
        "missing": [name for name in ("onnxruntime", "openvino") if not available(name)],
        "rows": [contest.row() for contest in contests],
    }


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{result['cpu']}, {result['threads']} thread(s), medians of {result['rounds']} rounds, us a sample.",
        "",
        "| network | batch | worker | half | torch fp32 | half over it | best other | half over it"
        " | worker over the fastest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        us, ratios, best = row["us_a_sample"], row["ratios"], row["best_other"]
        cells = [
            f"`{row['net']}`, {row['precision']}",
            f"{row['batch']}",
            f"{us['worker']:g}",
            f"{us['half']:g}",
            f"{us['torch fp32']:g}",
            f"{ratios['half over torch fp32']['median']:.2f}x",
            f"{us[best]:g} ({best})",
            f"{ratios['half over the best other']['median']:.2f}x",
            f"{ratios['worker over the fastest bare']['median']:.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"Not measured: {name} is not installed." for name in result["missing"]]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", help=f"shipped bundles; {', '.join(NETS)} if none is named")
    parser.add_argument("--json", type=str, default="-", metavar="PATH", help="where to write the numbers; - is stdout")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="with torch.compile, which needs a compiler and minutes")
    parser.add_argument("--quick", action="store_true", help="digits, two rounds: whether it works")
    given = parser.parse_args()
    nets = given.nets or (["digits"] if given.quick else list(NETS))
    batches = [1, 8] if given.quick else list(BATCHES)
    rounds = 2 if given.quick else given.rounds

    def progress(text: str) -> None:
        print(text, file=sys.stderr)

    result = run(nets, batches, rounds, given.threads, given.compile, progress)
    print(table(result), file=sys.stderr)
    text = json.dumps(result, indent=2)
    if given.json == "-":
        print(text)
    else:
        Path(given.json).write_text(text + "\n")


if __name__ == "__main__":
    main()

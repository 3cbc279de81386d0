"""What it costs to read other people's JSON: `python -m benchmarks.inputs --json PATH`.

The same readings in four forms, each through the decoder that an edge worker has for it: our own JSON, which needs no
paths; JSON of plain names; nested JSON; and an expression that filters. With `--beside FOLDER`, another checkout, its
decoder of our own JSON, of pictures and of arrays is timed in a process of its own beside ours, batch after batch in
turn, to see whether those who map nothing pay for it. A figure is the median over batches, in microseconds a message;
a ratio is the median of the ratios of neighbouring batches.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hybrid_model.bundle import Input
from services.edge.ingest.decoding import payload_kind
from services.settings import InputSettings, LimitSettings

_SIGNAL = Input(kind="sensor", shape=(1, 128, 3), dtype="float32", rate_hz=50.0)
_PICTURE = Input(kind="image", shape=(32, 32, 3), dtype="uint8")
_BATCH, _ROUNDS = 200, 300
_QUICK_ROUNDS = 5
#: What an earlier checkout reads as well.
_PLAIN = ("own", "png", "jpeg", "array")


def messages() -> dict[str, bytes]:
    """The payloads, by form."""
    x, y, z = 21.5, -0.25, 1013.25
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    files = {}
    for form in ("png", "jpeg"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        files[form] = file.getvalue()
    listed = [{"name": name, "value": value} for name, value in (("a", 1), ("x", x), ("y", y), ("z", z))]
    return {
        "own": json.dumps({"t": 1.7e9, "values": [x, y, z]}).encode(),
        "names": json.dumps({"time": 1.7e9, "x": x, "y": y, "z": z}).encode(),
        "nested": json.dumps({"at": {"s": 1.7e9}, "env": {"t": {"x": x, "y": y}, "p": [z]}}).encode(),
        "expression": json.dumps({"time": 1.7e9, "list": listed}).encode(),
        **files,
        "array": pixels.tobytes(),
    }


def settings() -> dict[str, dict[str, Any]]:
    """The settings of an input of each form."""
    found = [f"list[?name=='{name}'] | [0].value" for name in ("x", "y", "z")]
    nested = ["env.t.x", "env.t.y", "env.p[0]"]
    return {
        "own": {"kind": "sensor"},
        "names": {"kind": "sensor", "fields": {"values": ["x", "y", "z"], "time": "time"}},
        "nested": {"kind": "sensor", "fields": {"values": nested, "time": "at.s"}},
        "expression": {"kind": "sensor", "fields": {"values": found, "time": "time"}},
        "png": {"kind": "image"},
        "jpeg": {"kind": "image", "fit": "resize"},
        "array": {"kind": "array"},
    }


def decoder(form: str) -> Callable[[bytes], object]:
    """What an edge worker reads the messages of one form with."""
    chosen = InputSettings(**settings()[form])
    kind: Any = payload_kind(_SIGNAL if chosen.kind == "sensor" else _PICTURE, chosen, LimitSettings())
    if chosen.kind == "sensor":
        read: Callable[[bytes], object] = kind.readings
        return read
    return lambda payload: kind.sample(payload, 1.0)


def batch_us(read: Callable[[bytes], object], payload: bytes) -> float:
    """Microseconds of processor time a message, over one batch."""
    begun = time.process_time_ns()
    for _ in range(_BATCH):
        read(payload)
    return (time.process_time_ns() - begun) / 1e3 / _BATCH


class Beside:
    """Another checkout's decoders, in a process that times a batch whenever it is told a form."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--serve"],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def batch_us(self, form: str) -> float:
        """One batch there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(form + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Time a batch of the form that a line of the input names; for as long as there are lines."""
    payloads, readers = messages(), {form: decoder(form) for form in _PLAIN}
    for line in sys.stdin:
        form = line.strip()
        sys.stdout.write(f"{batch_us(readers[form], payloads[form])}\n")
        sys.stdout.flush()


def run(rounds: int, beside: Path | None) -> dict[str, Any]:
    """All forms in turn, round after round; those that map nothing beside another checkout, if one is given."""
    payloads, readers = messages(), {form: decoder(form) for form in settings()}
    taken: dict[str, list[float]] = {form: [] for form in readers}
    for _ in range(rounds):
        for form, read in readers.items():
            taken[form].append(batch_us(read, payloads[form]))
    own = taken["own"]
    found: dict[str, Any] = {
        "messages_a_batch": _BATCH,
        "rounds": rounds,
        "us_a_message": {form: round(statistics.median(some), 2) for form, some in taken.items()},
        "over_own": {form: _ratio(taken[form], own) for form in ("names", "nested", "expression")},
    }
    if beside is not None:
        other = Beside(beside)
        found["over_beside"] = {}
        for form in _PLAIN:
            other.batch_us(form)
            pairs = []
            for number in range(rounds):
                here_first = number % 2 == 0
                there = None if here_first else other.batch_us(form)
                here = batch_us(readers[form], payloads[form])
                pairs.append((here, other.batch_us(form) if there is None else there))
            found["over_beside"][form] = _ratio([here for here, _ in pairs], [there for _, there in pairs])
        other.close()
    return found


def _ratio(above: list[float], below: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def main() -> None:
    """Measure as the command line says, print the figures and write them."""
    parser = argparse.ArgumentParser(description="What it costs to read other people's JSON.")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="batches of each form")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another checkout, timed in turn")
    parser.add_argument("--quick", action="store_true", help="seconds: whether it works, not what it costs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    text = json.dumps(run(_QUICK_ROUNDS if chosen.quick else chosen.rounds, chosen.beside), indent=1)
    sys.stdout.write(text + "\n")
    if chosen.json:
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

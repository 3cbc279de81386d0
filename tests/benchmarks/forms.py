"""The forms of seconds in which tests run benchmarks, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.short import BENCHMARKS
from services.servers import ServerMissingError, find_mosquitto

ROOT = Path(__file__).parents[2]

#: Of each benchmark that is run by `python -m benchmarks.NAME`: the arguments of its form of seconds.
FORMS: dict[str, list[str]] = {
    "cloud_half": ["--quick"],
    "edge_engine": ["--rounds", "1", "--picture", "{folder}/picture.svg"],
    "inputs": ["--quick", "--beside", str(ROOT)],
    "overhead": ["--quick", "--broker", "{broker}"],
    "pipeline": ["--quick", "--nets", "digits", "--broker", "{broker}"],
    "reuse": ["--quick"],
    "results": ["digits", "--folder", "{folder}/results"],
    "short": ["--quick", "--only", "inputs"],
    "sizes": ["--quick"],
    "traces": ["--quick", "--broker", "{broker}"],
}
#: Those that write no figures to `--json`.
WITHOUT_JSON = {"results"}


def broker() -> str:
    """Mosquitto where there is one: it is what benchmarks are run with."""
    try:
        find_mosquitto()
    except ServerMissingError:
        return "nats"
    return "mosquitto"


def figures_of(name: str, folder: Path, *more: str, statuses: tuple[int, ...] = (0,)) -> Any:
    """What a benchmark's form of seconds writes; the table of `make bench` can be made of it."""
    path = folder / "out.json"
    arguments = [part.format(folder=folder, broker=broker()) for part in FORMS[name]]
    written = [] if name in WITHOUT_JSON else ["--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments, *more, *written],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode in statuses, done.stdout + done.stderr
    if not written:
        return None
    found = json.loads(path.read_text())
    if name in BENCHMARKS:
        assert all(row["ratio"]["median"] > 0 for row in BENCHMARKS[name].ratios(found)), found
    return found

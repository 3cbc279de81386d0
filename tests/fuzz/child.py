"""`python -m tests.fuzz.child TARGET ...`: one decoder under libFuzzer, in a process of its own.

The log gets a JSON object a line: how many inputs were run and the memory held then, and every undocumented error with
the input that caused it. An error does not end the run; a crash or a hang of the process does.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import atheris

INSTRUMENTED = ["tests.fuzz.targets"] if "--unguided" in sys.argv else ["services", "hybrid_model"]

with atheris.instrument_imports(include=INSTRUMENTED):
    from tests.fuzz.targets import TARGETS, Target

_MARKS = 40
_ERRORS_MAX = 20
_MEMORY_MB_MAX = 4096


class Run:
    """Counts inputs and writes the log."""

    def __init__(self, target: Target, inputs: int, log: Path) -> None:
        self._target, self._log = target, log
        self._step = max(1, inputs // _MARKS)
        self._inputs = 0
        self._seen: set[str] = set()

    def one(self, payload: bytes) -> None:
        """One input."""
        if self._inputs % self._step == 0:
            self._write(inputs=self._inputs, rss_kb=_rss_kb())
        self._inputs += 1
        try:
            self._target.accepts(payload)
        except Exception as error:
            self._undocumented(error, payload)

    def _undocumented(self, error: Exception, payload: bytes) -> None:
        """Once for each place that raises."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} {place.filename}:{place.lineno}"
        if where not in self._seen and len(self._seen) < _ERRORS_MAX:
            self._seen.add(where)
            told = "".join(traceback.format_exception(error))[-3000:]
            self._write(inputs=self._inputs, error=where, traceback=told, payload=base64.b64encode(payload).decode())

    def _write(self, **fields: Any) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps(fields) + "\n")


def _rss_kb() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=[target.name for target in TARGETS])
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for the corpus and what libFuzzer leaves")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hang", type=int, default=10, metavar="SECONDS", help="an input that takes longer is a hang")
    parser.add_argument("--unguided", action="store_true", help="watch no coverage of our code")
    chosen = parser.parse_args()
    target = next(one for one in TARGETS if one.name == chosen.target)
    corpus = chosen.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds = target.seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    longest = 2 * max(512, *(len(seed) for seed in seeds))
    run = Run(target, chosen.inputs, chosen.log)
    # -len_control=0: long inputs from the start, as the seeds are.
    options = [
        f"-runs={chosen.inputs}", f"-timeout={chosen.hang}", f"-rss_limit_mb={_MEMORY_MB_MAX}", f"-max_len={longest}",
        f"-seed={chosen.seed}", f"-artifact_prefix={chosen.folder}/", "-len_control=0", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], run.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Runs everybody, round after round: each cell of a stand beside the same cell of the null limit."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.pipeline.cells import Cell
from benchmarks.pipeline.samples import samples_of
from benchmarks.pipeline.stands import Running, Stand, null_stand, started
from services.demo.processes import WorkerError
from services.servers import BrokerKind, Servers

_PROBE_EVERY_S, _PROBE_TIMEOUT_S = 0.05, 90.0
_DRAIN_S = 20.0


@dataclass(frozen=True)
class Times:
    """How long a cell is warmed up and measured, seconds."""

    warm_up_s: float
    seconds: float


class Generator:
    """The load generator's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pipeline.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **command: Any) -> dict[str, Any]:
        """One command's figures. Raises SystemExit where the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the load generator ended; what it wrote stands above")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Course:
    """One run: servers, the generator, the null limit that stays up, and what was found so far.

    Attributes:
        cells: One entry a round, stand and cell, with what was found `of` it and of the `null` beside it.
        starts: One entry a round and stand: seconds from the start of its processes to the first label.
    """

    def __init__(self, servers: Servers, folder: Path, times: Times, progress: Callable[[str], None]) -> None:
        self._servers, self._folder, self._times, self._progress = servers, folder, times, progress
        self._generator = Generator()
        self._sites = 0
        self._null: Running | None = None
        self.cells: list[dict[str, Any]] = []
        self.starts: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}

    def run(self, chosen: list[Stand], rounds: int) -> None:
        """All rounds; who stands first changes. A stand that fails is left out from then on, and told."""
        for net in dict.fromkeys(("digits", *(stand.net for stand in chosen))):
            self._generator.ask("load", net=net)
        with self._up(null_stand("5")) as self._null:
            self._probe(self._null, null_stand("5"))
            for number in range(rounds):
                turned = chosen[number % len(chosen) :] + chosen[: number % len(chosen)]
                for stand in turned:
                    if stand.key in self.failed:
                        continue
                    self._progress(f"round {number + 1} of {rounds}: {stand.key}")
                    try:
                        self._stand(stand, number)
                    except WorkerError as error:
                        self.failed[stand.key] = str(error)
                        self._progress(f"{stand.key}: {error}")

    def close(self) -> None:
        """End the generator."""
        self._generator.close()

    @contextlib.contextmanager
    def _up(self, stand: Stand) -> Iterator[Running]:
        self._sites += 1
        site = f"bench-{self._sites}"
        with started(stand, site, self._servers, self._folder / site) as running:
            yield running

    def _stand(self, stand: Stand, number: int) -> None:
        redis.Redis(port=self._servers.redis.port).flushall()
        with self._up(stand) as running:
            self.starts.append({"stand": stand.key, "round": number, **self._probe(running, stand)})
            capacity_hz = 0.0
            for place, cell in enumerate(stand.cells):
                rate_hz = None if cell.load is None else max(1.0, cell.load * capacity_hz)
                order = ("null", "of") if (number + place) % 2 == 0 else ("of", "null")
                found = {}
                for side in order:
                    assert self._null is not None
                    found[side] = self._measure(self._null if side == "null" else running, stand, cell, rate_hz)
                if cell.load is None:
                    capacity_hz = found["of"]["labels_per_s"]
                self.cells.append({"stand": stand.key, "cell": cell.name, "round": number, "rate_hz": rate_hz, **found})

    def _probe(self, running: Running, stand: Stand) -> dict[str, float]:
        """Seconds from now to the first label of the edge, and of the cloud, for those that have one."""
        samples, since, found = samples_of(stand.net), time.time(), {}
        wanted = {"edge": samples.easiest(), "cloud": samples.hardest()}
        for who, row in wanted.items():
            if who not in running.roles or (who == "edge" and stand.share == 1.0):
                continue
            answer = self._generator.ask(
                "probe",
                row=row,
                since=since,
                every_s=_PROBE_EVERY_S,
                timeout_s=_PROBE_TIMEOUT_S,
                **self._where(running, stand, Cell(in_flight=1)),
            )
            running.check()
            if answer["first_label_s"] is None:
                tails = "\n".join(process.log_tail() for process in running.processes)
                raise WorkerError(f"{stand.key} gave no label within {_PROBE_TIMEOUT_S:g} s:\n{tails}")
            found[f"{who}_first_label_s"] = answer["first_label_s"]
        return found

    def _measure(self, running: Running, stand: Stand, cell: Cell, rate_hz: float | None) -> dict[str, Any]:
        servers = {"broker": [self._servers.mqtt.pid], "redis": [self._servers.redis.pid]}
        found = self._generator.ask(
            "measure",
            roles={**running.roles, **servers},
            rate_hz=rate_hz,
            in_flight=cell.in_flight,
            warm_up_s=self._times.warm_up_s,
            seconds=self._times.seconds,
            drain_s=_DRAIN_S,
            redis_port=self._servers.redis.port,
            **self._where(running, stand, cell),
        )
        running.check()
        return found

    def _where(self, running: Running, stand: Stand, cell: Cell) -> dict[str, Any]:
        return {
            "mqtt_port": self._servers.mqtt.port,
            "site": running.site,
            "net": stand.net,
            "payload": cell.payload,
            "qos": cell.qos,
        }


def run(
    chosen: list[Stand], *, rounds: int, times: Times, broker: BrokerKind, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Everything that is measured, raw. Raises SystemExit where the servers or the generator fail."""
    missing = {stand.title: stand.missing for stand in chosen if stand.missing is not None}
    there = [stand for stand in chosen if stand.missing is None]
    load_before = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dewpoint-pipeline-")))
        servers = stack.enter_context(Servers(broker=broker, folder=folder / "servers"))
        course = Course(servers, folder, times, progress)
        stack.callback(course.close)
        course.run(there, rounds)
    return {
        "broker": broker,
        "rounds": rounds,
        "seconds": times.seconds,
        "cores": os.cpu_count(),
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "model_us": {net: samples_of(net).model_us() for net in dict.fromkeys(stand.net for stand in there)},
        "missing": missing,
        "failed": course.failed,
        "starts": course.starts,
        "cells": course.cells,
    }

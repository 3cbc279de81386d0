"""The edge worker: one thread that handles micro-batches, and the threads around it, started and stopped in order."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.common.logs import get_logger
from services.edge.connection import Connection
from services.edge.errors import StorageError
from services.edge.escalate import Escalations
from services.edge.ingest import Quarantine
from services.edge.ingest.quarantine import Run
from services.edge.journal import Disk
from services.edge.networks import EdgeNetwork
from services.edge.pipeline import Conclusion, Decided, Pipeline
from services.edge.upkeep import Housekeeping, Watchdog
from services.settings import Settings

__all__ = ["EdgeWorker"]

_TICK_S: Final = 0.1
#: How long the end of a hanging process waits for a note on the disk, which may hang itself.
_PUT_DOWN_S: Final = 1.0


class EdgeWorker:
    """Everything between a started broker and labels. `start`, then `stop`; each once. `compose` makes one.

    Args:
        settings: How long steps may take.
        connection: Brings messages, and acknowledges them.
        quarantine: Which messages run alone.
        pipeline: What is done with a micro-batch.
        escalations: The ways up, one a network; started and stopped here.
        networks: What it runs, for the log.
        housekeeping: What is done between batches.
        disk: Whether the journal can be written.
        resources: What is open, closed at the end.
        on_hang: Called in another thread when a batch outlasts `edge.batch_timeout_s`, or the worker's thread stands
            still for twice as long, as where a disk hangs; it ends the process.
        alarm: Let the kernel end the process too, where a batch hangs so that no other thread runs.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        connection: Connection,
        quarantine: Quarantine,
        pipeline: Pipeline,
        escalations: Sequence[Escalations],
        networks: Sequence[EdgeNetwork],
        housekeeping: Housekeeping,
        disk: Disk,
        resources: contextlib.ExitStack,
        on_hang: Callable[[], None] = lambda: None,
        alarm: bool = False,
    ) -> None:
        self._settings, self._log = settings, get_logger("edge")
        self._connection, self._quarantine, self._pipeline = connection, quarantine, pipeline
        self._escalations, self._housekeeping = escalations, housekeeping
        self._disk, self._resources, self._networks = disk, resources, networks
        self._on_hang = on_hang
        self._watchdog = Watchdog(
            batch_timeout_s=settings.edge.batch_timeout_s,
            on_hang=on_hang,
            on_still=self._end_blaming_nobody,
            alarm=alarm,
        )
        self._stopping = False
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)

    @property
    def impediments(self) -> list[str]:
        """What keeps samples from coming in and being handled now, a phrase each; nothing, if all is well."""
        impediments = []
        if not self.healthy:
            impediments.append("the worker has failed or is not started")
        link = self._connection.link
        if not link.connected:
            impediments.append(f"not connected to the MQTT broker at {link.address}")
        impediments += self._connection.impediments
        if self._disk.cause is not None:
            impediments.append(f"nothing can be stored: {self._disk.cause}")
        still_s = self._watchdog.still_s
        if still_s > self._settings.edge.batch_timeout_s / 2:
            impediments.append(f"the worker has been at one step for {still_s:.0f} s")
        return impediments

    @property
    def healthy(self) -> bool:
        """Whether the worker's thread runs, and goes on; a disk that hangs holds it as well."""
        going_on = self._watchdog.still_s <= self._watchdog.still_max_s
        return self._thread.is_alive() and not self._failed.is_set() and going_on

    def start(self) -> None:
        """Connect and begin. Raises MqttError where the broker cannot be reached or refuses, EdgeError as `compose`."""
        try:
            self._housekeeping.begin()
            self._connection.start()
        except BaseException:
            self._connection.stop(farewell=False)
            self._close_escalations()
            self._resources.close()
            raise
        self._watchdog.start()
        self._thread.start()
        for each in self._escalations:
            each.start()
        status = self._connection.status
        self._log.info(
            "edge_started",
            worker=status.worker,
            bundle=status.bundle,
            kernel=status.kernel,
            **self._housekeeping.rows,
        )
        for network in self._networks:
            self._log.info(
                "network_loaded",
                bundle=network.manifest.name,
                network=network.network_id,
                kernel=network.engine.kernel,
                weight_bytes=network.weight_bytes,
                load_s=round(network.load_s, 3),
            )

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the worker's thread has failed, False after `timeout_s`."""
        return self._failed.wait(timeout_s)

    def stop(self) -> None:
        """Finish the batch in hand, send and publish what is due, within bounds; the rest lies in the journal."""
        self._stopping = True
        self._connection.nudge()
        self._thread.join(self._settings.edge.drain_s)
        finished = not self._thread.is_alive()
        self._watchdog.stop()
        until_s = time.monotonic() + min(2.0, self._settings.redis.timeout_s)
        for each in self._escalations:
            each.stop(timeout_s=max(0.0, until_s - time.monotonic()))
        self._connection.stop(farewell=True)
        self._close_escalations()
        if finished:
            with contextlib.suppress(StorageError):  # those labels are published again, byte for byte
                self._housekeeping.finish()
            self._resources.close()
        self._log.info("edge_stopped", worker=self._connection.status.worker, batch_finished=finished)

    def _close_escalations(self) -> None:
        for each in self._escalations:
            each.close()

    # The worker's thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._watchdog.moved()
                for run in self._quarantine.runs(self._connection.arrivals(_TICK_S)):
                    if not self._handle(run):
                        break
                self._housekeeping.do()
        except BaseException:  # a decoder may raise anything; whoever watches must hear of it
            self._log.exception("edge_failed")
            self._failed.set()

    def _handle(self, run: Run) -> bool:
        """One run, from decoding to acknowledgement. False where the worker stops before it could be stored.

        What fails in between ends the worker, and its messages run alone when they come again; but for a disk that
        fails, which is none of their fault.
        """
        self._watchdog.moved()
        try:
            if not self._stored(lambda: self._quarantine.begin(run)):
                return False
            with self._watchdog.watching():
                decided = self._pipeline.decide(run.arrivals)
            if self._concluded(decided) and self._stored(lambda: self._quarantine.end(run)):
                return True
        except (sqlite3.Error, StorageError):
            self._quarantine.put_down()
            raise
        self._quarantine.put_down()
        return False

    def _concluded(self, decided: Decided) -> bool:
        """Commit, and only then do what follows from it. False where the worker stops before."""
        conclusions: list[Conclusion] = []
        if not self._stored(lambda: conclusions.append(self._pipeline.conclude(decided))):
            return False
        [conclusion] = conclusions
        self._connection.acknowledge(conclusion.deliveries)
        shed = self._housekeeping.shed()
        self._pipeline.hand_over(decided, shed=shed)
        self._housekeeping.wait_for(deadline for deadline in conclusion.deadlines if deadline[0] not in shed)
        return True

    def _stored(self, store: Callable[[], Any]) -> bool:
        self._watchdog.moved()
        return self._disk.until_stored("batch", store, give_up=lambda: self._stopping, pause=self._pause)

    def _pause(self) -> None:
        time.sleep(_TICK_S)
        self._watchdog.moved()
        self._housekeeping.do()

    def _end_blaming_nobody(self) -> None:
        """What hangs is no batch: the disk, most likely. No message in hand needs to run alone for that."""
        aside = threading.Thread(target=self._quarantine.put_down, name="put-down", daemon=True)  # this may hang too
        aside.start()
        aside.join(_PUT_DOWN_S)
        self._on_hang()

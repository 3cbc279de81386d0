"""The edge worker: one thread that handles micro-batches, and the threads around it, started and stopped in order."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from hybrid_model.bundle import Manifest
from hybrid_model.runtime import Engine
from services.common.logs import get_logger
from services.edge.connection import Connection
from services.edge.errors import EdgeError, StorageError
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.escalate.back_pressure import QueueLimits
from services.edge.escalate.replies import ReplyReader
from services.edge.escalate.sender import Uplink
from services.edge.escalate.streams import Streams
from services.edge.exits.control import ExitControl
from services.edge.ingest.quarantine import Attempts, Run
from services.edge.journal.disk import Storage
from services.edge.journal.in_hand import InHand
from services.edge.journal.samples import Journal
from services.edge.journal.spool import Spool
from services.edge.observe.audit import Audits
from services.edge.observe.drift import DriftGauges
from services.edge.observe.recent_inputs import KeptInputs
from services.edge.pipeline import Router
from services.edge.publish.finals import Finals
from services.edge.publish.labels import LabelMaker
from services.edge.publish.outbox import Outbox
from services.edge.upkeep.deadlines import Deadlines
from services.edge.upkeep.housekeeping import Chores
from services.edge.upkeep.journal_limits import Bounds
from services.edge.upkeep.watchdog import Watchdog
from services.messages import Status
from services.metrics import DeviceNames, EdgeMetrics
from services.security.feature_keys import FeatureKeys
from services.settings import EdgeSettings, Settings
from services.traces import EdgeTraces

__all__ = ["EdgeWorker"]

_TICK_S: Final = 0.1
_PUT_DOWN_S: Final = 1.0


class EdgeWorker:
    """Everything between a started broker and labels. `start`, then `stop`; each once.

    Args:
        settings: All of them.
        manifest: The bundle's.
        engine: Its edge half.
        spool: The worker's folder, held.
        metrics: What is counted.
        traces: Records what becomes of samples; stopped by whoever made it. Nothing is recorded if None.
        on_hang: Called in another thread when a batch outlasts `edge.batch_timeout_s`, or the worker's thread stands
            still for twice as long, as where a disk hangs; it ends the process.
        alarm: Let the kernel end the process too, where a batch hangs so that no other thread runs.

    Raises:
        EdgeError: where an input cannot feed the bundle, or the spool cannot be read or written.
    """

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        engine: Engine,
        spool: Spool,
        metrics: EdgeMetrics,
        traces: EdgeTraces | None = None,
        *,
        on_hang: Callable[[], None] = lambda: None,
        alarm: bool = False,
    ) -> None:
        self._settings, self._spool, self._metrics = settings, spool, metrics
        self._log = get_logger("edge")
        edge, site = settings.edge, settings.site.name
        traces = traces or EdgeTraces()
        labels = LabelMaker(manifest)
        self._status = Status(state="online", worker=spool.worker, bundle=labels.bundle, kernel=engine.kernel)
        devices = DeviceNames(settings.metrics.devices_max)
        self._exits = ExitControl(edge, manifest, engine, metrics)
        self._connection = Connection(settings, spool, self._status, metrics, self._exits)
        self._link = self._connection.link
        self._storage = Storage(metrics)
        #: The last inputs, to explain decisions by.
        self.kept_inputs = KeptInputs(edge.inputs_kept, edge.inputs_kept_bytes_max)
        with _failing_to_start(), contextlib.ExitStack() as opened:
            self._journal = opened.enter_context(
                Journal(spool.journal_path, power_safe=edge.durability == "power", bytes_max=edge.journal_bytes_max)
            )
            self._in_hand = opened.enter_context(InHand(spool.in_hand_path, edge.batch_max))
            self._journal.networks.remember(labels.network)
            self._attempts = Attempts(
                self._journal.attempted, self._in_hand, metrics, max_deliveries=edge.max_deliveries
            )
            self._outbox = Outbox(self._link, self._journal, metrics, traces, site=site)
            self._finals = Finals(self._journal, self._outbox, metrics, devices, self._exits, traces)
            self._bounds = Bounds(
                self._journal,
                self._finals,
                self._storage,
                metrics,
                waiting_max=edge.waiting_max,
                bytes_max=edge.journal_bytes_max,
            )
            self._streams = Streams(
                settings.redis,
                manifest.network_id,
                self._journal.awaited_streams(),
                site=site,
                worker=spool.worker,
                keys=_feature_keys(edge),
            )
            self._replies = ReplyReader(
                self._streams,
                self._journal,
                self._finals,
                self._outbox,
                self._storage,
                metrics,
                corrections=edge.correction,
            )
            audit_queue = AuditQueue(edge.audit.queue_length_max, metrics)
            audits = Audits(
                edge.audit.share, manifest, engine, audit_queue, metrics, devices, site=site, worker=spool.worker
            )
            drift = DriftGauges(manifest, metrics, devices)
            self._uplink = Uplink(
                self._streams,
                self._journal,
                self._replies,
                self._finals,
                metrics,
                devices,
                audit_queue,
                traces,
                limits=QueueLimits.of(edge),
                resend_per_s=edge.resend_per_s,
            )
            self._deadlines = Deadlines()
            self._router = Router(
                settings,
                manifest,
                self._exits,
                self._journal,
                self._bounds,
                self._outbox,
                self._uplink,
                metrics,
                devices,
                audits,
                drift,
                worker=spool.worker,
                kept=self.kept_inputs,
                traces=traces,
                acknowledge=self._link.acknowledge,
                on_deadlines=self._deadlines.add,
            )
            opened.pop_all()
        self._chores = Chores(
            self._journal,
            self._storage,
            self._bounds,
            self._deadlines,
            self._finals,
            self._outbox,
            self._uplink,
            self._connection,
            self._exits,
            metrics,
            drift,
            dedupe_window_s=edge.dedupe_window_s,
        )
        self._on_hang = on_hang
        self._watchdog = Watchdog(
            batch_timeout_s=edge.batch_timeout_s, on_hang=on_hang, on_still=self._end_blaming_nobody, alarm=alarm
        )
        self._stopping = False
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)

    @property
    def impediments(self) -> list[str]:
        """What keeps samples from coming in and being handled now, a phrase each; nothing, if all is well."""
        found = []
        if not self.healthy:
            found.append("the worker has failed or is not started")
        if not self._link.connected:
            found.append(f"not connected to the MQTT broker at {self._link.address}")
        found += self._connection.impediments
        if self._storage.cause is not None:
            found.append(f"nothing can be stored: {self._storage.cause}")
        still_s = self._watchdog.still_s
        if still_s > self._settings.edge.batch_timeout_s / 2:
            found.append(f"the worker has been at one step for {still_s:.0f} s")
        return found

    @property
    def healthy(self) -> bool:
        """Whether the worker's thread runs, and goes on; a disk that hangs holds it as well."""
        going_on = self._watchdog.still_s <= self._watchdog.still_max_s
        return self._thread.is_alive() and not self._failed.is_set() and going_on

    def start(self) -> None:
        """Connect and begin. Raises MqttError where the broker cannot be reached or refuses, EdgeError as above."""
        try:
            self._deadlines.add(self._deadlines_of_earlier_runs())
            self._connection.start()
        except BaseException:
            self._connection.stop(farewell=False)
            self._journal.close()
            self._in_hand.close()
            raise
        self._watchdog.start()
        self._thread.start()
        self._replies.start()
        self._uplink.start()
        self._log.info(
            "edge_started",
            worker=self._spool.worker,
            bundle=self._status.bundle,
            kernel=self._status.kernel,
            **self._journal.counts,
        )

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the worker's thread has failed, False after `timeout_s`."""
        return self._failed.wait(timeout_s)

    def stop(self) -> None:
        """Finish the batch in hand, send and publish what is due, within bounds; the rest lies in the journal."""
        self._stopping = True
        self._connection.intake.nudge()
        self._thread.join(self._settings.edge.drain_s)
        finished = not self._thread.is_alive()
        self._watchdog.stop()
        self._uplink.stop(timeout_s=min(2.0, self._settings.redis.timeout_s))
        self._replies.stop()
        self._connection.stop(farewell=True)
        self._streams.close()
        if finished:
            with contextlib.suppress(StorageError):  # those labels are published again, byte for byte
                self._chores.mark_done()
            self._journal.close()
            self._in_hand.close()
        self._log.info("edge_stopped", worker=self._spool.worker, batch_finished=finished)

    # The worker's thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._watchdog.moved()
                for run in self._attempts.runs(self._connection.arrivals(_TICK_S)):
                    if not self._handle(run):
                        break
                self._chores.do()
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
            if not self._stored(partial(self._attempts.begin, run)):
                return False
            with self._watchdog.watching():
                decided = self._router.decide(run.arrivals)
            if self._stored(partial(self._router.conclude, decided)) and self._stored(partial(self._attempts.end, run)):
                return True
        except (sqlite3.Error, StorageError):
            self._attempts.put_down()
            raise
        self._attempts.put_down()
        return False

    def _stored(self, store: Callable[[], None]) -> bool:
        self._watchdog.moved()
        return self._storage.until_stored("batch", store, give_up=lambda: self._stopping, pause=self._pause)

    def _pause(self) -> None:
        time.sleep(_TICK_S)
        self._watchdog.moved()
        self._chores.do()

    def _end_blaming_nobody(self) -> None:
        """What hangs is no batch: the disk, most likely. No message in hand needs to run alone for that."""
        aside = threading.Thread(target=self._attempts.put_down, name="put-down", daemon=True)  # this may hang as well
        aside.start()
        aside.join(_PUT_DOWN_S)
        self._on_hang()

    def _deadlines_of_earlier_runs(self) -> list[tuple[tuple[str, str], float]]:
        found, after = [], 0
        while rows := self._journal.waiting(after=after, limit=1000):
            found += [(row.key, row.deadline_s) for row in rows if row.deadline_s is not None]
            after = rows[-1].n
        return found


@contextlib.contextmanager
def _failing_to_start() -> Iterator[None]:
    """What fails on the spool's disk now keeps the worker from starting."""
    try:
        yield
    except StorageError as error:
        raise EdgeError(f"{error}; make room on the disk of the spool") from None


def _feature_keys(edge: EdgeSettings) -> FeatureKeys | None:
    path = edge.features_key_file
    return None if path is None else FeatureKeys(path, setting="edge.features_key_file")

"""The way up: sends hard samples into the feature stream, and again those that are found gone.

Its queue in memory is a short cut; what counts is the journal. An outage loses nothing, and a Redis that refuses writes
is one: rows wait, and once Redis is back each is looked up, and sent again only if its entry is gone and no reply has
come meanwhile. Fresh samples go first, and what is sent again is paced. What no cloud worker could read is not sent
again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from services.common.backoff import BackOff
from services.common.logs import SparseLog, get_logger
from services.edge.errors import StorageError
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.escalate.back_pressure import QueueLimits, QueueWatch
from services.edge.escalate.resend import Resend
from services.edge.escalate.streams import Streams
from services.edge.journal.records import Key, WaitingRow
from services.edge.publish import Finals
from services.feature_stream import EdgeFeatures, StreamFullError, StreamUnavailableError
from services.messages import Escalation
from services.metrics import DeviceNames, EdgeMetrics
from services.traces import EdgeTraces

__all__ = ["Sender"]

#: Fresh samples sent, or shed, in one go; the limits of the stream are looked at before each.
_SEND_MAX: Final = 256
#: Fresh samples in hand: some seconds' worth, a few MiB. The others wait as rows, and are found there.
_QUEUE_MAX: Final = 8192
#: The same while Redis is away: once it is back every row is looked up anyhow.
_QUEUE_AWAY_MAX: Final = 256
#: Batches of fresh samples in a turn, so that what has its own time (the registry, the look, resending) gets it.
_BATCHES_MAX: Final = 16
#: Seconds between entries into the registry: a Redis that was wiped on open connections learns of the streams again.
_REGISTER_S: Final = 10.0
#: Seconds between looks at the stream; what this worker adds meanwhile is counted here.
_LOOK_S: Final = 2.0
#: Seconds between passes over the waiting rows: so late is noticed that entries were lost.
_RESEND_S: Final = 10.0
#: Seconds that the thread sleeps at most: so late it sees that something is due, or that it is to stop.
_TICK_S: Final = 0.25
#: Seconds until the next try after a first failure: a connection that was merely cut is back by then.
_PAUSE_MIN_S: Final = 0.2
#: Seconds between tries at most: an outage costs little, and its end is noticed soon.
_PAUSE_MAX_S: Final = 5.0


class Sender:
    """A thread that alone escalates.

    Args:
        streams: Where to.
        resend: Finds the rows that are to be sent again.
        finals: Settles what the stream has no room for.
        audits: What is sent when no hard sample waits.
        metrics: Counts what is sent, and shows the queue.
        devices: Names of devices in metrics.
        traces: Records when what was sent.
        limits: What the stream may reach; beyond, fresh samples are shed, and none is sent again.
    """

    def __init__(
        self,
        *,
        streams: Streams,
        resend: Resend,
        finals: Finals,
        audits: AuditQueue,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        traces: EdgeTraces,
        limits: QueueLimits,
    ) -> None:
        self._streams, self._resend, self._finals = streams, resend, finals
        self._audits, self._metrics, self._devices, self._traces = audits, metrics, devices, traces
        self._queue = QueueWatch(limits)
        network = streams.network_id
        self._queue_depth = metrics.queue_depth.labels(network=network)
        self._queue_oldest_age_s = metrics.queue_oldest_age_s.labels(network=network)
        self._log, self._sparse_log = get_logger("edge"), SparseLog("edge")
        self._fresh: deque[Escalation] = deque()
        self._expected: set[Key] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._reachable = True
        self._back_off = BackOff(first_s=_PAUSE_MIN_S, most_s=_PAUSE_MAX_S)
        self._interruptions = 0
        self._due = {"register": 0.0, "look": 0.0, "resend": 0.0}
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    @property
    def reachable(self) -> bool:
        """Whether Redis took the last call."""
        return self._reachable

    @property
    def fill(self) -> float:
        """How near the feature stream is to its limits, as last seen: 1 where fresh samples are shed."""
        return self._queue.fill

    def start(self) -> None:
        """Begin: register, look up rows of earlier runs, send."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Send what is in hand within `timeout_s`, then end; the rest waits in the journal."""
        deadline = time.monotonic() + timeout_s
        while self._fresh and self._reachable and time.monotonic() < deadline:
            self._wake.set()
            time.sleep(0.01)
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._audits.drop("stopped")

    def expect(self, keys: Iterable[Key]) -> None:
        """These rows are about to be committed as waiting and offered: nobody needs to look for them."""
        with self._lock:
            self._expected.update(keys)

    def offer(self, escalations: Sequence[Escalation]) -> None:
        """Send these soon; their rows are committed."""
        if not escalations:  # nearly always, where most leave at the edge: nobody is woken for that
            return
        with self._lock:
            self._fresh.extend(escalations)
            self._leave_to_the_journal(_QUEUE_MAX if self._reachable else _QUEUE_AWAY_MAX)
        self._wake.set()

    def forgo(self, keys: Iterable[Key]) -> None:
        """These rows are final already: what was expected or offered of them is not sent."""
        with self._lock:
            self._expected.difference_update(keys)

    def look_again(self) -> None:
        """Look up every waiting row now, instead of at the next turn."""
        self._due["resend"] = 0.0
        self._wake.set()

    def _leave_to_the_journal(self, room: int) -> None:
        """Keep the newest in hand; the others wait as rows, and are found there."""
        while len(self._fresh) > room:
            left = self._fresh.popleft()
            self._expected.discard((left.device, left.id))
            self._due["resend"] = 0.0

    def _run(self) -> None:
        while not self._stopping:
            pause_s = None if self._queue.is_full else self._resend.pause_s
            self._wake.wait(_TICK_S if pause_s is None else pause_s)
            self._wake.clear()
            try:
                self._turn()
                self._reached()
            except StreamUnavailableError as error:
                self._lost(error)
            except StorageError:  # the worker reports it; what was to be shed or sent again waits in the journal
                time.sleep(_TICK_S)
            except Exception:
                self._log.exception("sender_failed")
                self._lost(StreamUnavailableError("see the log"))

    def _turn(self) -> None:
        interruptions = self._resend.interruptions
        if interruptions != self._interruptions:
            self._interruptions = interruptions
            self._due.update(register=0.0, resend=0.0)
        if self._is_due("register", _REGISTER_S):
            self._streams.register()
        if self._is_due("look", _LOOK_S):
            self._look()
        for _ in range(_BATCHES_MAX):
            if not self._fresh or self._stopping:
                break
            self._send_fresh()
        if self._stopping:
            return
        if self._resend.pause_s is None and self._is_due("resend", _RESEND_S):
            self._resend.begin()
        if not self._queue.is_full:
            self._send_again(self._resend.portion(passed_over=self._is_fresh, queued=self._queue.length))
        if self._fresh or self._audits.send(self._streams.current, crowded=self._queue.is_full):
            self._wake.set()

    def _is_fresh(self, key: Key) -> bool:
        with self._lock:
            return key in self._expected

    def _is_due(self, what: str, period_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + period_s
        return True

    def _look(self) -> None:
        state = self._streams.current.queue()
        self._queue_depth.set(state.length)
        self._queue_oldest_age_s.set(state.oldest_age_s)
        self._queue.see(state)

    def _send_fresh(self) -> None:
        with self._lock:
            taken = [self._fresh.popleft() for _ in range(min(_SEND_MAX, len(self._fresh)))]
            escalations = [each for each in taken if (each.device, each.id) in self._expected]
        keys = [(each.device, each.id) for each in escalations]
        try:
            if self._queue.is_full:
                self._shed(keys)
            else:
                self._send(self._streams.current, escalations, again=False)
        finally:
            with self._lock:
                self._expected.difference_update(keys)

    def _send(self, features: EdgeFeatures, escalations: Sequence[Escalation], *, again: bool) -> None:
        since = time.time()
        added = features.escalate(escalations)
        self._traces.escalated(escalations, since)
        for escalation, was_added in zip(escalations, added, strict=True):
            if was_added:
                device = self._devices(escalation.device)
                size = len(escalation.features)
                self._queue.add(len(escalation.encode()))
                self._metrics.escalations.labels(device=device, again="yes" if again else "no").inc()
                self._metrics.feature_bytes.labels(device=device).inc(size)
                self._metrics.feature_bytes_size.observe(size)

    def _shed(self, keys: Sequence[Key]) -> None:
        """Make the edge's label final, but where an entry stands: an earlier try may have added it unseen."""
        standing = self._streams.current.entries_exist(keys)
        lost = [key for key, stands in zip(keys, standing, strict=True) if not stands]
        self._finals.settle_keys(lost, "shed")

    def _send_again(self, rows: Sequence[WaitingRow]) -> None:
        for key, attempts in self._resend.next_attempts(rows).items():
            self._sparse_log.info("escalating_again", rows=len(attempts), network=key[0])
            self._send(self._streams.by_key[key], attempts, again=True)

    def _reached(self) -> None:
        self._metrics.redis_reachable.set(1)
        self._back_off.reset()
        if not self._reachable:
            self._reachable = True
            self._resend.begin()  # what was being sent when Redis went away may be gone
            self._wake.set()
            self._log.info("redis_reachable_again")

    def _lost(self, error: Exception) -> None:
        self._metrics.redis_reachable.set(0)
        if self._reachable:
            self._reachable = False
            event = "redis_refuses_writes" if isinstance(error, StreamFullError) else "redis_unreachable"
            self._log.warning(event, cause=str(error))
        self._audits.drop("redis_away")
        with self._lock:
            self._leave_to_the_journal(_QUEUE_AWAY_MAX)
            self._due = dict.fromkeys(self._due, 0.0)
        deadline = time.monotonic() + self._back_off.next_s()
        while not self._stopping and time.monotonic() < deadline:
            self._wake.wait(max(0.0, min(_TICK_S, deadline - time.monotonic())))
            self._wake.clear()

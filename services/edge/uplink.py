"""The way up: sends hard samples into the feature stream, and again those that are found gone.

Its queue in memory is a short cut; what counts is the journal. An outage loses nothing: rows wait, and once Redis is
back each is looked up, and sent again only if its entry is gone and no reply has come meanwhile.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from services.edge.finals import Finals
from services.edge.journal import Journal
from services.edge.records import Key, WaitingRow
from services.edge.replies import ReplyReader
from services.edge.streams import StreamKey, Streams
from services.feature_stream import EdgeFeatures, StreamFull, StreamUnavailable
from services.logs import get_logger
from services.messages import Escalation
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["Uplink"]

_SEND_MAX: Final = 256
_QUEUE_MAX: Final = 8192
_RESEND_ROWS: Final = 512
_REGISTER_S: Final = 10.0
_LOOK_S: Final = 2.0
_RESEND_S: Final = 10.0
_TICK_S: Final = 0.25
_PAUSE_MAX_S: Final = 5.0


class Uplink:
    """A thread that alone escalates.

    Args:
        streams: Where to.
        journal: The rows that wait.
        replies: Reads replies to the end before anything is sent again.
        finals: Settles what the stream has no room for.
        metrics: Counts what is sent, and shows the queue.
        devices: Names of devices in metrics.
        queue_length_max: Entries in the stream above which nothing more is sent: shed.
    """

    def __init__(
        self,
        streams: Streams,
        journal: Journal,
        replies: ReplyReader,
        finals: Finals,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        *,
        queue_length_max: int,
    ) -> None:
        self._streams, self._journal, self._replies, self._finals = streams, journal, replies, finals
        self._metrics, self._devices, self._queue_length_max = metrics, devices, queue_length_max
        self._log = get_logger("edge")
        self._fresh: deque[Escalation] = deque()
        self._expected: set[Key] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._reachable = True
        self._overfull = False
        self._failures = 0
        self._interruptions = 0
        self._due = {"register": 0.0, "look": 0.0, "resend": 0.0}
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    @property
    def reachable(self) -> bool:
        """Whether Redis answered the last call."""
        return self._reachable

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

    def expect(self, keys: Iterable[Key]) -> None:
        """These rows are about to be committed as waiting and offered: nobody needs to look for them."""
        with self._lock:
            self._expected.update(keys)

    def offer(self, escalations: Sequence[Escalation]) -> None:
        """Send these soon; their rows are committed."""
        with self._lock:
            room = max(0, _QUEUE_MAX - len(self._fresh))
            self._fresh.extend(escalations[:room])
            if room < len(escalations):
                self._expected.difference_update((one.device, one.id) for one in escalations[room:])
                self._due["resend"] = 0.0
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(_TICK_S)
            self._wake.clear()
            try:
                self._turn()
                self._reached()
            except StreamUnavailable as error:
                self._lost(error)
            except Exception:
                self._log.exception("uplink_failed")
                self._lost(StreamUnavailable("see the log"))

    def _turn(self) -> None:
        interruptions = self._replies.interruptions
        if interruptions != self._interruptions:
            self._interruptions = interruptions
            self._due.update(register=0.0, resend=0.0)
        if self._is_due("register", _REGISTER_S):
            self._register()
        if self._is_due("look", _LOOK_S):
            self._look()
        while self._fresh and not self._stopping:
            self._send_fresh()
        if not self._stopping and self._is_due("resend", _RESEND_S):
            self._resend()

    def _is_due(self, what: str, period_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + period_s
        return True

    def _register(self) -> None:
        try:
            self._streams.register()
        except StreamFull:
            self._overfull = True

    def _look(self) -> None:
        state = self._streams.current.queue()
        self._metrics.queue_depth.set(state.length)
        self._metrics.queue_oldest_age_s.set(state.oldest_age_s)
        self._overfull = state.length >= self._queue_length_max

    def _send_fresh(self) -> None:
        with self._lock:
            escalations = [self._fresh.popleft() for _ in range(min(_SEND_MAX, len(self._fresh)))]
        keys = [(one.device, one.id) for one in escalations]
        try:
            if self._overfull:
                self._shed(keys)
            else:
                self._send(self._streams.current, escalations, again=False)
        finally:
            with self._lock:
                self._expected.difference_update(keys)

    def _send(self, features: EdgeFeatures, escalations: Sequence[Escalation], *, again: bool) -> None:
        try:
            added = features.escalate(escalations)
        except StreamFull:
            self._overfull = True
            self._shed([(one.device, one.id) for one in escalations])
            return
        for escalation, was_added in zip(escalations, added, strict=True):
            if was_added:
                device = self._devices(escalation.device)
                size = len(escalation.features)
                self._metrics.escalations.labels(device=device, again="yes" if again else "no").inc()
                self._metrics.feature_bytes.labels(device=device).inc(size)
                self._metrics.feature_bytes_size.observe(size)

    def _shed(self, keys: Sequence[Key]) -> None:
        self._finals.settle(list(self._journal.waiting_rows(keys).values()), "shed")

    def _resend(self) -> None:
        """Look for the entries of all waiting rows; send again those that are gone and still wait."""
        after = 0
        while not self._stopping:
            rows = self._journal.waiting(after=after, limit=_RESEND_ROWS)
            if not rows:
                return
            after = rows[-1].n
            with self._lock:
                rows = [row for row in rows if row.key not in self._expected]
            gone = self._gone(rows)
            if gone:
                self._replies.read_to_end()
                self._send_again(gone)
            if self._fresh:
                self._send_fresh()

    def _gone(self, rows: Iterable[WaitingRow]) -> list[WaitingRow]:
        by_stream: dict[StreamKey, list[WaitingRow]] = defaultdict(list)
        for row in rows:
            by_stream[row.network, row.partitions].append(row)
        gone = []
        for key, chosen in by_stream.items():
            standing = self._streams.by_key[key].entries_exist([row.key for row in chosen])
            gone += [row for row, stands in zip(chosen, standing, strict=True) if not stands]
        return gone

    def _send_again(self, rows: Sequence[WaitingRow]) -> None:
        self._register()
        for key in {(row.network, row.partitions) for row in rows}:
            attempts = []
            for row in rows:
                if (row.network, row.partitions) == key:
                    last = Escalation.decode(row.escalation)
                    attempts.append(replace(last, attempt=last.attempt + 1))
            still = self._journal.escalate_again([((one.device, one.id), one.encode()) for one in attempts])
            due = [one for one, waits in zip(attempts, still, strict=True) if waits]
            if due:
                self._log.info("escalating_again", rows=len(due), network=key[0])
                self._send(self._streams.by_key[key], due, again=True)

    def _reached(self) -> None:
        self._metrics.redis_reachable.set(1)
        self._failures = 0
        if not self._reachable:
            self._reachable = True
            self._due["resend"] = 0.0  # what was being sent when Redis went away may be gone
            self._wake.set()
            self._log.info("redis_reachable_again")

    def _lost(self, error: Exception) -> None:
        self._metrics.redis_reachable.set(0)
        if self._reachable:
            self._reachable = False
            self._log.warning("redis_unreachable", cause=str(error))
        self._due = dict.fromkeys(self._due, 0.0)
        self._failures += 1
        pause_s = min(_PAUSE_MAX_S, 0.1 * 2.0 ** min(self._failures, 8)) * random.uniform(0.5, 1.0)
        deadline = time.monotonic() + pause_s
        while not self._stopping and time.monotonic() < deadline:
            self._wake.wait(max(0.0, min(_TICK_S, deadline - time.monotonic())))
            self._wake.clear()

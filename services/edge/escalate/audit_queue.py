"""Audits on their way from the worker's thread to the sender's: few, bounded, and always behind hard samples."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from services.common.logs import SparseLog
from services.feature_stream import EdgeFeatures, StreamFullError, StreamUnavailableError
from services.messages import Escalation
from services.metrics import EdgeMetrics

__all__ = ["REASONS", "AuditQueue"]

#: Why audits are dropped.
REASONS: Final = ("redis_away", "queue_full", "stream_full", "too_many", "failed", "stopped")
#: Audits that wait in memory: some seconds' worth, less than a MiB of features of most networks.
_IN_HAND_MAX: Final = 512
#: Audits sent in one go: so few that a hard sample that comes meanwhile does not wait for long.
_SEND_MAX: Final = 128
#: Seconds without a try after one that failed: each may last for the timeout of a call.
_PAUSE_S: Final = 10.0


class AuditQueue:
    """What waits to be sent. `offer` and `refuse` are the worker's thread's, the others the sender's.

    Args:
        length_max: Entries in the audit stream above which nothing is added.
        metrics: Counts what is sent and dropped.
    """

    def __init__(self, *, length_max: int, metrics: EdgeMetrics) -> None:
        self._length_max, self._metrics = length_max, metrics
        self._waiting: deque[Escalation] = deque()
        self._refusal: str | None = None
        self._paused_until = 0.0
        self._log = SparseLog("edge")
        for reason in REASONS:  # a series that is there from the start, so that its first rise is seen
            metrics.audits_dropped.labels(reason=reason)

    @property
    def refusal(self) -> str | None:
        """Why nothing more is taken now: `redis_away`, `queue_full` or `too_many`; None where it is."""
        if self._refusal is None and len(self._waiting) >= _IN_HAND_MAX:
            return "too_many"
        return self._refusal

    def offer(self, audits: Sequence[Escalation]) -> None:
        """Send these some time."""
        room = max(0, _IN_HAND_MAX - len(self._waiting))
        self._waiting.extend(audits[:room])
        self._dropped("too_many", len(audits) - room)

    def refuse(self, count: int) -> None:
        """So many were chosen and not even computed."""
        self._dropped(self.refusal or "too_many", count)

    def drop(self, reason: str) -> None:
        """Forget what waits, and take no more until something can be sent again."""
        self._refusal = reason
        count = len(self._waiting)
        for _ in range(count):  # not all: what is offered meanwhile would go uncounted
            self._waiting.popleft()
        self._dropped(reason, count)

    def send(self, features: EdgeFeatures, *, crowded: bool) -> bool:
        """Send some of it, unless hard samples are being shed (`crowded`). Whether more waits. Raises nothing.

        A failure is not repeated for a while: a call that does not answer holds up the hard samples behind it.
        """
        if crowded:
            self.drop("queue_full")
            return False
        if time.monotonic() < self._paused_until:
            self.drop("redis_away")
            return False
        self._refusal = None
        batch = [self._waiting.popleft() for _ in range(min(_SEND_MAX, len(self._waiting)))]
        if not batch:
            return False
        try:
            added = features.audit(batch, length_max=self._length_max)
        except StreamFullError:
            self._dropped("queue_full", len(batch))
            return False
        except StreamUnavailableError as error:
            self._paused_until = time.monotonic() + _PAUSE_S
            self._dropped("redis_away", len(batch))
            self._warn(error)
            return False
        except Exception as error:  # no hard sample waits for an audit
            self._dropped("failed", len(batch))
            self._warn(error)
            return False
        self._metrics.audits_sent.inc(sum(added))
        self._dropped("stream_full", len(batch) - sum(added))
        return bool(self._waiting)

    def _warn(self, error: Exception) -> None:
        self._log.warning("audits_not_sent", cause=f"{type(error).__name__}: {error}")

    def _dropped(self, reason: str, count: int) -> None:
        if count > 0:
            self._metrics.audits_dropped.labels(reason=reason).inc(count)

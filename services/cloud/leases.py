"""Keeps the leases of what a worker has in hand, and ends the process when a forward outlasts its bound."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from services.common.logs import get_logger
from services.feature_stream import CloudFeatures, Delivery, StreamUnavailableError

__all__ = ["LeaseKeeper", "Watchdog"]

#: Seconds after a forward's bound: whoever can end the process in a better way has had the time to.
_GRACE_S: Final = 1.0

_log = get_logger("cloud")


class LeaseKeeper:
    """Renews leases at a quarter of their length, in a thread of its own, from `start` to `stop`.

    Args:
        features: Where the leases are.
        batch_timeout_s: The longest that one forward may take. Longer ones end the process, and the renewals with it.
        on_renewed: Called with the number of leases that were renewed.
        on_hang: Called when a forward outlasts `batch_timeout_s`; it does not return.
        watchdog: Ends the process where even `on_hang` cannot be called, because the forward keeps Python's lock.
    """

    def __init__(
        self,
        *,
        features: CloudFeatures,
        batch_timeout_s: float,
        on_renewed: Callable[[int], None],
        on_hang: Callable[[], None],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._features = features
        self._batch_timeout_s = batch_timeout_s
        self._on_renewed = on_renewed
        self._on_hang = on_hang
        self._watchdog = watchdog
        self._held: dict[str, Delivery] = {}
        self._settling: set[str] = set()
        self._forward_ends_at: float | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether leases are kept, and no forward hangs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @contextmanager
    def holding(self, deliveries: Iterable[Delivery]) -> Iterator[None]:
        """Keep these leases until the block ends."""
        held = {_key(delivery): delivery for delivery in deliveries}
        with self._changed:
            self._held |= held
        try:
            yield
        finally:
            with self._changed:
                for key in held:
                    self._held.pop(key, None)

    @contextmanager
    def settling(self, deliveries: Iterable[Delivery]) -> Iterator[None]:
        """The block ends these leases by an answer, a burial, or by giving them up; they are still renewed meanwhile.

        Only its own outcome says whether a lease was lost: a renewal cannot know whether an entry that it does not find
        is one that we have just answered. After the block they are kept no longer, unless it fails.
        """
        keys = {_key(delivery) for delivery in deliveries}
        with self._changed:
            self._settling |= keys
        settled: set[str] = set()
        try:
            yield
            settled = keys
        finally:
            with self._changed:
                self._settling -= keys
                for key in settled:
                    self._held.pop(key, None)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """The block is a forward, bounded by the batch timeout."""
        with self._changed:
            self._forward_ends_at = time.monotonic() + self._batch_timeout_s
            self._changed.notify()
        if self._watchdog is not None:
            self._watchdog.arm(self._batch_timeout_s)
        try:
            yield
        finally:
            if self._watchdog is not None:
                self._watchdog.disarm()
            with self._changed:
                self._forward_ends_at = None

    def _run(self) -> None:
        period_s = self._features.lease_s / 4
        renew_at = time.monotonic() + period_s
        while True:
            with self._changed:
                until = renew_at if self._forward_ends_at is None else min(renew_at, self._forward_ends_at)
                self._changed.wait(max(0.0, until - time.monotonic()))
                if self._stopping:
                    return
                hangs = self._forward_ends_at is not None and time.monotonic() >= self._forward_ends_at
                held = list(self._held.values())
            if hangs:
                _log.error("forward_hangs", batch_timeout_s=self._batch_timeout_s, leases=len(held))
                self._on_hang()
                return
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + period_s
                self._renew(held)

    def _renew(self, held: list[Delivery]) -> None:
        if not held:
            return
        try:
            not_renewed = self._features.renew(held)
        except StreamUnavailableError as error:
            _log.warning("leases_not_renewed", leases=len(held), error=str(error))
            return
        except Exception:  # whatever it is, the next turn may renew them, and the bound of a forward must hold
            _log.exception("leases_not_renewed", leases=len(held))
            return
        self._on_renewed(len(held) - len(not_renewed))
        lost = 0
        with self._changed:
            for delivery in not_renewed:
                key = _key(delivery)
                if self._held.get(key) is delivery and key not in self._settling:
                    del self._held[key]
                    lost += 1
        if lost:
            _log.warning(
                "leases_lost", leases=lost, remedy="other workers run these entries again; raise cloud.lease_s"
            )


class Watchdog:
    """A timer outside Python, for a forward that keeps Python's lock, so that no other thread can run.

    When it fires, it writes where each thread stands to stderr and ends the process with status 1. There is one in a
    process.
    """

    def arm(self, timeout_s: float) -> None:
        """Fire a little after `timeout_s`."""
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(timeout_s + _GRACE_S, exit=True, file=sys.__stderr__)

    def disarm(self) -> None:
        """Do not fire."""
        faulthandler.cancel_dump_traceback_later()


def _key(delivery: Delivery) -> str:
    return f"{delivery.stream.name} {delivery.entry_id}"

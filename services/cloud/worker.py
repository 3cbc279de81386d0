"""The cloud worker: reads hard samples from the streams of the networks it knows, in batches, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Final

from services.cloud.audit import Auditor
from services.cloud.leases import LeaseKeeper
from services.cloud.networks import Network, Networks
from services.cloud.runner import BatchRunner
from services.common.backoff import BackOff
from services.common.logs import get_logger
from services.feature_stream import CloudFeatures, Delivery, StreamUnavailableError
from services.metrics import CloudMetrics
from services.settings import CloudSettings

__all__ = ["CloudWorker"]

#: Seconds between looks at the registry and at the queues' lengths.
_REFRESH_S: Final = 2.0
#: Seconds between sweeps: what they remove takes room, and does no other harm.
_SWEEP_S: Final = 600.0
#: Seconds of silence after which a consumer without leases is taken for dead, or longer where leases are long.
_SILENT_S_MIN: Final = 3600.0
#: Milliseconds that a read waits for a first entry: as long does a worker that is to stop take to notice.
_IDLE_BLOCK_MS: Final = 500
#: Seconds between looks at the registry while there is nothing to serve.
_UNREGISTERED_PAUSE_S: Final = 0.2

_log = get_logger("cloud")


class CloudWorker:
    """Serves every registered network of which it has the bundle.

    Fresh entries run in batches; in turn with them, entries whose lease lapsed are claimed one at a time, and run
    alone. `run` returns after `stop`, when the batch in hand is answered.

    Args:
        settings: Batches and leases.
        features: The streams. The worker closes it.
        networks: The bundles.
        metrics: What is counted.
        keeper: Keeps the leases of what is in hand. The worker starts and stops it.
        auditor: Checks audits when no hard sample waits.
        runner: Runs what was leased.
        stopping: Set by `stop`; the runner looks at it too.
    """

    def __init__(
        self,
        *,
        settings: CloudSettings,
        features: CloudFeatures,
        networks: Networks,
        metrics: CloudMetrics,
        keeper: LeaseKeeper,
        auditor: Auditor,
        runner: BatchRunner,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._features = features
        self._networks = networks
        self._metrics = metrics
        self._keeper, self._auditor, self._runner = keeper, auditor, runner
        self._stopping = stopping
        self._reachable = False
        self._back_off = BackOff()
        self._refresh_at = self._claim_at = self._mend_at = self._sweep_at = time.monotonic()
        self._unknown: set[str] = set()
        self._shown: set[str] = set()
        self._wanted: set[str] = set()
        self._failing: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether entries are taken and answered.

        The worker runs, Redis answered the last call, no key is lacking, and of the networks that edges use and whose
        bundles are here at least one could be loaded.
        """
        at_work = self.healthy and not self._stopping.is_set()
        loaded = bool(self._features.streams) or not self._failing
        return at_work and loaded and self._features.reachable and not self._runner.locked_out

    @property
    def healthy(self) -> bool:
        """Whether leases are kept, and no forward outlasts its bound."""
        return self._keeper.alive

    def stop(self) -> None:
        """Let `run` return once the batch in hand is answered. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`. Redis may go and come back."""
        self._keeper.start()
        try:
            while not self._stopping.is_set():
                try:
                    self._turn()
                    self._note_reachable()
                except StreamUnavailableError as error:
                    self._note_unreachable(error)
            with suppress(StreamUnavailableError):
                self._features.retire(silent_s=self._silent_s, leave=True)
        finally:
            self._keeper.stop()
            self._features.close()
        _log.info("stopped", consumer=self._features.consumer)

    def _turn(self) -> None:
        self._refresh()
        if not self._features.streams:
            self._stopping.wait(_UNREGISTERED_PAUSE_S)
            self._refresh_at = time.monotonic()
            return
        took_over = self._take_over()
        took_new = self._take_new(block_ms=0 if took_over or self._auditor.waiting else _IDLE_BLOCK_MS)
        if not took_new and not took_over and self._auditor.waiting and not self._stopping.is_set():
            self._auditor.turn()

    def _take_new(self, *, block_ms: int) -> bool:
        """Read a batch, waiting a little for it to fill, and run it. Whether there was any."""
        batch_max = self._settings.batch_max
        deliveries = self._features.read(batch_max, block_ms)
        if not deliveries:
            return False
        linger_until = time.monotonic() + self._settings.linger_ms / 1000
        with ExitStack() as held:
            held.enter_context(self._keeper.holding(deliveries))
            while len(deliveries) < batch_max and not self._stopping.is_set():
                left_ms = round((linger_until - time.monotonic()) * 1000)
                if left_ms < 1:
                    break
                more = self._features.read(batch_max - len(deliveries), left_ms)
                held.enter_context(self._keeper.holding(more))
                deliveries += more
            self._run(deliveries)
        return True

    def _run(self, deliveries: Sequence[Delivery]) -> None:
        by_network: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            by_network[delivery.stream.network_id].append(delivery)
        batch_max = self._settings.batch_max
        for network_id, its_own in by_network.items():
            self._metrics.entries_read.labels(network=network_id).inc(len(its_own))
            network = self._networks.get(network_id)
            if network is None:
                continue
            for start in range(0, len(its_own), batch_max):  # each of several streams gave up to a batch
                self._runner.run(network, its_own[start : start + batch_max])

    def _take_over(self) -> bool:
        """Claim one lapsed entry of each stream and run it alone. Whether there was any."""
        if time.monotonic() < self._claim_at:
            return False
        claimed = False
        for stream in self._features.streams:
            network = self._networks.get(stream.network_id)
            delivery = self._features.claim(stream) if network is not None else None
            if network is not None and delivery is not None:
                claimed = True
                with self._keeper.holding([delivery]):
                    self._runner.run_alone(network, delivery)
            if self._stopping.is_set():
                break
        if not claimed:
            self._claim_at = time.monotonic() + min(1.0, self._settings.lease_s / 4)
        return claimed

    def _refresh(self) -> None:
        """From time to time: serve what was newly registered, look at the queues, delete dead consumers."""
        now = time.monotonic()
        if now < self._refresh_at:
            return
        registered = self._features.registered()
        for stream in sorted(registered - set(self._features.streams)):
            network = self._networks.get(stream.network_id)
            if network is not None:
                self._features.serve([stream])
                self._metrics.network_info.labels(*_facts(network)).set(1)
                _log.info("serving", stream=stream.name)
            elif stream.network_id not in self._unknown | self._networks.failing:
                self._unknown.add(stream.network_id)
                _log.warning(
                    "network_unknown",
                    network_id=stream.network_id,
                    remedy="an edge uses a network that no bundle here has; add its file to cloud.bundles",
                )
        self._show_failing({stream.network_id for stream in registered})
        self._show_queues()
        if now >= self._mend_at:
            self._features.mend_leases()
            self._mend_at = now + self._settings.lease_s
        if now >= self._sweep_at:
            self._features.retire(silent_s=self._silent_s)
            self._features.sweep_notes()
            for stream in self._features.forget_silent():
                _log.info("serving_no_more", stream=stream.name)
            self._sweep_at = now + _SWEEP_S
        self._refresh_at = time.monotonic() + _REFRESH_S

    def _show_failing(self, in_use: set[str]) -> None:
        """Show of the networks that edges use, and of which there is a bundle, whether it could be loaded."""
        wanted = in_use & self._networks.wanted
        self._failing = wanted & self._networks.failing
        for network_id in wanted:
            self._metrics.bundle_failing.labels(network=network_id).set(network_id in self._failing)
        for network_id in self._wanted - wanted:
            self._metrics.bundle_failing.remove(network_id)
        self._wanted = wanted

    def _show_queues(self) -> None:
        network_ids = {stream.network_id for stream in self._features.streams}
        for network_id in network_ids:
            queue = self._features.queue(network_id)
            self._metrics.queue_depth.labels(network=network_id).set(queue.length)
            self._metrics.queue_oldest_age_s.labels(network=network_id).set(queue.oldest_age_s)
            letters, letters_bytes = self._features.dead_letters(network_id)
            self._metrics.dead_letters.labels(network=network_id).set(letters)
            self._metrics.dead_letters_bytes.labels(network=network_id).set(letters_bytes)
        self._auditor.look(network_ids)
        metrics = self._metrics
        gauges = (
            metrics.queue_depth,
            metrics.queue_oldest_age_s,
            metrics.dead_letters,
            metrics.dead_letters_bytes,
            metrics.audit_queue_depth,
        )
        for network_id in self._shown - network_ids:
            for gauge in gauges:
                gauge.remove(network_id)
            network = self._networks.get(network_id)
            if network is not None:
                metrics.network_info.remove(*_facts(network))
        self._shown = network_ids
        self._metrics.networks.set(len(network_ids))

    @property
    def _silent_s(self) -> float:
        return max(_SILENT_S_MIN, 10 * self._settings.lease_s)

    def _note_reachable(self) -> None:
        if not self._reachable:
            _log.info("redis_reachable", consumer=self._features.consumer)
        self._reachable = True
        self._metrics.redis_reachable.set(1)
        self._back_off.reset()

    def _note_unreachable(self, error: Exception) -> None:
        if self._reachable:
            _log.warning("redis_unavailable", error=str(error))
        self._reachable = False
        self._metrics.redis_reachable.set(0)
        self._stopping.wait(self._back_off.next_s())


def _facts(network: Network) -> tuple[str, str, str]:
    """The labels of `network_info`."""
    return network.network_id, network.manifest.name, network.precision

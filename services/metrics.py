"""Every metric of the project, in one place, and the small HTTP server that shows them.

    metrics = EdgeMetrics()
    metrics.samples_received.labels(device="camera-1").inc()
    with MetricsServer(settings.metrics, metrics.registry, ready=lambda: link.connected):
        ...

One object holds one process's metrics in a registry of its own. Names are facts in the past tense; times are seconds,
energies joules.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from services.settings import MetricsSettings

__all__ = ["OTHER_DEVICE", "Check", "CloudMetrics", "DeviceNames", "EdgeMetrics", "MetricsFailed", "MetricsServer"]

OTHER_DEVICE = "other"

#: Whether all is well, or what is not: nothing named means well.
Check = Callable[[], bool | Sequence[str]]

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WORK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_BYTES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class _Metrics:
    """A registry with the process's own metrics, and makers for ours."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.info = Info("dewpoint_worker", "Versions and names of this worker.", registry=self.registry)

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"dewpoint_{name}", sentence, labels, registry=self.registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"dewpoint_{name}", sentence, labels, registry=self.registry)

    def _histogram(self, name: str, sentence: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"dewpoint_{name}", sentence, labels, buckets=buckets, registry=self.registry)


class EdgeMetrics(_Metrics):
    """What an edge worker counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        # What comes in
        self.messages_received = counter("messages_received", "MQTT messages received, by input topic.", "input")
        self.samples_received = counter("samples_received", "Whole samples received and decoded, by device.", "device")
        self.samples_redelivered = counter(
            "samples_redelivered", "Samples and readings that were known already, by the state they were in.", "state"
        )
        self.messages_acknowledged = counter("messages_acknowledged", "MQTT messages acknowledged to the broker.")
        self.acknowledgements_discarded = counter(
            "acknowledgements_discarded", "Acknowledgements not sent because their connection was gone."
        )
        self.drops = counter(
            "drops", "Messages refused, rejected or dropped, and labels not sent, by reason.", "reason"
        )
        self.window_tails = counter("window_tails", "Windows begun and never filled, by what cut them off.", "cause")
        self.window_devices_evicted = counter(
            "window_devices_evicted",
            "Devices whose readings were forgotten because there were too many, those silent the longest first.",
        )
        self.window_marks_evicted = counter(
            "window_marks_evicted",
            "Messages of readings that are no longer known if they come again, for want of space.",
        )
        self.window_epochs = counter("window_epochs", "Times a device's readings began anew.", "device")
        self.last_seen_time = gauge(
            "last_seen_timestamp_seconds", "When a device was last heard of, epoch seconds.", "device"
        )
        self.inbox_length = gauge("inbox_length", "Messages received and not handled yet.")
        # What is decided
        self.exits = counter(
            "exits", "Final labels, by device, exit (0.. or cloud) and reason.", "device", "exit", "reason"
        )
        self.provisionals = counter("provisionals", "Provisional labels decided, by device.", "device")
        self.corrections = counter("corrections", "Final labels that differ from the edge's own, by device.", "device")
        self.escalations = counter(
            "escalations", "Hard samples sent up, again or for the first time.", "device", "again"
        )
        self.feature_bytes = counter("feature_bytes", "Bytes of features sent up.", "device")
        self.feature_bytes_size = histogram(
            "feature_size_bytes", "Bytes of features of one hard sample.", buckets=_BYTES
        )
        self.energy_j = counter(
            "energy_joules",
            "Estimated computing energy spent on the edge (mac view), by stage: 0.. (each exit's), cut.",
            "stage",
        )
        self.energy_baseline_j = counter(
            "energy_baseline_joules",
            "Estimated energy the network's full-precision twin would have spent on the same samples (mac view).",
        )
        self.label_latency_s = histogram(
            "label_latency_seconds",
            "From receipt of a sample to its label, by path: edge, provisional, cloud.",
            "path",
            buckets=_LATENCY_S,
        )
        self.batch_size = histogram("edge_batch_size", "Samples computed together on the edge.", buckets=_BATCH)
        self.batch_s = histogram("edge_batch_seconds", "Duration of a step of an edge batch.", "step", buckets=_WORK_S)
        self.exit_threshold = gauge("exit_threshold", "Present threshold of an exit.", "exit")
        # What goes out
        self.labels_published = counter("labels_published", "Labels acknowledged by the broker, by status.", "status")
        self.publishes_in_flight = gauge("publishes_in_flight", "Labels sent and not acknowledged yet.")
        self.journal_rows = gauge("journal_rows", "Rows of the journal, by state.", "state")
        self.journal_done_evicted = counter(
            "journal_done_evicted", "Finished rows forgotten before their time, for want of space."
        )
        self.journal_bytes = gauge("journal_bytes", "Size of the journal's files that is in use.")
        self.storage_failing = gauge(
            "storage_failing", "Whether the journal cannot be written, and samples are held back (1), or can (0)."
        )
        self.lone_runs = counter(
            "lone_runs", "Messages run alone, because they were in hand when the worker's process ended uncleanly."
        )
        self.replies_received = counter(
            "replies_received", "Replies read, by outcome: finalised, late, unknown, failed, malformed.", "outcome"
        )
        # Connections and the queue
        self.mqtt_connected = gauge("mqtt_connected", "Whether the MQTT broker is connected (1) or not (0).")
        self.mqtt_connections = counter("mqtt_connections", "MQTT connections opened.")
        self.redis_reachable = gauge("redis_reachable", "Whether Redis answered the last call (1) or not (0).")
        self.queue_depth = gauge("queue_depth", "Escalations in the feature stream, of all sites.")
        self.queue_oldest_age_s = gauge("queue_oldest_age_seconds", "Age of the oldest escalation in the stream.")


class CloudMetrics(_Metrics):
    """What a cloud worker counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.batch_size = histogram("cloud_batch_size", "Samples computed together in the cloud.", buckets=_BATCH)
        self.batch_s = histogram("cloud_batch_seconds", "Duration of one forward pass in the cloud.", buckets=_WORK_S)
        self.entries_read = counter("cloud_entries_read", "Escalations read from the stream, by network.", "network")
        self.answered = counter(
            "cloud_answered",
            "Escalations answered, by network and outcome: label, error, unconfirmed (the connection broke while the"
            " answer was sent, and its entry was gone afterwards).",
            "network",
            "outcome",
        )
        self.answers_lost = counter(
            "cloud_answers_lost", "Answers not sent because the entry had gone to another worker, or Redis had lost it."
        )
        self.redelivered = counter("cloud_redelivered", "Escalations taken over after a lease ran out.")
        self.dead_lettered = counter(
            "cloud_dead_lettered", "Escalations moved to the dead letters, by reason.", "reason"
        )
        self.dead_letters_forgotten = counter(
            "cloud_dead_letters_forgotten",
            "Dead letters removed because there were too many, or too many bytes of them, the oldest first.",
        )
        self.drops = counter("cloud_drops", "Entries that could not be decoded or answered, by reason.", "reason")
        self.locked = counter(
            "cloud_locked",
            "Entries passed over because this worker lacks the key that their features are encrypted under.",
        )
        self.leases_renewed = counter("cloud_leases_renewed", "Leases renewed while a batch was running.")
        self.wait_s = histogram(
            "cloud_wait_seconds", "From an escalation's entry into the stream to its answer.", buckets=_LATENCY_S
        )
        self.energy_j = counter("cloud_energy_joules", "Estimated computing energy spent in the cloud (mac view).")
        self.queue_depth = gauge("cloud_queue_depth", "Escalations in the stream, by network.", "network")
        self.queue_oldest_age_s = gauge(
            "cloud_queue_oldest_age_seconds", "Age of the oldest escalation in the stream, by network.", "network"
        )
        self.dead_letters = gauge("cloud_dead_letters", "Dead letters that lie in the stream, by network.", "network")
        self.dead_letters_bytes = gauge(
            "cloud_dead_letters_bytes", "Bytes of the dead letters that lie in the stream, by network.", "network"
        )
        self.redis_reachable = gauge("cloud_redis_reachable", "Whether Redis answered the last call (1) or not (0).")
        self.networks = gauge("cloud_networks", "Networks that this worker serves.")


class DeviceNames:
    """Which devices get series of their own: the first `devices_max`; the others share one.

    Names come from topics, which anyone may make up: without a bound they would fill the memory.
    """

    def __init__(self, devices_max: int) -> None:
        self._devices_max = devices_max
        self._known: set[str] = set()

    def __call__(self, device: str) -> str:
        """The value of the label `device`."""
        if device in self._known:
            return device
        if len(self._known) >= self._devices_max:
            return OTHER_DEVICE
        self._known.add(device)
        return device


class MetricsFailed(Exception):  # noqa: N818 - says what is the case
    """The address for metrics cannot be listened on."""


class MetricsServer:
    """HTTP: `/metrics`, `/healthz` (the process is alive) and `/readyz` (it does its work now).

    Port 0 in the settings switches it off; `port` is then None.

    Args:
        settings: Where to listen.
        registry: What to show.
        ready: What keeps the worker from its work now, a phrase each, or whether it is ready; asked at each `/readyz`.
        healthy: Whether the worker works at all; asked at each `/healthz`.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        registry: CollectorRegistry,
        *,
        ready: Check = lambda: True,
        healthy: Check = lambda: True,
    ) -> None:
        self._settings = settings
        self._handler = _handler(registry, {"/readyz": ready, "/healthz": healthy})
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """TCP port while it listens."""
        return None if self._server is None else int(self._server.server_address[1])

    def start(self) -> Self:
        """Listen, in a thread of its own. Raises MetricsFailed."""
        host, port = self._settings.host, self._settings.port
        if port == 0:
            return self
        try:
            self._server = _Server((host, port), self._handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MetricsFailed(f"metrics at {host}:{port}: {reason}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16


def _handler(registry: CollectorRegistry, checks: dict[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # a client that says nothing holds its thread no longer

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in checks:
                found = checks[path]()
                passed, reasons = (found, []) if isinstance(found, bool) else (not found, list(found))
                body = json.dumps({"ok": passed, "reasons": reasons})
                self._answer(200 if passed else 503, "application/json", body.encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"/metrics, /healthz, /readyz\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are no news."""

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler

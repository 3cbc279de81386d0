"""A pipeline whose every part is traced: a publisher, a real broker, an edge worker, a real Redis, a cloud worker."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cloud import Networks, make_worker
from services.feature_stream import CloudFeatures
from services.messages import Label
from services.metrics import CloudMetrics, EdgeMetrics
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker, RedisServer
from services.settings import CloudSettings, MqttSettings, TracesSettings
from services.sources.replay import Captured, Outgoing
from services.sources.sender import Sender
from services.traces import cloud_traces, edge_traces, publisher_traces
from tests.services.cloud.stand_in import BUNDLE, StandIn
from tests.services.edge.site import SITE, WORKER, Site, sample
from tests.services.traces.collector import Collector


class Pipeline:
    """Started with the `with` block; the edge and the cloud by their methods. `stop` sends what is due."""

    def __init__(self, broker: Broker, redis: RedisServer, folder: Path, collector: Collector, **traces: Any) -> None:
        self.settings = TracesSettings.model_validate({"enabled": True, "endpoint": collector.endpoint, **traces})
        self.site = Site(broker, redis, folder)
        self.counted = EdgeMetrics()  # the site's begin anew with each worker
        self.cloud_metrics = CloudMetrics()
        self.labels: list[tuple[Label, str | None]] = []
        self._stack = contextlib.ExitStack()

    def start_edge(self, **edge: Any) -> None:
        """Start the edge worker."""
        self.site.traces = edge_traces(self.settings, site=SITE, worker=WORKER, spans=self.counted.trace_spans)
        self.site.start_edge(**edge)

    def stop_edge(self) -> None:
        """Stop it; its spans are sent."""
        self.site.stop_edge()
        assert self.site.traces is not None
        self.site.traces.stop()

    @contextlib.contextmanager
    def cloud(self) -> Iterator[None]:
        """A cloud worker with a stand-in for its network; its spans are sent at the end of the block."""
        features = CloudFeatures(self.site.settings().redis, consumer="cloud-1", lease_s=30, max_deliveries=3)
        settings, networks = CloudSettings(linger_ms=1.0), Networks([BUNDLE], lambda _: StandIn())
        traces = cloud_traces(self.settings, worker="cloud-1", spans=self.cloud_metrics.trace_spans)
        worker = make_worker(
            settings,
            features=features,
            networks=networks,
            metrics=self.cloud_metrics,
            on_hang=lambda: None,
            traces=traces,
        )
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join(90)
            traces.stop()

    def publish(self, *numbers: int) -> None:
        """Publish samples as `dewpoint stream` does; the publisher's spans are sent."""
        traces = publisher_traces(self.settings, site=SITE)
        sender = Sender(self.site.devices, site=SITE, traces=traces)
        assert sender.send(
            Outgoing("cam", sample(number), (Captured(device="cam", id=f"s-{number}", captured_at=0.0),), 1.0)
            for number in numbers
        )
        assert self.site.devices.flush(timeout_s=10)
        traces.stop()

    def finals(self) -> dict[str, str | None]:
        """The traceparent of each final label, by sample id."""
        return {label.id: parent for label, parent in self.labels if label.status == "final"}

    def __enter__(self) -> Pipeline:
        self._stack.enter_context(self.site)
        self._listener = MqttLink(
            MqttSettings(port=self.site.broker.port),
            client_id="traced-labels",
            filters=[Filter(f"dewpoint/{SITE}/label/+")],
            listener=OnMessage(self._hear),
        )
        self._stack.enter_context(self._listener)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _hear(self, delivery: Delivery) -> None:
        self.labels.append((Label.decode(delivery.payload), delivery.user_property("traceparent")))
        self._listener.acknowledge([delivery])

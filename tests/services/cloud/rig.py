"""Redis, an edge, and the means to start cloud workers in this process, with a stand-in for the network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgpack
import redis

from services.cloud import Networks, make_worker
from services.cloud.worker import CloudWorker
from services.feature_stream import CloudFeatures, EdgeFeatures, Stream
from services.messages import Escalation, Reply
from services.metrics import CloudMetrics
from services.servers import RedisServer
from services.settings import CloudSettings, RedisSettings
from tests.conftest import WaitFor
from tests.services.cloud.stand_in import BUNDLE, B, StandIn

STREAM = Stream(B, 0)


class Rig:
    """Redis, an edge, and the means to start workers."""

    def __init__(self, server: RedisServer, wait_for: WaitFor, stack: ExitStack) -> None:
        self.server = server
        self.settings = RedisSettings(host=server.host, port=server.port, timeout_s=2.0)
        self.edge = EdgeFeatures(self.settings, network_id=B, partitions=1, site="s", worker="w")
        self.raw: Any = stack.enter_context(redis.Redis(server.host, server.port, protocol=2))
        self.wait_for = wait_for
        self.hung = threading.Event()
        stack.callback(self.edge.close)

    def send(self, *escalations: Escalation) -> None:
        self.edge.register()
        assert all(self.edge.escalate(escalations))

    def features(self, consumer: str, lease_s: float = 0.4, **chosen: int) -> CloudFeatures:
        return CloudFeatures(self.settings, consumer=consumer, lease_s=lease_s, max_deliveries=3, **chosen)

    def worker(
        self,
        network: StandIn,
        metrics: CloudMetrics,
        *,
        name: str = "worker",
        lease_s: float = 0.4,
        devices_max: int = 256,
        networks: Networks | None = None,
        **changed: float,
    ) -> CloudWorker:
        chosen = {"lease_s": lease_s, "linger_ms": 1.0, "batch_max": 16} | changed
        settings = CloudSettings.model_validate(chosen)
        features = self.features(
            name,
            lease_s,
            dead_letters_max=settings.dead_letters_max,
            dead_letters_bytes_max=settings.dead_letters_bytes_max,
        )
        return make_worker(
            settings,
            features=features,
            networks=networks or Networks([BUNDLE], lambda _: network),
            metrics=metrics,
            on_hang=self.hung.set,
            devices_max=devices_max,
        )

    @contextmanager
    def working(
        self, network: StandIn | None = None, metrics: CloudMetrics | None = None, **chosen: Any
    ) -> Iterator[CloudWorker]:
        worker = self.worker(network or StandIn(), metrics or CloudMetrics(), **chosen)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(90)
            assert not thread.is_alive()

    def replies(self, count: int) -> dict[str, Reply]:
        """Wait for `count` replies; by sample id."""
        self.wait_for(lambda: len(self.edge.read_replies(1000)) >= count, f"{count} replies arrive")
        entries = self.edge.read_replies(1000)
        assert len(entries) == count
        read = [entry.reply for entry in entries]
        return {reply.id: reply for reply in read if isinstance(reply, Reply)}

    def dead(self) -> list[dict[str, Any]]:
        return [msgpack.unpackb(fields[b"m"]) for _, fields in self.raw.xrange(STREAM.dead)]

    def nothing_left(self) -> bool:
        left = (self.raw.xlen(STREAM.features), self.raw.hlen(STREAM.notes), self.raw.hlen(STREAM.runs))
        return not any(left)


def value(metrics: CloudMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"dewpoint_cloud_{name}", labels) or 0.0

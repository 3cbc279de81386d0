"""A site for tests: an edge worker between a real broker and a real Redis, devices, a listener, a cloud that obeys."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_model import bundle
from hybrid_model.runtime import EdgeEngine
from services.edge.composition import Edge, compose
from services.edge.journal import Spool
from services.edge.networks import Networks, load_networks
from services.edge.worker import EdgeWorker
from services.feature_stream import Answer, CloudFeatures
from services.messages import Escalation, Label, Reply, Sample, input_topic
from services.metrics import EdgeMetrics
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker, RedisServer
from services.settings import MqttSettings, Settings, load
from services.traces import EdgeTraces

SITE, WORKER = "home", "edge-1"
#: Entropy is never below 0 and never above ln K: all samples rise, or all leave.
ALL_RISE, ALL_LEAVE = [-1.0], [1e9]
#: The pictures of these tests are noise, out of any network's domain: they shall leave by their score alone.
UNGUARDED: Mapping[str, Any] = {"guard": False}


def network(name: str) -> bundle.Bundle:
    """A shipped bundle's edge half."""
    return bundle.load(bundle.resolve(name))


def pixels(number: int) -> np.ndarray[Any, Any]:
    """A picture for the network `digits`."""
    return np.random.default_rng(number).integers(0, 256, (8, 8, 1), dtype=np.uint8)


def sample(number: int, *, sample_id: str | None = None) -> bytes:
    """A sample for the network `digits`."""
    name = sample_id or f"s-{number}"
    return Sample(name, 1e9 + number, "array", (8, 8, 1), "uint8", pixels(number).tobytes()).encode()


class Site:
    """Servers are the test's; everything else is started here and stopped with the `with` block."""

    def __init__(self, broker: Broker, redis: RedisServer, folder: Path, *, name: str = "digits") -> None:
        self.broker, self.redis, self.folder = broker, redis, folder
        self.bundle = network(name)
        self.metrics = EdgeMetrics()
        self.limits: dict[str, Any] = {}
        self.metric_settings: dict[str, Any] = {}
        self.engine: Callable[[bundle.Bundle], EdgeEngine] = EdgeEngine
        self.traces: EdgeTraces | None = None
        self.heard: list[Label] = []
        self.raw: list[bytes] = []
        self.statuses: list[bytes] = []
        self._stack = contextlib.ExitStack()
        self._spool: Spool | None = None
        self._edge: Edge | None = None

    @property
    def worker(self) -> EdgeWorker:
        """The edge worker that runs."""
        return self.edge.worker

    @property
    def edge(self) -> Edge:
        """The edge worker that runs, with its parts."""
        assert self._edge is not None
        return self._edge

    def settings(self, edge: Mapping[str, Any] | None = None, mqtt: Mapping[str, Any] | None = None) -> Settings:
        """Settings for this site; `edge` and `mqtt` change single ones."""
        return load(
            overrides={
                "site": {"name": SITE},
                "mqtt": {"port": self.broker.port, "backoff_min_s": 0.05, "backoff_max_s": 0.2, **(mqtt or {})},
                "redis": {"port": self.redis.port, "timeout_s": 1.0},
                "limits": self.limits,
                "metrics": self.metric_settings,
                "edge": {
                    "spool": self.folder / "spool",
                    "worker": WORKER,
                    "linger_ms": 0.5,
                    **UNGUARDED,
                    **(edge or {}),
                },
            }
        )

    def start_edge(self, mqtt: Mapping[str, Any] | None = None, **edge: Any) -> EdgeWorker:
        """Start the edge worker; what it counts begins anew."""
        worker = self.compose_edge(mqtt, **edge).worker
        try:
            worker.start()
        except BaseException:
            assert self._spool is not None
            self._spool.close()
            self._edge = None
            raise
        return worker

    def compose_edge(self, mqtt: Mapping[str, Any] | None = None, **edge: Any) -> Edge:
        """Put the edge worker together, and leave it at that."""
        settings = self.settings(edge, mqtt)
        self.metrics = EdgeMetrics()
        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(Spool(settings.edge.spool, site=SITE, worker=WORKER))
            if any(each.bundle for each in settings.edge.inputs):
                networks = load_networks(settings.edge)
            else:
                networks = Networks.single(settings.edge, self.bundle.manifest, self.engine(self.bundle))
            composed = compose(
                settings=settings,
                networks=networks,
                spool=spool,
                metrics=self.metrics,
                traces=self.traces,
            )
            stack.pop_all()
        self._spool, self._edge = spool, composed
        return composed

    def stop_edge(self) -> None:
        """Stop it in order."""
        if self._edge is not None and self._spool is not None:
            self._edge.worker.stop()
            self._spool.close()
            self._edge = None

    def stop_listening(self) -> None:
        """The listener goes, with its session."""
        self._listener.stop()
        with MqttLink(MqttSettings(port=self.broker.port), client_id="listener", persistent=False):
            pass

    def publish(self, device: str, *payloads: bytes, qos: int = 1) -> None:
        """Publish as a device, and wait until the broker has taken all of it."""
        for payload in payloads:
            assert self.devices.publish(input_topic(SITE, device), payload, qos=qos, timeout_s=60)
        assert self.devices.flush(timeout_s=60)

    def finals(self) -> dict[tuple[str, str], Label]:
        """Final labels heard so far, by key."""
        return {(one.device, one.id): one for one in self.heard if one.status == "final"}

    def count(self, name: str, **labels: str) -> float:
        """A metric's value, 0 where it was never moved."""
        own = {"network": self.bundle.manifest.network_id, **labels}
        value = self.metrics.registry.get_sample_value
        return value(f"dewpoint_{name}", labels) or value(f"dewpoint_{name}", own) or 0.0

    @contextlib.contextmanager
    def cloud(self) -> Iterator[Cloud]:
        """A cloud worker that the test tells what to do."""
        features = CloudFeatures(self.settings().redis, consumer=f"cloud-{uuid.uuid4()}", lease_s=30, max_deliveries=3)
        try:
            yield Cloud(features)
        finally:
            features.close()

    def __enter__(self) -> Site:
        settings = MqttSettings(port=self.broker.port)
        listener = MqttLink(
            settings,
            client_id="listener",
            filters=[Filter(f"dewpoint/{SITE}/label/+"), Filter(f"dewpoint/{SITE}/status/+")],
            listener=OnMessage(self._hear),
        )
        self._listener = self._stack.enter_context(listener)
        self.devices = self._stack.enter_context(MqttLink(settings, client_id="devices"))
        self._stack.callback(self.stop_edge)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _hear(self, delivery: Delivery) -> None:
        if "/status/" in delivery.topic:
            self.statuses.append(delivery.payload)
        else:
            self.raw.append(delivery.payload)
            self.heard.append(Label.decode(delivery.payload))
        self._listener.acknowledge([delivery])


class Cloud:
    """Reads escalations and answers them as it is told."""

    def __init__(self, features: CloudFeatures) -> None:
        self._features = features

    def answer(self, count: int, reply: Callable[[Escalation], Reply], *, timeout_s: float = 90.0) -> list[Escalation]:
        """Answer the next `count` escalations. Raises AssertionError if they do not come."""
        done: list[Escalation] = []
        deadline = time.monotonic() + timeout_s
        while len(done) < count:
            assert time.monotonic() < deadline, f"{len(done)} of {count} escalations came"
            self._features.serve(self._features.registered())
            for delivery in self._features.read(count - len(done), block_ms=100) if self._features.streams else []:
                assert delivery.payload is not None
                escalation = Escalation.decode(delivery.payload)
                self._features.answer([Answer(delivery, escalation.site, escalation.worker, reply(escalation))])
                done.append(escalation)
        return done


def says(class_index: int) -> Callable[[Escalation], Reply]:
    """A cloud that is sure of one class."""
    return lambda one: Reply(one.device, one.id, one.attempt, class_index, 0.99, None)


def fails(error: str) -> Callable[[Escalation], Reply]:
    """A cloud that gives up."""
    return lambda one: Reply(one.device, one.id, one.attempt, None, None, error)

"""Messages -> whole samples: decoded, joined into windows where they are readings, or rejected."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from services.common.logs import SparseLog
from services.edge.errors import StorageError
from services.edge.ingest.decoding import ReadingKind, SampleKind, payload_kind
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.join import TopicJoin, topic_join
from services.edge.ingest.window_eviction import WindowEviction
from services.edge.ingest.windows import WindowAssembly, channel_rule, window_rule
from services.edge.journal import Journal
from services.edge.journal.in_hand import HASH_BYTES
from services.edge.journal.records import Batch, Key, Rejection
from services.edge.networks import Networks
from services.edge.window import Window
from services.messages import MessageError, window_id
from services.metrics import DeviceNames, EdgeMetrics
from services.settings import Settings

__all__ = ["Candidate", "WholeSamples"]

#: The reason of messages that are none of ours by the input's own settings: counted, and nothing else.
NOT_MEANT: Final = "not_meant"
#: Characters of a rejection's detail and topic that the journal keeps: senders choose both.
_DETAIL_CHARS: Final = 500
_TOPIC_CHARS: Final = 500


@dataclass(slots=True, eq=False)
class Candidate:
    """A whole sample that may be new: `array` (H, W, C); `captured_at` epoch seconds; its envelope's trace."""

    key: Key
    payload_hash: bytes
    array: npt.NDArray[Any]
    captured_at: float
    arrival: Arrival
    traceparent: str | None = None


class WholeSamples:
    """Makes whole samples of the messages of all inputs. For the worker's thread only.

    `candidates` and `reject` draft; `write` puts the draft into a batch; `committed` makes it true after the commit.

    Raises EdgeError where an input cannot feed its bundle.
    """

    def __init__(
        self, *, settings: Settings, networks: Networks, journal: Journal, metrics: EdgeMetrics, devices: DeviceNames
    ) -> None:
        self._journal, self._metrics = journal, metrics
        inputs = list(zip(settings.edge.inputs, networks.of_inputs, strict=True))
        self._kinds = [payload_kind(network.manifest.input, each, settings.limits) for each, network in inputs]
        edge = settings.edge
        self._joins: dict[int, TopicJoin] = {
            index: topic_join(each, kind, settings.site.name)
            for index, (each, kind) in enumerate(zip(edge.inputs, self._kinds, strict=True))
            if each.join is not None
        }
        self._assemblies = {
            index: WindowAssembly(
                stored=journal.windows,
                rule=window_rule(edge.inputs[index], kind.expected),
                metrics=metrics,
                devices=devices,
                channels=kind.shape[2],
                network_id=_apart(networks, index),
                by_channel=channel_rule(
                    edge.inputs[index], kind.expected, kind.channel_names, rows_max=settings.limits.reading_rows_max
                ),
            )
            for index, kind in enumerate(self._kinds)
            if isinstance(kind, ReadingKind)
        }
        self._eviction = WindowEviction(
            stored=journal.windows,
            metrics=metrics,
            devices_max=edge.window_devices_max,
            state_bytes=max((each.state_bytes_max for each in self._assemblies.values()), default=1),
            journal_bytes_max=edge.journal_bytes_max,
        )
        self._log = SparseLog("edge")

    def candidates(self, arrivals: Sequence[Arrival], batch: Batch) -> list[Candidate]:
        """The samples that the messages hold or complete; rejections go into the batch."""
        candidates: list[Candidate] = []
        for arrival in arrivals:
            try:
                if arrival.refusal is not None:
                    raise arrival.refusal
                candidates += self._decoded(arrival)
            except MessageError as error:
                self.reject(arrival, error, batch)
        return candidates

    def reject(self, arrival: Arrival, error: MessageError, batch: Batch) -> None:
        """Put a rejection into the batch, unless this very message was rejected before."""
        delivery = arrival.delivery
        if error.reason == NOT_MEANT:
            self._metrics.drops.labels(reason=NOT_MEANT).inc()
            return
        if arrival.hash in self._journal.rejections or any(each.hash == arrival.hash for each in batch.rejections):
            self.redelivered("rejected")
            return
        self._metrics.drops.labels(reason=error.reason).inc()
        self._log.warning(
            "message_rejected",
            kind=error.reason,
            device=arrival.device,
            topic=delivery.topic,
            reason=error.reason,
            detail=error.detail,
            payload_bytes=arrival.payload_bytes,
        )
        batch.rejections.append(
            Rejection(
                arrival.hash,
                arrival.device,
                delivery.topic[:_TOPIC_CHARS],
                error.reason,
                error.detail[:_DETAIL_CHARS],
                delivery.received_at,
            )
        )
        assembly = self._assemblies.get(arrival.input_index)
        # A joined row does without one bad value: its channel's last one is held.
        if assembly is not None and arrival.device and arrival.input_index not in self._joins:
            assembly.reset(arrival.device)

    def redelivered(self, state: str) -> None:
        """Count a sample or reading that is known already, by the state that it is in."""
        self._metrics.samples_redelivered.labels(state=state).inc()

    def write(self, batch: Batch) -> None:
        """Put into the batch how far the windows have come."""
        for assembly in self._assemblies.values():
            assembly.write(batch)

    def committed(self) -> None:
        """The batch is committed."""
        for assembly in self._assemblies.values():
            assembly.committed()
        if not self._assemblies:
            return
        with contextlib.suppress(StorageError):  # the batch is committed all the same; next time, then
            evicted = self._eviction.evict()
            for assembly in self._assemblies.values():
                assembly.forget(evicted)

    def _decoded(self, arrival: Arrival) -> list[Candidate]:
        kind, delivery = self._kinds[arrival.input_index], arrival.delivery
        if isinstance(kind, SampleKind):
            decoded = kind.sample(delivery.payload, delivery.received_at)
            content = delivery.payload if decoded.content is None else decoded.content
            key = (arrival.device, decoded.id)
            return [Candidate(key, _hash(content), decoded.array, decoded.captured_at, arrival, decoded.traceparent)]
        assert isinstance(kind, ReadingKind)
        return self._windows(kind, arrival)

    def _windows(self, kind: ReadingKind, arrival: Arrival) -> list[Candidate]:
        delivery, device = arrival.delivery, arrival.device
        assembly, join = self._assemblies[arrival.input_index], self._joins.get(arrival.input_index)
        windows: list[Window] | None
        if join is not None:
            found = join.value(delivery.topic, delivery.payload)
            if found.value is None:
                return []
            windows = assembly.feed_value(device, found.channel, found.t, found.value, received_at=delivery.received_at)
        else:
            readings = kind.readings(delivery.payload)
            payload_hash = _hash(delivery.payload)
            windows = assembly.feed(device, readings, payload_hash, received_at=delivery.received_at)
        if windows is None:
            self.redelivered("reading")
            return []
        return [
            Candidate(
                (device, window_id(assembly.stream(device), window.epoch, window.first_mark)),
                _hash(window.rows.tobytes()),
                window.rows.reshape(kind.shape),
                delivery.received_at if window.ended_t is None else window.ended_t,
                arrival,
            )
            for window in windows
        ]


def _apart(networks: Networks, index: int) -> str | None:
    """Windows of the first network are stored as when it was the only one, those of the others apart from them."""
    network = networks.of_inputs[index]
    return None if network is networks.first else network.network_id


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()

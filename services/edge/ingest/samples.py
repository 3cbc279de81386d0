"""Messages -> whole samples: decoded, joined into windows where they are readings, or rejected."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from hybrid_model.bundle import Manifest
from services.common.logs import Occasionally, get_logger
from services.edge.errors import EdgeError, StorageError
from services.edge.ingest.decoding import Decoder
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.window_eviction import WindowBounds
from services.edge.ingest.windows import Windowing
from services.edge.journal.in_hand import HASH_BYTES
from services.edge.journal.records import Batch, Key, Rejection
from services.edge.journal.samples import Journal
from services.edge.window import WindowRule
from services.messages import MessageError, window_id
from services.metrics import DeviceNames, EdgeMetrics
from services.settings import InputSettings, Settings

__all__ = ["Candidate", "Reading"]

_DETAIL_CHARS: Final = 500
_TOPIC_CHARS: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A whole sample that may be new: `array` (H, W, C); `captured_at` epoch seconds; its envelope's trace."""

    key: Key
    payload_hash: bytes
    array: npt.NDArray[Any]
    captured_at: float
    arrival: Arrival
    traceparent: str | None = None


class Reading:
    """Reads the messages of all inputs. For the worker's thread only.

    Raises EdgeError where an input cannot feed the bundle.
    """

    def __init__(
        self, settings: Settings, manifest: Manifest, journal: Journal, metrics: EdgeMetrics, devices: DeviceNames
    ) -> None:
        self._manifest, self._journal, self._metrics = manifest, journal, metrics
        self._decoders = [Decoder(manifest.input, one, settings.limits) for one in settings.edge.inputs]
        self._windowings = [self._windowing(one, devices) for one in settings.edge.inputs]
        edge, states = settings.edge, [one.state_bytes_max for one in self._windowings if one is not None]
        self._window_bounds = WindowBounds(
            journal.windows,
            metrics,
            devices_max=edge.window_devices_max,
            state_bytes=max(states, default=1),
            journal_bytes_max=edge.journal_bytes_max,
        )
        self._log, self._occasionally = get_logger("edge"), Occasionally()

    def candidates(self, arrivals: Sequence[Arrival], batch: Batch) -> list[Candidate]:
        """The samples that the messages hold or complete; rejections go into the batch."""
        candidates: list[Candidate] = []
        for arrival in arrivals:
            try:
                if arrival.refusal is not None:
                    raise arrival.refusal
                if self._windowings[arrival.input_index] is None:
                    candidates.append(self._whole(arrival))
                else:
                    candidates += self._windows(arrival)
            except MessageError as error:
                self.reject(arrival, error, batch)
        return candidates

    def reject(self, arrival: Arrival, error: MessageError, batch: Batch) -> None:
        """Put a rejection into the batch, unless this very message was rejected before."""
        delivery, message_hash = arrival.delivery, arrival.message_hash()
        if message_hash in self._journal.rejections or any(one.hash == message_hash for one in batch.rejections):
            self._metrics.samples_redelivered.labels(state="rejected").inc()
            return
        self._metrics.drops.labels(reason=error.reason).inc()
        held = self._occasionally.passes(error.reason)
        if held is not None:
            self._log.warning(
                "message_rejected",
                device=arrival.device,
                topic=delivery.topic,
                reason=error.reason,
                detail=error.detail,
                payload_bytes=len(delivery.payload),
                held_back=held,
            )
        batch.rejections.append(
            Rejection(
                message_hash,
                arrival.device,
                delivery.topic[:_TOPIC_CHARS],
                error.reason,
                error.detail[:_DETAIL_CHARS],
                delivery.received_at,
            )
        )
        windowing = self._windowings[arrival.input_index]
        if windowing is not None and arrival.device:
            windowing.reset(arrival.device)

    def write(self, batch: Batch) -> None:
        """Put into the batch how far the windows have come."""
        for windowing in self._windowings:
            if windowing is not None:
                windowing.write(batch)

    def keep(self) -> None:
        """The batch is committed."""
        windowings = [one for one in self._windowings if one is not None]
        for windowing in windowings:
            windowing.keep()
        if not windowings:
            return
        with contextlib.suppress(StorageError):  # the batch is committed all the same; next time, then
            evicted = self._window_bounds.keep()
            for windowing in windowings:
                windowing.forget(evicted)

    def _whole(self, arrival: Arrival) -> Candidate:
        delivery = arrival.delivery
        decoded = self._decoders[arrival.input_index].sample(delivery.payload, delivery.received_at)
        key = (arrival.device, decoded.id)
        content = delivery.payload if decoded.content is None else decoded.content
        return Candidate(key, _hash(content), decoded.array, decoded.captured_at, arrival, decoded.traceparent)

    def _windows(self, arrival: Arrival) -> list[Candidate]:
        delivery, device = arrival.delivery, arrival.device
        windowing = self._windowings[arrival.input_index]
        assert windowing is not None
        readings = self._decoders[arrival.input_index].readings(delivery.payload)
        windows = windowing.feed(device, readings, _hash(delivery.payload))
        if windows is None:
            self._metrics.samples_redelivered.labels(state="reading").inc()
            return []
        return [
            Candidate(
                (device, window_id(device, window.epoch, window.first_mark)),
                _hash(window.rows.tobytes()),
                window.rows.reshape(self._manifest.input.shape),
                delivery.received_at if window.ended_t is None else window.ended_t,
                arrival,
            )
            for window in windows
        ]

    def _windowing(self, one: InputSettings, devices: DeviceNames) -> Windowing | None:
        if one.kind != "sensor":
            return None
        expected = self._manifest.input
        length = one.window.length or expected.shape[1]
        if length != expected.shape[1]:
            raise EdgeError(f"input {one.topic}: window.length {length} is not the bundle's {expected.shape[1]}")
        hop = one.window.hop or length
        if hop > length:
            raise EdgeError(f"input {one.topic}: window.hop {hop} is greater than the length {length}")
        rule = WindowRule(
            length=length,
            hop=hop,
            period_s=None if expected.rate_hz is None else 1.0 / expected.rate_hz,
            max_gap_s=one.window.max_gap_s,
            marks_kept=one.window.marks_kept,
        )
        return Windowing(self._journal.windows, rule, self._metrics, devices, channels=expected.shape[2])


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()

"""One micro-batch from arrival to decision: decode, recognise, infer, commit, acknowledge, hand over.

The order is the promise: nobody hears of a decision, and no sample is acknowledged, before the journal holds it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.decode import Decoder
from services.edge.errors import EdgeError
from services.edge.intake import Arrival
from services.edge.journal import Journal
from services.edge.labels import LabelMaker, settled
from services.edge.outbox import Outbox
from services.edge.records import Batch, Key, NewRow, Rejection
from services.edge.uplink import Uplink
from services.edge.window import WindowRule
from services.edge.windowing import Windowing
from services.logs import Occasionally, get_logger
from services.messages import Escalation, Label, MessageError, window_id
from services.metrics import DeviceNames, EdgeMetrics
from services.mqtt import Delivery
from services.settings import InputSettings, Settings

__all__ = ["Engine", "Router"]

_HASH_BYTES: Final = 16
_DETAIL_CHARS: Final = 500


class Engine(Protocol):
    """What the router asks of an edge engine; `hybrid_model.runtime.EdgeEngine` is one."""

    @property
    def kernel(self) -> str:
        """Name of the kernels that run."""

    def infer(
        self, batch: npt.NDArray[Any], *, thresholds: Sequence[float] | None = None, force_cut: bool = False
    ) -> EdgeResult:
        """Decide for a batch (N, H, W, C)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A whole sample that may be new."""

    key: Key
    payload_hash: bytes
    array: npt.NDArray[Any]
    captured_at: float
    arrival: Arrival


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """What a batch leads to, beyond its rows."""

    finals: list[tuple[Key, bytes]]
    provisionals: list[tuple[str, bytes]]
    escalations: list[Escalation]
    deadlines: list[tuple[Key, float]]


class Router:
    """Handles the micro-batches of one worker, in its thread.

    Raises EdgeError where an input cannot feed the bundle.
    """

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        engine: Engine,
        journal: Journal,
        outbox: Outbox,
        uplink: Uplink,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        *,
        worker: str,
        acknowledge: Callable[[Sequence[Delivery]], None],
        on_deadlines: Callable[[Sequence[tuple[Key, float]]], None],
    ) -> None:
        self._settings, self._manifest, self._engine = settings, manifest, engine
        self._journal, self._outbox, self._uplink = journal, outbox, uplink
        self._metrics, self._devices = metrics, devices
        self._worker, self._acknowledge, self._on_deadlines = worker, acknowledge, on_deadlines
        self._labels = LabelMaker(manifest)
        self._thresholds = settings.edge.thresholds
        if self._thresholds is not None and len(self._thresholds) != len(manifest.exits):
            raise EdgeError(f"edge.thresholds: {manifest.name} has {len(manifest.exits)} exits")
        self._decoders = [Decoder(manifest.input, one, settings.limits) for one in settings.edge.inputs]
        self._windowings = [self._windowing(one) for one in settings.edge.inputs]
        self._log, self._occasionally = get_logger("edge"), Occasionally()
        self._stage_energy_j = energy.stage_energy_j(manifest.layers).edge
        self._twin_energy_j = energy.twin_energy_j(manifest.layers)
        self._stages = [metrics.energy_j.labels(stage=name) for name in self._stage_names()]
        self._latency_s = {path: metrics.label_latency_s.labels(path=path) for path in ("edge", "provisional")}
        self._step_s = {step: metrics.batch_s.labels(step=step) for step in ("decode", "infer", "commit")}
        thresholds = self._thresholds or [one.threshold for one in manifest.exits]
        for number, threshold in enumerate(thresholds):
            metrics.exit_threshold.labels(exit=str(number)).set(threshold)

    @property
    def labels(self) -> LabelMaker:
        """How this bundle's labels are made."""
        return self._labels

    def handle(self, arrivals: Sequence[Arrival]) -> None:
        """All of a micro-batch. What it raises leaves the batch unacknowledged: the broker sends it again."""
        begun = time.perf_counter()
        batch = Batch()
        candidates = self._decode(arrivals, batch)
        fresh, again = self._recognise(candidates, batch)
        self._step_s["decode"].observe(time.perf_counter() - begun)
        decided = self._decide(fresh, batch)
        begun = time.perf_counter()
        for windowing in self._windowings:
            if windowing is not None:
                windowing.write(batch)
        batch.done = self._outbox.take_done()
        self._uplink.expect((one.device, one.id) for one in decided.escalations)
        self._journal.commit(batch)
        self._outbox.forget(batch.done)
        for windowing in self._windowings:
            if windowing is not None:
                windowing.keep()
        self._acknowledge([arrival.delivery for arrival in arrivals])
        self._step_s["commit"].observe(time.perf_counter() - begun)
        self._outbox.others(decided.provisionals)
        self._outbox.finals([*decided.finals, *again])
        self._uplink.offer(decided.escalations)
        self._on_deadlines(decided.deadlines)
        self._tell_seen(arrivals)

    # Decode

    def _decode(self, arrivals: Sequence[Arrival], batch: Batch) -> list[_Candidate]:
        candidates: list[_Candidate] = []
        for arrival in arrivals:
            try:
                if arrival.refusal is not None:
                    raise arrival.refusal
                if self._windowings[arrival.input_index] is None:
                    candidates.append(self._whole(arrival))
                else:
                    candidates += self._windows(arrival)
            except MessageError as error:
                self._reject(arrival, error, batch)
        return candidates

    def _whole(self, arrival: Arrival) -> _Candidate:
        delivery = arrival.delivery
        decoded = self._decoders[arrival.input_index].sample(delivery.payload, delivery.received_at)
        key = (arrival.device, decoded.id)
        return _Candidate(key, _hash(delivery.payload), decoded.array, decoded.captured_at, arrival)

    def _windows(self, arrival: Arrival) -> list[_Candidate]:
        delivery, device = arrival.delivery, arrival.device
        windowing = self._windowings[arrival.input_index]
        assert windowing is not None
        readings = self._decoders[arrival.input_index].readings(delivery.payload)
        windows = windowing.feed(device, readings, _hash(delivery.payload))
        if windows is None:
            self._metrics.samples_redelivered.labels(state="reading").inc()
            return []
        return [
            _Candidate(
                (device, window_id(device, window.epoch, window.first_mark)),
                _hash(window.rows.tobytes()),
                window.rows.reshape(self._manifest.input.shape),
                delivery.received_at if window.ended_t is None else window.ended_t,
                arrival,
            )
            for window in windows
        ]

    def _reject(self, arrival: Arrival, error: MessageError, batch: Batch) -> None:
        delivery = arrival.delivery
        message_hash = _hash(delivery.topic.encode(errors="replace") + b"\0" + delivery.payload)
        if self._journal.is_rejected(message_hash) or any(one.hash == message_hash for one in batch.rejections):
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
                delivery.topic,
                error.reason,
                error.detail[:_DETAIL_CHARS],
                delivery.received_at,
            )
        )
        windowing = self._windowings[arrival.input_index]
        if windowing is not None and arrival.device:
            windowing.reset(arrival.device)

    # Recognise

    def _recognise(
        self, candidates: Sequence[_Candidate], batch: Batch
    ) -> tuple[list[_Candidate], list[tuple[Key, bytes]]]:
        """Those that are new, and the labels of those that were final before, to be published again."""
        known = self._journal.known(dict.fromkeys(one.key for one in candidates))
        fresh: dict[Key, _Candidate] = {}
        again: dict[Key, bytes] = {}
        for one in candidates:
            row, twin = known.get(one.key), fresh.get(one.key)
            if row is None and twin is None:
                fresh[one.key] = one
                continue
            first_hash = row.payload_hash if row is not None else twin.payload_hash if twin is not None else b""
            if first_hash != one.payload_hash:
                self._reject(one.arrival, MessageError("id_reused", one.key[1]), batch)
                continue
            self._metrics.samples_redelivered.labels(state="in_hand" if row is None else row.state).inc()
            if row is not None and row.state != "waiting":
                again[one.key] = row.label
        return list(fresh.values()), list(again.items())

    # Decide

    def _decide(self, fresh: Sequence[_Candidate], batch: Batch) -> _Decided:
        decided = _Decided([], [], [], [])
        if not fresh:
            return decided
        begun = time.perf_counter()
        result = self._engine.infer(np.stack([one.array for one in fresh]), thresholds=self._thresholds)
        self._step_s["infer"].observe(time.perf_counter() - begun)
        self._metrics.batch_size.observe(len(fresh))
        room = self._settings.edge.waiting_max - self._journal.counts["waiting"]
        exits: Counter[tuple[str, int, str]] = Counter()
        for row, one in enumerate(fresh):
            exit_index = int(result.exit_index[row])
            if exit_index >= 0:
                label = self._label(one, result, row, exit_index, final=True)
                self._final(one, label, batch, decided)
                exits[one.key[0], exit_index, "confident"] += 1
            elif len(decided.escalations) < room:
                self._escalate(one, result, row, batch, decided)
            else:
                label = settled(self._label(one, result, row, -1, final=False), "shed")
                self._final(one, label, batch, decided)
                exits[one.key[0], int(label.exit), "shed"] += 1
        self._count(fresh, result, exits)
        return decided

    def _label(self, one: _Candidate, result: EdgeResult, row: int, exit_index: int, *, final: bool) -> Label:
        make = self._labels.confident if final else self._labels.provisional
        return make(
            *one.key,
            exit_index=exit_index if exit_index >= 0 else len(self._manifest.exits) - 1,
            class_index=int(result.class_index[row]),
            confidence=float(result.confidence[row]),
            captured_at=one.captured_at,
        )

    def _final(self, one: _Candidate, label: Label, batch: Batch, decided: _Decided) -> None:
        payload = label.encode()
        batch.rows.append(self._row(one, payload, None))
        decided.finals.append((one.key, payload))
        self._latency_s["edge"].observe(max(0.0, label.decided_at - one.arrival.delivery.received_at))

    def _escalate(self, one: _Candidate, result: EdgeResult, row: int, batch: Batch, decided: _Decided) -> None:
        label = self._label(one, result, row, -1, final=False)
        payload, features = label.encode(), result.features[row]
        assert features is not None
        escalation = Escalation(
            id=one.key[1],
            site=self._settings.site.name,
            worker=self._worker,
            device=one.key[0],
            b=self._manifest.network_id,
            attempt=1,
            exits=tuple(
                (int(c), float(s))
                for c, s in zip(result.exit_classes[row], result.exit_scores[row], strict=True)
                if c >= 0 and np.isfinite(s)
            ),
            features=features,
            captured_at=one.captured_at,
        )
        batch.rows.append(self._row(one, payload, escalation.encode()))
        decided.escalations.append(escalation)
        deadline_s = self._deadline_s(one)
        if deadline_s is not None:
            decided.deadlines.append((one.key, deadline_s))
        if self._settings.edge.provisional:
            decided.provisionals.append((one.key[0], payload))
            self._metrics.provisionals.labels(device=self._devices(one.key[0])).inc()
            self._latency_s["provisional"].observe(max(0.0, label.decided_at - one.arrival.delivery.received_at))

    def _row(self, one: _Candidate, label: bytes, escalation: bytes | None) -> NewRow:
        return NewRow(
            key=one.key,
            payload_hash=one.payload_hash,
            label=label,
            escalation=escalation,
            network=self._manifest.network_id,
            partitions=self._settings.redis.partitions,
            deadline_s=None if escalation is None else self._deadline_s(one),
            received_at=one.arrival.delivery.received_at,
        )

    def _deadline_s(self, one: _Candidate) -> float | None:
        own = self._settings.edge.inputs[one.arrival.input_index].deadline_s
        return self._settings.edge.deadline_s if own is None else own

    # Count

    def _count(self, fresh: Sequence[_Candidate], result: EdgeResult, exits: Counter[tuple[str, int, str]]) -> None:
        for device, count in Counter(self._devices(one.key[0]) for one in fresh).items():
            self._metrics.samples_received.labels(device=device).inc(count)
        for (device, exit_index, reason), count in exits.items():
            self._metrics.exits.labels(device=self._devices(device), exit=str(exit_index), reason=reason).inc(count)
        for stage, (counter, joules) in enumerate(zip(self._stages, self._stage_energy_j, strict=True)):
            computed = int(np.count_nonzero((result.exit_index < 0) | (result.exit_index >= stage)))
            counter.inc(joules * computed)
        self._metrics.energy_baseline_j.inc(self._twin_energy_j * len(fresh))

    def _tell_seen(self, arrivals: Sequence[Arrival]) -> None:
        for device, at in {one.device: one.delivery.received_at for one in arrivals if one.device}.items():
            self._metrics.last_seen_time.labels(device=self._devices(device)).set(at)

    def _stage_names(self) -> list[str]:
        exits = len(self._manifest.exits)
        return [str(stage) if stage < exits else "cut" for stage in range(len(self._stage_energy_j))]

    def _windowing(self, one: InputSettings) -> Windowing | None:
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
        return Windowing(self._journal, rule, self._metrics, self._devices, channels=expected.shape[2])


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()

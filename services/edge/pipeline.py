"""One micro-batch from arrival to decision: decode, recognise, infer, commit, acknowledge, hand over.

The order is the promise: nobody hears of a decision, and no sample is acknowledged, before the journal holds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.escalate.sender import Uplink
from services.edge.exits.control import ExitControl
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate, Reading
from services.edge.journal.records import Batch, Key, NewRow
from services.edge.journal.samples import Journal
from services.edge.observe.audit import Audits, Chosen
from services.edge.observe.batch_metrics import Tally
from services.edge.observe.drift import DriftGauges
from services.edge.observe.recent_inputs import KeptInputs
from services.edge.publish.labels import LabelMaker
from services.edge.publish.outbox import Outbox
from services.edge.upkeep.journal_limits import Bounds
from services.messages import Escalation, MessageError, exit_answers
from services.metrics import DeviceNames, EdgeMetrics, observe
from services.mqtt import Delivery
from services.settings import Settings
from services.traces import EdgeSpans, EdgeTraces

__all__ = ["Decided", "Router"]


@dataclass(slots=True, eq=False)
class Decided:
    """What a micro-batch leads to, before anyone hears of it.

    `finals` and `again`: labels to publish, of new samples and of some done before; `provisionals`, `escalations` and
    `deadlines` (seconds) are of new hard samples; `audits` are some of the confident ones.
    """

    arrivals: Sequence[Arrival]
    spans: EdgeSpans
    batch: Batch = field(default_factory=Batch)
    finals: list[tuple[Key, bytes]] = field(default_factory=list)
    again: list[tuple[Key, bytes]] = field(default_factory=list)
    provisionals: list[tuple[Key, bytes]] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)
    deadlines: list[tuple[Key, float]] = field(default_factory=list)
    audits: list[Chosen] = field(default_factory=list)


class Router:
    """Handles the micro-batches of one worker, in its thread.

    Raises EdgeError where an input cannot feed the bundle.
    """

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        exits: ExitControl,
        journal: Journal,
        bounds: Bounds,
        outbox: Outbox,
        uplink: Uplink,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        audits: Audits,
        drift: DriftGauges,
        *,
        worker: str,
        kept: KeptInputs,
        traces: EdgeTraces,
        acknowledge: Callable[[Sequence[Delivery]], None],
        on_deadlines: Callable[[Sequence[tuple[Key, float]]], None],
    ) -> None:
        self._settings, self._manifest, self._exits = settings, manifest, exits
        self._journal, self._bounds, self._outbox, self._uplink = journal, bounds, outbox, uplink
        self._metrics, self._devices, self._audits, self._drift = metrics, devices, audits, drift
        self._worker, self._acknowledge, self._on_deadlines = worker, acknowledge, on_deadlines
        self._kept, self._traces = kept, traces
        self._labels = LabelMaker(manifest)
        self._reading = Reading(settings, manifest, journal, metrics, devices)
        self._tally = Tally(manifest, metrics, devices)
        self._latency_s = {path: metrics.label_latency_s.labels(path=path) for path in ("edge", "provisional")}
        self._step_s = {step: metrics.batch_s.labels(step=step) for step in ("decode", "infer", "commit")}

    @property
    def labels(self) -> LabelMaker:
        """How this bundle's labels are made."""
        return self._labels

    def decide(self, arrivals: Sequence[Arrival]) -> Decided:
        """All that is computed of a micro-batch. `conclude` makes it true, before the next is decided."""
        begun = time.perf_counter()
        decided = Decided(arrivals, self._traces.batch())
        candidates = self._reading.candidates(arrivals, decided.batch)
        fresh = self._recognise(candidates, decided)
        decided.spans.decoded(fresh)
        self._step_s["decode"].observe(time.perf_counter() - begun)
        self._decide(fresh, decided)
        self._reading.write(decided.batch)
        return decided

    def conclude(self, decided: Decided) -> None:
        """Commit it, acknowledge its messages, and hand on what came of them.

        Raises StorageError where it could not be committed: nothing has happened then, and it may be called again.
        """
        begun, batch = time.perf_counter(), decided.batch
        batch.done = self._outbox.take_done()
        self._uplink.expect((one.device, one.id) for one in decided.escalations)
        try:
            self._journal.commit(batch)
        except BaseException:
            self._outbox.give_back(batch.done)
            raise
        decided.spans.committed()
        self._outbox.forget(batch.done)
        self._reading.keep()
        self._acknowledge([arrival.delivery for arrival in decided.arrivals])
        self._step_s["commit"].observe(time.perf_counter() - begun)
        shed = self._bounds.shed()
        self._publish_provisionals([one for one in decided.provisionals if one[0] not in shed])
        self._outbox.finals(decided.finals)
        self._outbox.again(decided.again)
        self._uplink.offer([one for one in decided.escalations if (one.device, one.id) not in shed])
        self._uplink.forgo(shed)
        self._on_deadlines([one for one in decided.deadlines if one[0] not in shed])
        self._tally.seen(decided.arrivals)
        self._audits.send(decided.audits)

    def _recognise(self, candidates: Sequence[Candidate], decided: Decided) -> list[Candidate]:
        """Those that are new. Labels that were published before are published again."""
        known = self._journal.known(dict.fromkeys(one.key for one in candidates))
        fresh: dict[Key, Candidate] = {}
        again: dict[Key, bytes] = {}
        for one in candidates:
            row, twin = known.get(one.key), fresh.get(one.key)
            if row is None and twin is None:
                fresh[one.key] = one
                continue
            first_hash = row.payload_hash if row is not None else twin.payload_hash if twin is not None else b""
            if first_hash != one.payload_hash:
                self._reading.reject(one.arrival, MessageError("id_reused", one.key[1]), decided.batch)
                continue
            self._metrics.samples_redelivered.labels(state="in_hand" if row is None else row.state).inc()
            if row is not None and row.state == "done":  # a final row's label is on its way anyhow
                again[one.key] = row.label
        decided.again += again.items()
        return list(fresh.values())

    def _decide(self, fresh: Sequence[Candidate], decided: Decided) -> None:
        if not fresh:
            return
        begun = time.perf_counter()
        result = self._exits.infer(np.stack([one.array for one in fresh]))
        self._step_s["infer"].observe(time.perf_counter() - begun)
        self._kept.keep(fresh, result, self._exits.in_force)
        decided.spans.inferred(fresh, result)
        for row, one in enumerate(fresh):
            if result.exit_index[row] >= 0:
                self._final(one, result, row, decided)
            else:
                self._escalate(one, result, row, decided)
        left = [one.arrival.age_s() for one, index in zip(fresh, result.exit_index, strict=True) if index >= 0]
        self._exits.answered(left)
        devices = [one.key[0] for one in fresh]
        self._tally.batch(devices, result)
        self._drift.add(devices, result)
        decided.audits = self._audits.choose(fresh, result)

    def _final(self, one: Candidate, result: EdgeResult, row: int, decided: Decided) -> None:
        label = self._labels.confident(
            *one.key,
            exit_index=int(result.exit_index[row]),
            class_index=int(result.class_index[row]),
            confidence=float(result.confidence[row]),
            captured_at=one.captured_at,
        )
        payload = label.encode()
        decided.batch.rows.append(self._row(one, payload, None, None))
        decided.finals.append((one.key, payload))
        observe(self._latency_s["edge"], one.arrival.age_s(), decided.spans.trace_id(one.key))

    def _escalate(self, one: Candidate, result: EdgeResult, row: int, decided: Decided) -> None:
        confidence = float(result.confidence[row])
        label = self._labels.provisional(
            *one.key,
            exit_index=len(self._manifest.exits) - 1,
            class_index=int(result.class_index[row]),
            confidence=confidence,
            captured_at=one.captured_at,
        )
        payload, features = label.encode(), result.features[row]
        assert features is not None
        escalation = Escalation(
            id=one.key[1],
            site=self._settings.site.name,
            worker=self._worker,
            device=one.key[0],
            network_id=self._manifest.network_id,
            attempt=1,
            exits=exit_answers(result.exit_classes[row], result.exit_scores[row]),
            features=features,
            captured_at=one.captured_at,
            traceparent=decided.spans.traceparent(one.key),
        )
        decided.batch.rows.append(self._row(one, payload, escalation.encode(), confidence))
        decided.escalations.append(escalation)
        deadline_s = self._deadline_s(one)
        if deadline_s is not None:
            decided.deadlines.append((one.key, deadline_s))
        if self._settings.edge.provisional:
            decided.provisionals.append((one.key, payload))
            observe(self._latency_s["provisional"], one.arrival.age_s(), decided.spans.trace_id(one.key))

    def _publish_provisionals(self, labels: Sequence[tuple[Key, bytes]]) -> None:
        for key, _ in labels:
            self._metrics.provisionals.labels(device=self._devices(key[0])).inc()
        self._outbox.others(labels)

    def _row(self, one: Candidate, label: bytes, escalation: bytes | None, confidence: float | None) -> NewRow:
        return NewRow(
            key=one.key,
            payload_hash=one.payload_hash,
            label=label,
            escalation=escalation,
            network=self._manifest.network_id,
            partitions=self._settings.redis.partitions,
            deadline_s=None if escalation is None else self._deadline_s(one),
            received_at=one.arrival.delivery.received_at,
            confidence=confidence,
        )

    def _deadline_s(self, one: Candidate) -> float | None:
        own = self._settings.edge.inputs[one.arrival.input_index].deadline_s
        return self._settings.edge.deadline_s if own is None else own

"""One micro-batch from arrival to decision: decode, recognise, infer, commit, acknowledge, hand over.

The order is the promise: nobody hears of a decision, and no sample is acknowledged, before the journal holds it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.escalate import Escalations
from services.edge.exits import ExitControl
from services.edge.ingest import WholeSamples
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate
from services.edge.journal import Journal
from services.edge.journal.records import Batch, Key, NewRow
from services.edge.observe import BatchObserver
from services.edge.observe.batch_metrics import StepTimes
from services.edge.observe.observer import Observed
from services.edge.publish import LabelMaker, Outbox
from services.messages import Escalation, MessageError
from services.mqtt import Delivery
from services.settings import Settings

__all__ = ["Conclusion", "Decided", "Pipeline"]


@dataclass(slots=True, eq=False)
class Decided:
    """What a micro-batch leads to, before anyone hears of it.

    `finals` and `again`: labels to publish, of new samples and of some done before; `provisionals`, `escalations` and
    `deadlines` (seconds) are of new hard samples; `left`: the new samples that left at an exit.
    """

    arrivals: Sequence[Arrival]
    observed: Observed
    batch: Batch = field(default_factory=Batch)
    left: list[Arrival] = field(default_factory=list)
    finals: list[tuple[Key, bytes]] = field(default_factory=list)
    again: list[tuple[Key, bytes]] = field(default_factory=list)
    provisionals: list[tuple[Key, bytes]] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)
    deadlines: list[tuple[Key, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Conclusion:
    """What a committed micro-batch asks of the worker: messages to acknowledge, and deadlines (seconds) to set."""

    deliveries: Sequence[Delivery]
    deadlines: Sequence[tuple[Key, float]]


class Pipeline:
    """Takes the micro-batches of one worker from messages to labels, in its thread.

    `decide`, then `conclude`, then `hand_over`, before the next is decided.

    Args:
        settings: All of them.
        manifest: The bundle's.
        samples: Makes samples of messages.
        exits: Decides.
        journal: Holds what was decided.
        outbox: Publishes labels.
        escalations: Makes escalations, and sends them up.
        observer: Watches.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        manifest: Manifest,
        samples: WholeSamples,
        exits: ExitControl,
        journal: Journal,
        outbox: Outbox,
        escalations: Escalations,
        observer: BatchObserver,
    ) -> None:
        self._edge, self._partitions = settings.edge, settings.redis.partitions
        self._samples, self._exits, self._journal, self._outbox = samples, exits, journal, outbox
        self._escalations, self._observer = escalations, observer
        self._labels = LabelMaker(manifest, top=settings.edge.label_top)
        self._last_exit = len(manifest.exits) - 1

    def decide(self, arrivals: Sequence[Arrival]) -> Decided:
        """All that is computed of a micro-batch. `conclude` makes it true."""
        steps, batch = StepTimes(), Batch()
        candidates = self._samples.candidates(arrivals, batch)
        fresh, again = self._recognise(candidates, batch)
        steps.end("decode")
        result = None
        if fresh:
            result = self._exits.infer(np.stack([sample.array for sample in fresh]))
            steps.end("infer")
        observed = self._observer.decided(arrivals, fresh, result, self._exits.in_force, steps)
        decided = Decided(arrivals, observed, batch, again=again)
        if result is not None:
            for row, sample in enumerate(fresh):
                if result.exit_index[row] >= 0:
                    self._add_final(sample, result, row, decided)
                else:
                    self._add_hard(sample, result, row, decided)
        self._samples.write(batch)
        return decided

    def conclude(self, decided: Decided) -> Conclusion:
        """Commit it.

        Raises StorageError where it could not be committed: nothing has happened then, and it may be called again.
        """
        self._escalations.expect((each.device, each.id) for each in decided.escalations)
        with self._outbox.published() as decided.batch.done:
            self._journal.commit(decided.batch)
        decided.observed.steps.end("commit")
        self._samples.committed()
        return Conclusion([arrival.delivery for arrival in decided.arrivals], decided.deadlines)

    def hand_over(self, decided: Decided, *, shed: Collection[Key] = ()) -> None:
        """Hand on what came of it: it is committed. `shed`: keys of hard samples that are final already."""
        now_s = time.monotonic()
        self._exits.decided_on_edge(now_s - arrival.arrived_s for arrival in decided.left)
        self._observer.committed(decided.observed, shed=shed)
        self._outbox.others([label for label in decided.provisionals if label[0] not in shed])
        self._outbox.finals(decided.finals)
        self._outbox.again(decided.again)
        self._escalations.offer([each for each in decided.escalations if (each.device, each.id) not in shed])

    def _recognise(
        self, candidates: Sequence[Candidate], batch: Batch
    ) -> tuple[list[Candidate], list[tuple[Key, bytes]]]:
        """Those that are new, and the labels of some that are done, to be published again."""
        known = self._journal.known(dict.fromkeys(candidate.key for candidate in candidates))
        fresh: dict[Key, Candidate] = {}
        again: dict[Key, bytes] = {}
        for candidate in candidates:
            row, twin = known.get(candidate.key), fresh.get(candidate.key)
            if row is None and twin is None:
                fresh[candidate.key] = candidate
                continue
            first_hash = row.payload_hash if row is not None else twin.payload_hash if twin is not None else b""
            if first_hash != candidate.payload_hash:
                self._samples.reject(candidate.arrival, MessageError("id_reused", candidate.key[1]), batch)
                continue
            self._samples.redelivered("in_hand" if row is None else row.state)
            if row is not None and row.state == "done":  # a final row's label is on its way anyhow
                again[candidate.key] = row.label
        return list(fresh.values()), list(again.items())

    def _add_final(self, sample: Candidate, result: EdgeResult, row: int, decided: Decided) -> None:
        label = self._labels.confident(
            *sample.key,
            exit_index=int(result.exit_index[row]),
            class_index=int(result.class_index[row]),
            confidence=float(result.confidence[row]),
            in_domain=bool(result.in_domain[row]),
            captured_at=sample.captured_at,
            probabilities=None if result.probabilities is None else result.probabilities[row],
        )
        payload = label.encode()
        decided.batch.rows.append(self._row(sample, payload, None, None))
        decided.finals.append((sample.key, payload))
        decided.left.append(sample.arrival)

    def _add_hard(self, sample: Candidate, result: EdgeResult, row: int, decided: Decided) -> None:
        confidence, in_domain = float(result.confidence[row]), bool(result.in_domain[row])
        label = self._labels.provisional(
            *sample.key,
            exit_index=self._last_exit,
            class_index=int(result.class_index[row]),
            confidence=confidence,
            in_domain=in_domain,
            captured_at=sample.captured_at,
            probabilities=None if result.probabilities is None else result.probabilities[row],
        )
        payload = label.encode()
        traceparent = decided.observed.spans.traceparent(sample.key)
        guarded = self._edge.guard and not in_domain
        escalation = self._escalations.make(
            sample.key, sample.captured_at, result, row, traceparent=traceparent, guarded=guarded
        )
        # Out of domain it means nothing how sure an exit is: where there is no room, the others are shed first.
        shed_by = 0.0 if guarded else confidence
        decided.batch.rows.append(self._row(sample, payload, escalation.encode(), shed_by))
        decided.escalations.append(escalation)
        deadline_s = self._edge.deadline_of(sample.arrival.input_index)
        if deadline_s is not None:
            decided.deadlines.append((sample.key, deadline_s))
        if self._edge.provisional:
            decided.provisionals.append((sample.key, payload))

    def _row(self, sample: Candidate, label: bytes, escalation: bytes | None, confidence: float | None) -> NewRow:
        deadline_s = None if escalation is None else self._edge.deadline_of(sample.arrival.input_index)
        return NewRow(
            key=sample.key,
            payload_hash=sample.payload_hash,
            label=label,
            escalation=escalation,
            network=self._labels.network_id,
            partitions=self._partitions,
            deadline_s=deadline_s,
            received_at=sample.arrival.delivery.received_at,
            arrived_s=sample.arrival.arrived_s,
            confidence=confidence,
        )

"""One micro-batch from arrival to decision: decode, recognise, infer, commit, acknowledge, hand over.

The order is the promise: nobody hears of a decision, and no sample is acknowledged, before the journal holds it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.edge.half import EdgeHalf
from services.edge.ingest import WholeSamples
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate
from services.edge.journal import Journal
from services.edge.journal.records import Batch, Key, NewRow
from services.edge.observe.batch_metrics import BatchMetrics, StepTimes
from services.edge.observe.observer import Observed
from services.edge.publish import Outbox
from services.edge.publish.labels import edge_final, reused_final
from services.messages import Escalation, Label, MessageError
from services.mqtt import Delivery
from services.settings import Settings

__all__ = ["Answered", "Conclusion", "Decided", "Pipeline"]


@dataclass(slots=True, eq=False)
class Answered:
    """New samples of one network: what was observed of them, which of them ended at the edge, what is to rise."""

    half: EdgeHalf
    observed: Observed
    left: list[Arrival] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Decided:
    """What a micro-batch leads to, before anyone hears of it.

    `answered`: its new samples, by network; `finals` and `again`: labels to publish, of new samples and of some done
    before; `provisionals` and `deadlines` (seconds) are of new hard samples.
    """

    arrivals: Sequence[Arrival]
    steps: StepTimes
    batch: Batch = field(default_factory=Batch)
    answered: list[Answered] = field(default_factory=list)
    finals: list[tuple[Key, bytes]] = field(default_factory=list)
    again: list[tuple[Key, bytes]] = field(default_factory=list)
    provisionals: list[tuple[Key, bytes]] = field(default_factory=list)
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
        samples: Makes samples of messages.
        halves: Of each input, the edge half that answers its samples.
        journal: Holds what was decided.
        outbox: Publishes labels.
        metrics: Times the steps.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        samples: WholeSamples,
        halves: Sequence[EdgeHalf],
        journal: Journal,
        outbox: Outbox,
        metrics: BatchMetrics,
    ) -> None:
        self._edge, self._partitions = settings.edge, settings.redis.partitions
        self._samples, self._halves, self._journal, self._outbox = samples, halves, journal, outbox
        self._metrics = metrics

    def decide(self, arrivals: Sequence[Arrival]) -> Decided:
        """All that is computed of a micro-batch. `conclude` makes it true."""
        steps, batch = StepTimes(), Batch()
        candidates = self._samples.candidates(arrivals, batch)
        fresh, again = self._recognise(candidates, batch)
        steps.end("decode")
        decided = Decided(arrivals, steps, batch, again=again)
        for half, samples in self._by_half(fresh):
            result = half.exits.infer(np.stack([sample.array for sample in samples]))
            steps.end("infer")
            observed = half.observer.decided(samples, result, half.exits.in_force, steps)
            decided.answered.append(Answered(half, observed))
        for answered in decided.answered:
            for row, exit_index in enumerate(answered.observed.result.exit_index):
                if exit_index >= 0:
                    self._add_final(answered, row, decided)
                else:
                    self._add_hard(answered, row, decided)
        self._samples.write(batch)
        return decided

    def conclude(self, decided: Decided) -> Conclusion:
        """Commit it.

        Raises StorageError where it could not be committed: nothing has happened then, and it may be called again.
        """
        for answered in decided.answered:
            answered.half.escalations.expect((each.device, each.id) for each in answered.escalations)
        with self._outbox.published() as decided.batch.done:
            self._journal.commit(decided.batch)
        decided.steps.end("commit")
        self._samples.committed()
        return Conclusion([arrival.delivery for arrival in decided.arrivals], decided.deadlines)

    def hand_over(self, decided: Decided, *, shed: Collection[Key] = ()) -> None:
        """Hand on what came of it: it is committed. `shed`: keys of hard samples that are final already."""
        now_s = time.monotonic()
        for answered in decided.answered:
            answered.half.exits.decided_on_edge(now_s - arrival.arrived_s for arrival in answered.left)
            answered.half.observer.committed(answered.observed, shed=shed)
        self._metrics.stepped(decided.steps)
        self._metrics.seen(decided.arrivals)
        self._outbox.others([label for label in decided.provisionals if label[0] not in shed])
        self._outbox.finals(decided.finals)
        self._outbox.again(decided.again)
        for answered in decided.answered:
            rising = [each for each in answered.escalations if (each.device, each.id) not in shed]
            answered.half.escalations.offer(rising)

    def _by_half(self, samples: Sequence[Candidate]) -> list[tuple[EdgeHalf, list[Candidate]]]:
        """Each half with its samples, in their order."""
        grouped: dict[EdgeHalf, list[Candidate]] = defaultdict(list)
        for sample in samples:
            grouped[self._halves[sample.arrival.input_index]].append(sample)
        return list(grouped.items())

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

    def _add_final(self, answered: Answered, row: int, decided: Decided) -> None:
        sample, result = answered.observed.samples[row], answered.observed.result
        payload = answered.half.labels.confident_json(sample.key, sample.captured_at, result, row)
        decided.batch.rows.append(self._row(answered.half, sample, payload, None, None))
        decided.finals.append((sample.key, payload))
        answered.left.append(sample.arrival)

    def _add_hard(self, answered: Answered, row: int, decided: Decided) -> None:
        half, sample, result = answered.half, answered.observed.samples[row], answered.observed.result
        features = result.features[row]
        assert features is not None
        label = half.labels.provisional(sample.key, sample.captured_at, result, row)
        known = half.repeats.of(sample, features)
        if known is not None:
            if isinstance(known, str):
                final = edge_final(label, known)
            else:
                final = reused_final(label, known, half.labels.classes)
            self._add_spared(answered, row, final, decided)
            return
        payload = label.encode()
        traceparent = answered.observed.spans.traceparent(sample.key)
        guarded = half.network.settings.guard and not result.in_domain[row]
        escalation = half.escalations.make(
            sample.key, sample.captured_at, result, row, traceparent=traceparent, guarded=guarded
        )
        # Out of domain it means nothing how sure an exit is: where there is no room, the others are shed first.
        shed_by = 0.0 if guarded else float(result.confidence[row])
        decided.batch.rows.append(self._row(half, sample, payload, escalation.encode(), shed_by))
        answered.escalations.append(escalation)
        deadline_s = self._edge.deadline_of(sample.arrival.input_index)
        if deadline_s is not None:
            decided.deadlines.append((sample.key, deadline_s))
        if self._edge.provisional:
            decided.provisionals.append((sample.key, payload))

    def _add_spared(self, answered: Answered, row: int, final: Label, decided: Decided) -> None:
        """A hard sample that need not rise: it ends here."""
        sample, payload = answered.observed.samples[row], final.encode()
        answered.half.exits.spared()
        answered.observed.spared[row] = final
        decided.batch.rows.append(self._row(answered.half, sample, payload, None, None))
        decided.finals.append((sample.key, payload))
        answered.left.append(sample.arrival)

    def _row(
        self, half: EdgeHalf, sample: Candidate, label: bytes, escalation: bytes | None, confidence: float | None
    ) -> NewRow:
        deadline_s = None if escalation is None else self._edge.deadline_of(sample.arrival.input_index)
        return NewRow(
            key=sample.key,
            payload_hash=sample.payload_hash,
            label=label,
            escalation=escalation,
            network=half.network.network_id,
            partitions=self._partitions,
            deadline_s=deadline_s,
            received_at=sample.arrival.delivery.received_at,
            arrived_s=sample.arrival.arrived_s,
            confidence=confidence,
        )

"""All that watches decisions and takes no part in them, behind one object."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hybrid_model.runtime import EdgeResult
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate
from services.edge.journal.records import Key
from services.edge.observe.audit import Audits
from services.edge.observe.batch_metrics import BatchMetrics, StepTimes
from services.edge.observe.drift import DriftGauges
from services.edge.observe.recent_inputs import RecentInputs
from services.traces import EdgeSpans, EdgeTraces

__all__ = ["BatchObserver", "Observed"]


@dataclass(slots=True, eq=False)
class Observed:
    """A micro-batch as it was decided: its messages, its new samples, and the edge's answers for those."""

    arrivals: Sequence[Arrival]
    samples: Sequence[Candidate]
    result: EdgeResult | None
    steps: StepTimes
    spans: EdgeSpans


class BatchObserver:
    """Sees every micro-batch twice, when it is decided and when it is committed. For the worker's thread only.

    Args:
        metrics: Counts samples, exits and joules, and times labels and steps.
        drift: Compares scores with those of the calibration.
        audits: Chooses confident samples that the cloud checks.
        recent: The last inputs, to explain decisions by.
        traces: Records the steps of sampled samples.
    """

    def __init__(
        self,
        *,
        metrics: BatchMetrics,
        drift: DriftGauges,
        audits: Audits,
        recent: RecentInputs,
        traces: EdgeTraces,
    ) -> None:
        self.recent = recent
        self._metrics, self._drift, self._audits, self._traces = metrics, drift, audits, traces

    def decided(
        self,
        arrivals: Sequence[Arrival],
        samples: Sequence[Candidate],
        result: EdgeResult | None,
        thresholds: Sequence[Sequence[float]],
        steps: StepTimes,
    ) -> Observed:
        """The edge half has answered for `samples`, each by its row of `thresholds`; no result where none is new."""
        observed = Observed(arrivals, samples, result, steps, self._traces.batch(samples, result, steps))
        if result is not None:
            self.recent.remember(samples, result, thresholds)
            self._drift.add([sample.key[0] for sample in samples], result)
            self._audits.choose(samples, result)
        return observed

    def committed(self, observed: Observed, *, shed: Collection[Key] = ()) -> None:
        """The journal holds it, and its labels are about to go out; `shed`: hard samples that are final already."""
        observed.spans.committed()
        now_s = time.monotonic()
        if observed.result is not None:
            self._metrics.decided(
                observed.samples,
                observed.result,
                [now_s - sample.arrival.arrived_s for sample in observed.samples],
                shed=shed,
                trace_id=observed.spans.trace_id,
            )
        self._metrics.stepped(observed.steps)
        self._metrics.seen(observed.arrivals)
        self._audits.committed()

    def between_batches(self) -> None:
        """Do what no label should wait for: compute the audits that were chosen."""
        self._audits.send()

    def show(self) -> None:
        """Set the gauges that go by time, not by batch."""
        self._drift.show()

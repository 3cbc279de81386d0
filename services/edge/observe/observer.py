"""All that watches decisions and takes no part in them, behind one object."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from hybrid_model.runtime import EdgeResult
from services.edge.ingest.samples import Candidate
from services.edge.journal.records import Key
from services.edge.observe.audit import Audits
from services.edge.observe.batch_metrics import StepTimes
from services.edge.observe.drift import DriftGauges
from services.edge.observe.network_metrics import NetworkMetrics
from services.edge.observe.recent_inputs import RecentInputs
from services.messages import Label
from services.traces import EdgeSpans, EdgeTraces

__all__ = ["NetworkObserver", "Observed"]


@dataclass(slots=True, eq=False)
class Observed:
    """Samples that one network has answered, in a micro-batch: its answers, and their traces.

    `spared`: by row, the final label of hard samples that need not rise.
    """

    samples: Sequence[Candidate]
    result: EdgeResult
    spans: EdgeSpans
    spared: dict[int, Label] = field(default_factory=dict)


class NetworkObserver:
    """Sees a network's answers twice, when they are decided and when they are committed. For the worker's thread only.

    Args:
        metrics: Counts samples, exits and joules, and times labels.
        drift: Compares scores with those of the calibration.
        audits: Chooses confident samples that the cloud checks.
        recent: The worker's last inputs, to explain decisions by.
        traces: Records the steps of sampled samples.
        network_id: The network's.
    """

    def __init__(
        self,
        *,
        metrics: NetworkMetrics,
        drift: DriftGauges,
        audits: Audits,
        recent: RecentInputs,
        traces: EdgeTraces,
        network_id: str,
    ) -> None:
        self._metrics, self._drift, self._audits, self._traces = metrics, drift, audits, traces
        self._recent, self._network_id = recent, network_id

    def decided(
        self,
        samples: Sequence[Candidate],
        result: EdgeResult,
        thresholds: Sequence[Sequence[float]],
        steps: StepTimes,
    ) -> Observed:
        """The edge half has answered for `samples`, each by its row of `thresholds`."""
        self._recent.remember(samples, result, thresholds, network_id=self._network_id)
        self._drift.add([sample.key[0] for sample in samples], result)
        self._audits.choose(samples, result)
        return Observed(samples, result, self._traces.batch(samples, result, steps))

    def committed(self, observed: Observed, *, shed: Collection[Key] = ()) -> None:
        """The journal holds it, and its labels are about to go out; `shed`: hard samples that are final already."""
        observed.spans.committed()
        now_s = time.monotonic()
        self._metrics.decided(
            observed.samples,
            observed.result,
            [now_s - sample.arrival.arrived_s for sample in observed.samples],
            shed=shed,
            spared=observed.spared,
            trace_id=observed.spans.trace_id,
        )
        self._audits.committed()

    def between_batches(self) -> None:
        """Do what no label should wait for: compute the audits that were chosen."""
        self._audits.send()

    def show(self) -> None:
        """Set the gauges that go by time, not by batch."""
        self._drift.show()

"""Audits: a random share of the confident samples, sent up so that the cloud can say how often it disagrees.

It is chosen after the decision, and computed after the label is committed and on its way. None of it may fail a worker:
what cannot be audited is counted and forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult, Engine
from services.common.logs import SparseLog
from services.edge.escalate import EscalationMaker
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.ingest.samples import Candidate
from services.messages import Audit, Escalation
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["Audits", "Chosen"]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A sample that is to be audited: it left at `exit_index`."""

    sample: Candidate
    exit_index: int


class Audits:
    """Chooses samples, computes what the cloud needs of them, and hands that to the queue. For the worker's thread.

    `choose` of a batch, `committed` once it is, and `send` when there is time: three calls, since a batch that is never
    committed is not audited, and no label waits for an audit. Nothing is raised.

    Args:
        share: Of the confident samples, how many are chosen; 0 for none.
        manifest: The bundle's.
        engine: Its edge half; it runs a second time, on what was chosen.
        escalations: Makes what is sent.
        queue: Where audits wait to be sent.
        metrics: Counts what is chosen and dropped, and the energy.
        devices: Names of devices in metrics.
        random: Draws.
    """

    def __init__(
        self,
        *,
        share: float,
        manifest: Manifest,
        engine: Engine,
        escalations: EscalationMaker,
        queue: AuditQueue,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        random: np.random.Generator | None = None,
    ) -> None:
        self._share, self._engine, self._escalations, self._queue = share, engine, escalations, queue
        self._metrics, self._devices, self._network = metrics, devices, manifest.network_id
        self._energy_j = sum(energy.stage_energy_j(manifest.layers).edge)
        self._random = np.random.default_rng() if random is None else random
        self._drafted: list[Chosen] = []
        self._chosen: list[Chosen] = []
        self._log = SparseLog("edge")

    def choose(self, samples: Sequence[Candidate], result: EdgeResult) -> list[Chosen]:
        """Some of those that left, each with the same chance; what was decided stays as it is."""
        self._drafted = []
        if not self._share:
            return []
        try:
            left = np.flatnonzero(result.exit_index >= 0)
            rows = left[self._random.random(len(left)) < self._share]
            self._drafted = [Chosen(samples[row], int(result.exit_index[row])) for row in rows]
        except Exception as error:
            self._failed(error, 0)
        return self._drafted

    def committed(self) -> None:
        """The batch that was chosen from is committed."""
        self._chosen += self._drafted
        self._drafted = []

    def send(self) -> None:
        """Compute and queue what was chosen."""
        chosen, self._chosen = self._chosen, []
        if not chosen:
            return
        try:
            self._count(chosen)
            if self._queue.refusal is not None:  # then its energy is not spent either
                self._queue.refuse(len(chosen))
            else:
                self._queue.offer(self._computed(chosen))
        except Exception as error:
            self._failed(error, len(chosen))

    def _count(self, chosen: Sequence[Chosen]) -> None:
        names = ((self._devices(each.sample.key[0]), each.exit_index) for each in chosen)
        for (device, exit_index), count in Counter(names).items():
            self._metrics.audits_selected.labels(network=self._network, device=device, exit=str(exit_index)).inc(count)

    def _computed(self, chosen: Sequence[Chosen]) -> list[Escalation]:
        result = self._engine.infer(np.stack([each.sample.array for each in chosen]), force_cut=True)
        self._metrics.audit_energy_j.inc(self._energy_j * len(chosen))
        return [
            self._escalations.make(
                each.sample.key, each.sample.captured_at, result, row, audit=Audit(each.exit_index, self._share)
            )
            for row, each in enumerate(chosen)
        ]

    def _failed(self, error: Exception, count: int) -> None:
        self._metrics.audits_dropped.labels(reason="failed").inc(count)
        self._log.warning("audit_failed", error=f"{type(error).__name__}: {error}")

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
from services.common.logs import Occasionally, get_logger
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.ingest.samples import Candidate
from services.messages import Audit, Escalation, exit_answers
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["Audits", "Chosen"]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A sample that is to be audited: it left at `exit_index`."""

    sample: Candidate
    exit_index: int


class Audits:
    """Chooses samples, computes what the cloud needs of them, and hands that to the queue. For the worker's thread.

    Args:
        share: Of the confident samples, how many are chosen; 0 for none.
        manifest: The bundle's.
        engine: Its edge half; it runs a second time, on what was chosen.
        queue: Where audits wait to be sent.
        metrics: Counts what is chosen and dropped, and the energy.
        devices: Names of devices in metrics.
        site: Name of the site.
        worker: Name of this worker.
    """

    def __init__(
        self,
        share: float,
        manifest: Manifest,
        engine: Engine,
        queue: AuditQueue,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        *,
        site: str,
        worker: str,
    ) -> None:
        self._share, self._manifest, self._engine, self._queue = share, manifest, engine, queue
        self._metrics, self._devices = metrics, devices
        self._site, self._worker = site, worker
        self._energy_j = sum(energy.stage_energy_j(manifest.layers).edge)
        self._random = np.random.default_rng()
        self._log, self._occasionally = get_logger("edge"), Occasionally()

    def choose(self, samples: Sequence[Candidate], result: EdgeResult) -> list[Chosen]:
        """Some of those that left, each with the same chance; what was decided stays as it is. Nothing is raised."""
        if not self._share:
            return []
        try:
            left = np.flatnonzero(result.exit_index >= 0)
            rows = left[self._random.random(len(left)) < self._share]
            return [Chosen(samples[row], int(result.exit_index[row])) for row in rows]
        except Exception as error:
            self._failed(error, 0)
            return []

    def send(self, chosen: Sequence[Chosen]) -> None:
        """Compute and queue them. Their labels are committed and handed on; nothing is raised."""
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
        names = ((self._devices(one.sample.key[0]), one.exit_index) for one in chosen)
        for (device, exit_index), count in Counter(names).items():
            self._metrics.audits_selected.labels(device=device, exit=str(exit_index)).inc(count)

    def _computed(self, chosen: Sequence[Chosen]) -> list[Escalation]:
        result = self._engine.infer(np.stack([one.sample.array for one in chosen]), force_cut=True)
        self._metrics.audit_energy_j.inc(self._energy_j * len(chosen))
        return [self._escalation(one, result, row) for row, one in enumerate(chosen)]

    def _escalation(self, one: Chosen, result: EdgeResult, row: int) -> Escalation:
        device, sample_id = one.sample.key
        features = result.features[row]
        assert features is not None
        return Escalation(
            id=sample_id,
            site=self._site,
            worker=self._worker,
            device=device,
            network_id=self._manifest.network_id,
            attempt=1,
            exits=exit_answers(result.exit_classes[row], result.exit_scores[row]),
            features=features,
            captured_at=one.sample.captured_at,
            audit=Audit(one.exit_index, self._share),
        )

    def _failed(self, error: Exception, count: int) -> None:
        self._metrics.audits_dropped.labels(reason="failed").inc(count)
        held_back = self._occasionally.passes("audit_failed")
        if held_back is not None:
            self._log.warning("audit_failed", error=f"{type(error).__name__}: {error}", held_back=held_back)

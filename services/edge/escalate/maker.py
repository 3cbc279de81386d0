"""Escalations from decisions: of hard samples, and of confident ones that are audited."""

from __future__ import annotations

import numpy as np

from hybrid_model.runtime import EdgeResult
from services.edge.journal.records import Key
from services.messages import Audit, Escalation

__all__ = ["EscalationMaker"]


class EscalationMaker:
    """Makes the escalations of one worker and network."""

    def __init__(self, *, site: str, worker: str, network_id: str) -> None:
        self._site, self._worker, self._network_id = site, worker, network_id

    def make(
        self,
        key: Key,
        captured_at: float,
        result: EdgeResult,
        row: int,
        *,
        audit: Audit | None = None,
        traceparent: str | None = None,
    ) -> Escalation:
        """The first attempt of the sample `key` in row `row` of a result that holds its features.

        Its exits are those that were computed and have a finite score, up to the first of which that is not so: who
        reads them reads by position.
        """
        features = result.features[row]
        assert features is not None
        computed = (result.exit_classes[row] >= 0) & np.isfinite(result.exit_scores[row])
        count = len(computed) if computed.all() else int(np.argmin(computed))
        return Escalation(
            id=key[1],
            site=self._site,
            worker=self._worker,
            device=key[0],
            b=self._network_id,
            attempt=1,
            exits=tuple(
                zip(result.exit_classes[row, :count].tolist(), result.exit_scores[row, :count].tolist(), strict=True)
            ),
            features=features,
            captured_at=captured_at,
            audit=audit,
            traceparent=traceparent,
        )

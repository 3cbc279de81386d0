"""Escalations from decisions: of hard samples, and of confident ones that are audited."""

from __future__ import annotations

from hybrid_model.runtime import EdgeResult
from services.edge.journal.records import Key
from services.messages import Audit, Escalation, exit_answers

__all__ = ["EscalationMaker"]


class EscalationMaker:
    """Makes the escalations of one worker and network; `top`: how many classes the replies shall tell."""

    def __init__(self, *, site: str, worker: str, network_id: str, top: int = 0) -> None:
        self._top = top
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
        guarded: bool = False,
    ) -> Escalation:
        """The first attempt of the sample `key` in row `row` of a result that holds its features."""
        features = result.features[row]
        assert features is not None
        return Escalation(
            id=key[1],
            site=self._site,
            worker=self._worker,
            device=key[0],
            network_id=self._network_id,
            attempt=1,
            exits=exit_answers(result.exit_classes[row].tolist(), result.exit_scores[row].tolist()),
            features=features,
            captured_at=captured_at,
            audit=audit,
            traceparent=traceparent,
            guarded=guarded,
            top=0 if audit is not None else self._top,
        )

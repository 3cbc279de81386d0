"""What a worker tells of its recent decisions over HTTP: `/inputs` lists those that are kept, `/explain` explains one.

Computed in the thread of the request, one at a time, by the engine that decided; the worker does not wait for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, Final

from hybrid_model.explanation import CELLS_MAX, explain
from services.edge.networks import Networks
from services.edge.observe.explanation_json import decision, explanation_json
from services.edge.observe.recent_inputs import RecentInput, RecentInputs

__all__ = ["ExplainRoutes"]

#: The NumPy reference is about a hundred times slower than the C kernels.
_CELLS_MAX_NUMPY: Final = 64

Answer = tuple[int, str, bytes]


class ExplainRoutes:
    """Answers requests; any thread may ask.

    Args:
        networks: The worker's.
        recent: Its last inputs.
    """

    def __init__(self, *, networks: Networks, recent: RecentInputs) -> None:
        self._networks, self._recent = {each.network_id: each for each in networks.all}, recent
        self._computing = threading.Lock()

    def inputs(self, query: Mapping[str, str]) -> Answer:
        """`{inputs_kept, kept, inputs: [...]}`: what can be explained, the newest first."""
        inputs = [self._listed(one) for one in self._recent.newest()]
        return _answer(200, {"inputs_kept": self._recent.count_max, "kept": len(inputs), "inputs": inputs})

    def explain(self, query: Mapping[str, str]) -> Answer:
        """The explanation of the sample `device`, `id` as JSON.

        400 without them, 404 where it is not kept, 429 while another is computed: each with `error` and `remedy`.
        """
        device, sample_id = query.get("device"), query.get("id")
        if not device or not sample_id:
            return _failure(400, "device and id are needed", "ask for /explain?device=DEVICE&id=ID; /inputs lists them")
        if not self._recent.count_max:
            return _failure(
                404,
                "this worker keeps no inputs",
                "set edge.inputs_kept (500, say) and start it again; docs/how-to/explain.md says who can see them",
            )
        one = self._recent.get((device, sample_id))
        if one is None:
            return _failure(
                404,
                f"the input of {device}/{sample_id} is not kept"[:300],
                f"only the last {self._recent.count_max} are: /inputs lists them, edge.inputs_kept sets how many",
            )
        network = self._networks[one.network_id]
        if not self._computing.acquire(blocking=False):
            return _failure(429, "another explanation is being computed", "ask again in a second")
        try:
            found = explain(
                network.engine,
                network.manifest,
                one.array,
                thresholds=one.thresholds,
                guard=network.settings.guard,
                cells_max=_CELLS_MAX_NUMPY if network.engine.kernel == "numpy" else CELLS_MAX,
            )
        finally:
            self._computing.release()
        return _answer(200, explanation_json(network.manifest, found, one.array, device=device, sample_id=sample_id))

    def _listed(self, one: RecentInput) -> dict[str, Any]:
        return {
            "device": one.key[0],
            "id": one.key[1],
            "decision": decision(one.exit_index),
            "exit": one.exit_index if one.exit_index >= 0 else None,
            "class": one.class_index,
            "label": self._networks[one.network_id].manifest.classes[one.class_index],
            "confidence": round(one.confidence, 6),
            "decided_at": one.decided_at,
        }


def _failure(status: int, error: str, remedy: str) -> Answer:
    return _answer(status, {"error": error, "remedy": remedy})


def _answer(status: int, content: Mapping[str, Any]) -> Answer:
    return status, "application/json", json.dumps(content, allow_nan=False).encode()

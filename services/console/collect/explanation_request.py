"""Why a sample left or rose: asked of the edge worker that keeps its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from hybrid_model.errors import DewpointError
from services.common.http_asker import AnswerUnreadableError, AskError, RefusedError, ask_for_object

__all__ = ["ExplanationMissingError", "explanation"]

_TIMEOUT_S: Final = 5.0
_BYTES_MAX: Final = 4 << 20
_REFUSAL_CHARS_MAX: Final = 500


class ExplanationMissingError(DewpointError):
    """No worker explains this sample; the message says why and what to do."""


def explanation(workers: Sequence[str], device: str, sample: str) -> dict[str, Any]:
    """Ask the workers at these addresses, one after the other. Raises ExplanationMissingError."""
    query = urlencode({"device": device, "id": sample})
    reasons = []
    for url in workers:
        try:
            return ask_for_object(f"{url}/explain?{query}", timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX)
        except AskError as error:
            reasons.append(_reason(error))
    raise ExplanationMissingError(reasons[0] if reasons else "the address of no edge worker is among console.workers")


def _reason(error: AskError) -> str:
    if isinstance(error, RefusedError):
        told = ": ".join(str(error.told[name]) for name in ("error", "remedy") if error.told.get(name))
        return told[:_REFUSAL_CHARS_MAX] or "this worker keeps no inputs: set edge.inputs_kept"
    if isinstance(error, AnswerUnreadableError):
        return "the worker's answer cannot be read"
    return f"the worker does not answer: {error}"

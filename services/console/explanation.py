"""Why a sample left or rose: asked of the edge worker that keeps its input."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from hybrid_model.errors import DewpointError
from services.console.asking import ASKING_FAILED, ask, reason_of

__all__ = ["ExplanationMissingError", "explanation"]

_TIMEOUT_S: Final = 5.0
_BYTES_MAX: Final = 4 << 20


class ExplanationMissingError(DewpointError):
    """No worker explains this sample; the message says why and what to do."""


def explanation(workers: Sequence[str], device: str, sample: str) -> dict[str, Any]:
    """Ask the workers at these addresses, one after the other. Raises ExplanationMissingError."""
    reasons = []
    for url in workers:
        try:
            return _asked(f"{url}/explain?{urlencode({'device': device, 'id': sample})}")
        except ExplanationMissingError as missing:
            reasons.append(str(missing))
    raise ExplanationMissingError(reasons[0] if reasons else "the address of no edge worker is among console.workers")


def _asked(url: str) -> dict[str, Any]:
    try:
        found = json.loads(ask(url, timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            raise ExplanationMissingError(_refusal(error)) from None
    except ASKING_FAILED as error:
        raise ExplanationMissingError(f"the worker does not answer: {reason_of(error)}") from None
    if not isinstance(found, dict):
        raise ExplanationMissingError("the worker's answer cannot be read")
    return found


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read(1 << 16))
        return ": ".join(str(told[name]) for name in ("error", "remedy") if told.get(name))[:500] or str(error)
    except (OSError, ValueError, TypeError, AttributeError):
        return "this worker keeps no inputs: set edge.inputs_kept"

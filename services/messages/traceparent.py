"""`traceparent`: by which a sample's trace goes on, as W3C Trace Context writes it (www.w3.org/TR/trace-context).

`00-TRACE_ID-SPAN_ID-FLAGS`: 32, 16 and 2 lower hex digits; the last bit of the flags says whether it is recorded.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["TRACEPARENT", "traceparent"]

#: Name of the MQTT user property, and of the field in messages.
TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CHARS: Final = 55


def traceparent(value: object) -> str | None:
    """`value` where it is a traceparent, else none: a trace that cannot be read is no reason to lose a sample."""
    if type(value) is not str or len(value) != _CHARS or _FORM.fullmatch(value) is None:
        return None
    return value

"""The fields of an input's JSON: time, id, number and values, as the settings say where they are."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from services.edge.errors import EdgeError
from services.edge.ingest.decoding.paths import Path
from services.messages import MessageError, brief
from services.settings import FieldSettings

__all__ = ["FieldPaths"]

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_MISSING: Final = frozenset({"unavailable", "unknown"})
_ID_CHARS_MAX: Final = 256
_DIGITS_MAX: Final = 24
_TIME_MAX_S: Final = 1e11
#: A mark and the marks of a message's further rows fit into SQLite's 64-bit integers.
_MARK_MAX: Final = 2**62


class FieldPaths:
    """The paths of one input, compiled.

    Args:
        settings: The input's `fields`.
        refuse: Makes the error that names the input.

    Raises:
        EdgeError: where one does not compile.
    """

    def __init__(self, settings: FieldSettings, refuse: Callable[[str], EdgeError]) -> None:
        self._settings = settings
        self.values = [Path(path, f"fields.values[{at}]", refuse) for at, path in enumerate(settings.values)]

        def optional(name: str) -> Path | None:
            expression = getattr(settings, name)
            return None if expression is None else Path(expression, f"fields.{name}", refuse)

        self.image, self._time, self._id = optional("image"), optional("time"), optional("id")
        self._seq, self._when = optional("seq"), optional("when")

    @property
    def mapped(self) -> bool:
        """Whether anything is looked for in JSON."""
        return bool(self.values or self.image or self._time or self._id or self._seq or self._when)

    def require_meant(self, document: Any) -> None:
        """Raises MessageError (not_meant) for a message in which `when` finds nothing."""
        if self._when is not None and self._when.find(document) in (None, False, "", [], {}):
            raise MessageError("not_meant", f"{self._when} finds nothing in it")

    def time_s(self, document: Any) -> float | None:
        """The message's own time, epoch seconds; None where none is mapped. Raises MessageError."""
        if self._time is None:
            return None
        found = self._time.find(document)
        if found is None:
            raise MessageError("missing_field", f"{self._time} finds nothing")
        t = self._seconds(found)
        if t is None or not 0 <= t < _TIME_MAX_S:
            detail = f"{self._time}: {brief(found)} is no time in {self._settings.time_unit} since 1970"
            raise MessageError("bad_field", f"{detail}; see fields.time_unit")
        return t

    def id(self, document: Any) -> str | None:
        """The sample's id; None where none is mapped. Raises MessageError."""
        if self._id is None:
            return None
        found = self._id.find(document)
        if found is None:
            raise MessageError("missing_field", f"{self._id} finds nothing")
        text = str(found) if type(found) is int else found
        if not isinstance(text, str) or not 0 < len(text) <= _ID_CHARS_MAX or not text.isprintable():
            raise MessageError("bad_field", f"{self._id}: {brief(found)} is no id")
        return text

    def seq(self, document: Any) -> int | None:
        """The number of the first row; None where none is mapped. Raises MessageError."""
        if self._seq is None:
            return None
        found = self._seq.find(document)
        if found is None:
            raise MessageError("missing_field", f"{self._seq} finds nothing")
        number = self.number(found)
        if number is None or not number.is_integer() or not 0 <= number < _MARK_MAX:
            raise MessageError("bad_field", f"{self._seq}: {brief(found)} is no number of a row")
        return int(found) if isinstance(found, int | str) and str(found).isdecimal() else int(number)

    def number(self, found: Any) -> float | None:
        """A number, also as text; booleans where the settings say so. None for what is none, or not finite."""
        if isinstance(found, bool):
            return float(found) if self._settings.booleans else None
        if isinstance(found, str):
            if _NUMBER.fullmatch(found.strip()) is None:
                return None
            found = found.strip()
        elif not isinstance(found, int | float):
            return None
        try:
            number = float(found)
        except (OverflowError, ValueError):
            return None
        return number if math.isfinite(number) else None

    def reading(self, found: Any, channel: int, path: str) -> float | None:
        """The value of a channel; None where it is missing and the last one shall be held. Raises MessageError."""
        if type(found) is float or type(found) is int:  # nearly always
            return self._finite(found, path)
        if found is None or (isinstance(found, str) and found.strip().lower() in _MISSING):
            instead = self._settings.missing_of(channel)
            if instead == "reject":
                detail = f"{path} finds {'nothing' if found is None else brief(found)}; see fields.missing"
                raise MessageError("missing_value", detail)
            return None if instead == "hold" else float(instead)
        number = self.number(found)
        if number is None:
            hint = "; fields.booleans = true takes it for 1 or 0" if isinstance(found, bool) else ""
            raise MessageError("bad_field", f"{path}: {brief(found)} is no number{hint}")
        return number

    @staticmethod
    def _finite(found: float, path: str) -> float:
        try:
            return float(found)
        except OverflowError:
            raise MessageError("not_finite", f"{path}: beyond float32") from None

    def _seconds(self, found: Any) -> float | None:
        unit = self._settings.time_unit
        if unit != "iso8601":
            if isinstance(found, bool):
                return None
            text = found.strip() if isinstance(found, str) else ""
            # Nanoseconds are beyond what a float can tell apart: integers are divided as they are.
            if text.isascii() and text.isdecimal() and len(text) < _DIGITS_MAX:
                found = int(text)
            if type(found) is int:
                return found / _PER_SECOND[unit] if abs(found) < 10**_DIGITS_MAX else None
            number = self.number(found)
            return None if number is None else number / _PER_SECOND[unit]
        if not isinstance(found, str):
            return None
        try:
            at = datetime.fromisoformat(found.strip())
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None

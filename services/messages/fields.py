"""Reading fields that others have written: each reader gives a value of its kind, or a MessageError with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar, cast

import msgpack

from hybrid_model.errors import DewpointError

SCHEMA_VERSION: Final = 1
NAME_CHARS_MAX: Final = 256

T = TypeVar("T")


class MessageError(DewpointError, ValueError):
    """Bytes that are not the message they should be.

    `reason` is a short snake_case word, fit for a metric's label; `detail` says more, for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def parse_json(payload: bytes) -> Any:
    """JSON without NaN and infinities, in UTF-8, UTF-16 or UTF-32. Raises MessageError (not_json, not_finite)."""
    try:
        return _JSON.decode(payload.decode(json.detect_encoding(payload), "surrogatepass"))
    except MessageError:
        raise
    except (ValueError, RecursionError) as error:
        raise MessageError("not_json", str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise MessageError("not_finite", name)


#: Made once: `json.loads` makes one a call where it is given a parameter.
_JSON: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def pack(fields: dict[str, Any]) -> bytes:
    """A map as msgpack."""
    return cast(bytes, msgpack.packb(fields, use_bin_type=True))


def unpack(payload: bytes, *, any_version: bool = False) -> dict[str, Any]:
    """The map that msgpack bytes hold. Raises MessageError (not_msgpack, wrong_version)."""
    try:
        fields = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MessageError("not_msgpack", f"{type(error).__name__}: {error}") from None
    if type(fields) is not dict:
        raise MessageError("not_msgpack", f"{type(fields).__name__} instead of a map")
    version = fields.get("v")
    if not any_version and (type(version) is not int or version != SCHEMA_VERSION):
        raise MessageError("wrong_version", f"{version!r} instead of {SCHEMA_VERSION}"[:200])
    return fields


#: JSON of anything, always in the same form. Raises ValueError for NaN and infinity.
encoded_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode_json(fields: dict[str, Any]) -> bytes:
    """An object as JSON, always in the same form."""
    return encoded_json(fields).encode()


def decode_object(payload: bytes) -> dict[str, Any]:
    """The object that JSON bytes hold. Raises MessageError (not_json, not_finite)."""
    fields = parse_json(payload)
    if not isinstance(fields, dict):
        raise MessageError("not_json", f"{type(fields).__name__} instead of an object")
    return fields


def brief(value: object) -> str:
    """A value of JSON for a message of one line, however long or deep it is."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return repr(value[:100] if isinstance(value, str) else value)[:200]


def bad(field: str, value: object) -> MessageError:
    """What to raise for a field that holds something else than it should."""
    return MessageError("bad_field", f"{field}: {brief(value)}"[:200])


def need(fields: Mapping[str, Any], field: str) -> Any:
    """A field that must be there, whatever it holds. Raises MessageError (missing_field)."""
    try:
        return fields[field]
    except KeyError:
        raise MessageError("missing_field", field) from None


def or_none(fields: Mapping[str, Any], field: str, read: Callable[[Mapping[str, Any], str], T]) -> T | None:
    """A field as `read` reads it, or none."""
    return None if need(fields, field) is None else read(fields, field)


def text(fields: Mapping[str, Any], field: str) -> str:
    """A string, perhaps empty."""
    value = need(fields, field)
    if type(value) is not str or len(value) > NAME_CHARS_MAX:
        raise bad(field, value)
    return value


def name(fields: Mapping[str, Any], field: str) -> str:
    """A string that is not empty and can be printed."""
    value = need(fields, field)
    if type(value) is not str or not 0 < len(value) <= NAME_CHARS_MAX or not value.isprintable():
        raise bad(field, value)
    return value


def binary(fields: Mapping[str, Any], field: str) -> bytes:
    """Bytes."""
    value = need(fields, field)
    if type(value) is not bytes:
        raise bad(field, type(value).__name__)
    return value


def boolean(fields: Mapping[str, Any], field: str) -> bool:
    """True or false."""
    value = need(fields, field)
    if type(value) is not bool:
        raise bad(field, value)
    return value


def integer(fields: Mapping[str, Any], field: str, *, least: int) -> int:
    """An integer from `least` to 2^31 - 1."""
    value = need(fields, field)
    if type(value) is not int or not least <= value < 2**31:
        raise bad(field, value)
    return value


def number(fields: Mapping[str, Any], field: str) -> float:
    """A finite number, as float."""
    value = need(fields, field)
    if type(value) not in (int, float):
        raise bad(field, value)
    try:
        found = float(value)
    except OverflowError:
        raise bad(field, "too large") from None
    if not math.isfinite(found):
        raise MessageError("not_finite", field)
    return found


def seconds(fields: Mapping[str, Any], field: str) -> float:
    """A time, epoch seconds."""
    value = number(fields, field)
    if not 0 <= value < 1e11:
        raise bad(field, value)
    return value


def share(fields: Mapping[str, Any], field: str) -> float:
    """A number from 0 to 1."""
    value = number(fields, field)
    if not 0 <= value <= 1.000001:
        raise bad(field, value)
    return value


def one_of(fields: Mapping[str, Any], field: str, allowed: frozenset[str]) -> str:
    """One of the allowed words."""
    value = need(fields, field)
    if type(value) is not str or value not in allowed:
        raise bad(field, value)
    return value

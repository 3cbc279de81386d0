"""A table, line by line, as readings."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.messages.fields import NAME_CHARS_MAX
from services.sources.table.cells import number, seconds
from services.sources.table.columns import Columns, Wanted

__all__ = ["Reading", "Refusal", "read_rows"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One row: its line, whose it is (none without a device column), its time (epoch seconds, or none), its values."""

    line: int
    device: str | None
    time_s: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is no reading: its line, a reason to count, and what is wrong."""

    line: int
    reason: str
    told: str


def read_rows(
    lines: Iterable[str], wanted: Wanted, *, header: Sequence[str] | None = None
) -> Iterator[Reading | Refusal]:
    """Readings, each as soon as its line has come. Fields are parted by commas, semicolons or tabs.

    `header`: names of the columns, where the first line holds none. Reasons: too_few_fields, not_a_number, not_finite,
    bad_time, no_device. Raises SourceError for columns that are not there.
    """
    iterator = iter(lines)
    first = next(iterator, "").removeprefix("\ufeff")
    delimiter = max(",;\t", key=first.count)
    number_of_first = 1 if header is not None else 2
    if header is None:
        header = next(csv.reader([first], delimiter=delimiter), [])
        rest: Iterable[str] = iterator
    else:
        rest = _chained(first, iterator)
    columns = Columns.of(header, wanted)
    reader = csv.reader(rest, delimiter=delimiter)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield Refusal(reader.line_num + number_of_first - 1, "no_csv", str(error))
            continue
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield _reading(fields, columns, reader.line_num + number_of_first - 1)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _reading(fields: Sequence[str], columns: Columns, line: int) -> Reading | Refusal:
    used = [*columns.channels, *(place for place in (columns.device, columns.time) if place is not None)]
    if max(used) >= len(fields):
        return Refusal(line, "too_few_fields", f"{len(fields)} fields")
    values = []
    for place, name in zip(columns.channels, columns.names, strict=True):
        value = number(fields[place])
        if isinstance(value, str):
            return Refusal(line, "not_a_number", f"{name} is {value[:40]!r}")
        if not math.isfinite(value):
            return Refusal(line, "not_finite", f"{name} is {value}")
        values.append(value)
    time_s = None if columns.time is None else seconds(fields[columns.time])
    if isinstance(time_s, str) or (time_s is not None and not 0 <= time_s < 1e11):
        return Refusal(line, "bad_time", f"the time is {fields[columns.time or 0][:40]!r}")
    device = None if columns.device is None else fields[columns.device].strip()
    if device is not None and not (0 < len(device) <= NAME_CHARS_MAX and device.isprintable()):
        return Refusal(line, "no_device", f"the device is {device[:40]!r}")
    return Reading(line, device, time_s, tuple(values))

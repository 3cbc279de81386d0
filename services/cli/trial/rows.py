"""A CSV file of readings, row by row: which column is what, and each row as a device would publish it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hybrid_model.bundle import Input
from services.sources.table.cells import number, seconds

__all__ = ["Row", "Table", "read_rows"]

_DEVICE: Final = ("device", "subject")
_TIME: Final = ("time", "timestamp", "t")
_NO_CHANNELS: Final = (*_DEVICE, *_TIME, "label", "")


@dataclass(frozen=True)
class Row:
    """One row: its number in the file (from 1, without the header), and the message that the device would publish."""

    number: int
    device: str
    message: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a file, read as they are asked for, and what is to be told of its columns."""

    rows: Iterator[Row]
    notes: tuple[str, ...] = ()


def read_rows(path: Path, expected: Input, *, device: str | None = None, time: str | None = None) -> Table:
    """A file with a header: the bundle's channels by name in any order, and if they are there `device` and `time`.

    `device`, `time`: what the network's own training files called them; these come first.

    Times are seconds since 1970 or a finer unit, or ISO 8601. Fields are parted by commas, semicolons or tabs. What is
    no number stays as it is, for the decoder to refuse. Raises ValueError for a header that lacks a channel, OSError.
    """
    reader = _reader(path)
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise ValueError("is empty; the first line names the columns")
    channels = _channels(header, expected)
    whose, when = _named(header, _DEVICE, first=device), _named(header, _TIME, first=time)
    used = {*channels, whose, when}
    ignored = [name for place, name in enumerate(header) if place not in used and name]
    notes = (f"columns that are no channels are left out: {', '.join(ignored)}",) if ignored else ()
    return Table(_rows(reader, channels, whose, when), notes)


def _reader(path: Path) -> Iterator[list[str]]:
    """The file's lines in fields; by whichever of the usual signs its header has most of."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
        file.seek(0)
        try:
            yield from csv.reader(file, delimiter=max(",;\t", key=first.count))
        except csv.Error as error:
            raise ValueError(f"is no CSV file: {error}") from None


def _channels(header: Sequence[str], expected: Input) -> list[int]:
    """Places of the bundle's channels, in its order."""
    if expected.channels is None:
        found = [place for place, name in enumerate(header) if name.lower() not in _NO_CHANNELS]
        if len(found) != expected.shape[2]:
            raise ValueError(f"has {len(found)} columns of readings; the network takes {expected.shape[2]}")
        return found
    lacking = [name for name in expected.channels if name not in header]
    if lacking:
        raise ValueError(
            f"lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; it has {', '.join(header)[:300]}"
        )
    return [header.index(name) for name in expected.channels]


def _named(header: Sequence[str], names: Sequence[str], *, first: str | None) -> int | None:
    if first is not None and first in header:
        return header.index(first)
    lower = [name.lower() for name in header]
    return next((lower.index(name) for name in names if name in lower), None)


def _rows(reader: Iterator[list[str]], channels: Sequence[int], device: int | None, time: int | None) -> Iterator[Row]:
    for place_in_file, fields in enumerate(reader, start=1):
        if not any(field.strip() for field in fields):
            continue
        values = [number(fields[place]) if place < len(fields) else None for place in channels]
        message: dict[str, Any] = {"seq": place_in_file, "values": values}
        if time is not None:
            message["t"] = seconds(fields[time]) if time < len(fields) else ""
        yield Row(place_in_file, fields[device].strip() if device is not None and device < len(fields) else "", message)

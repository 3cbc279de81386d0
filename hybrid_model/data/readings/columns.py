"""Which column of a table is what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import TimeUnit
from hybrid_model.data.readings.times import named_unit

__all__ = ["Columns", "find_columns"]

_DEVICE = ("device", "subject")
_TIME = ("time", "timestamp")
_LABEL = ("label",)


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where files have no such column. `time_unit`: None for dates, or not known yet.

    `dropped`: columns that are no channels, since they hold text or have no name.
    """

    device: str | None
    time: str | None
    time_unit: TimeUnit | None
    label: str
    channels: tuple[str, ...]
    dropped: tuple[str, ...] = ()


def find_columns(
    source: str,
    header: Sequence[str],
    text: Collection[str],
    *,
    device: str | None,
    time: str | None,
    time_unit: TimeUnit | None,
    label: str | None,
    channels: Sequence[str] | None,
) -> Columns:
    """What each column of `header` is: as named, else by the usual names; all others are channels but those of `text`.

    Raises ReadingsError.
    """
    found_device = _named(source, header, device, _DEVICE, "--device-column")
    found_time = _named(source, header, time, _TIME, "--time-column")
    found_label = _named(source, header, label, _LABEL, "--label-column")
    if found_label is None:
        raise ReadingsError(
            f"{source}: has no column 'label' (there are {_listed(header)}); name the column of the classes with "
            "--label-column"
        )
    taken = {found_device, found_time, found_label}
    dropped: tuple[str, ...] = ()
    if channels is not None:
        for name in channels:
            _must_be_there(source, header, name, "--channels")
            if name in taken:
                raise ReadingsError(f"{source}: column {name!r} is no channel; leave it out of --channels")
            if name in text:
                raise ReadingsError(f"{source}: column {name!r} holds text; a channel holds numbers: leave it out")
        chosen = tuple(channels)
    else:
        rest = [name for name in header if name not in taken]
        # A table written by pandas begins with a column without a name, the number of the row.
        chosen = tuple(name for name in rest if name not in text and name)
        dropped = tuple(name for name in rest if name in text or not name)
    if not chosen:
        raise ReadingsError(f"{source}: has no column of readings beside {_listed(header)}; add a column of numbers")
    if len(set(chosen)) < len(chosen):
        raise ReadingsError(f"{source}: --channels names a column twice")
    unit = time_unit or (None if found_time is None else named_unit(found_time))
    return Columns(found_device, found_time, unit, found_label, chosen, dropped)


def _named(source: str, header: Sequence[str], given: str | None, usual: Sequence[str], option: str) -> str | None:
    if given is not None:
        _must_be_there(source, header, given, option)
        return given
    lower = {name.lower(): name for name in header}
    return next((lower[name] for name in usual if name in lower), None)


def _must_be_there(source: str, header: Sequence[str], name: str, option: str) -> None:
    if name not in header:
        raise ReadingsError(f"{source}: has no column {name!r} (there are {_listed(header)}); see {option}")


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in header[:12])
    return shown + (f" and {len(header) - 12} more" if len(header) > 12 else "")

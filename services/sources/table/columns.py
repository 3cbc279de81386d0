"""Which column of a table is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.sources.errors import SourceError

__all__ = ["Columns", "Wanted"]

_DEVICE: Final = ("device", "subject")
_TIME: Final = ("time", "timestamp", "t")
_LABEL: Final = ("label",)


@dataclass(frozen=True)
class Wanted:
    """What somebody named. `channels` none: all that is nothing else; `device`, `time` none: by their usual names."""

    channels: tuple[str, ...] | None = None
    device: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Columns:
    """Places, from 0, of the columns that are used."""

    channels: tuple[int, ...]
    names: tuple[str, ...]
    device: int | None
    time: int | None

    @classmethod
    def of(cls, header: Sequence[str], wanted: Wanted) -> Columns:
        """Find the columns by their names. Raises SourceError for one that is not there, or a name that comes twice."""
        names = [name.strip() for name in header]
        if not any(names):
            raise SourceError("is empty; the first line names the columns, or --header does")
        device = _place(names, wanted.device, _DEVICE, "--device-column")
        time = _place(names, wanted.time, _TIME, "--time-column")
        if wanted.channels is None:
            other = {device, time}
            chosen = [
                place
                for place, name in enumerate(names)
                if place not in other and name and name.lower() not in (*_DEVICE, *_TIME, *_LABEL)
            ]
        else:
            chosen = [_named(names, name, "--columns") for name in wanted.channels]
        if not chosen:
            raise SourceError(f"has no column of readings; it has {', '.join(names)[:300]}")
        twice = sorted({names[place] for place in chosen if names.count(names[place]) > 1})
        if twice:
            raise SourceError(f"has the column {twice[0]} twice; name each once")
        return cls(tuple(chosen), tuple(names[place] for place in chosen), device, time)


def _place(names: Sequence[str], wanted: str | None, usual: Sequence[str], option: str) -> int | None:
    if wanted is not None:
        return _named(names, wanted, option)
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in usual if name in lower), None)


def _named(names: Sequence[str], name: str, option: str) -> int:
    if name not in names:
        raise SourceError(f"lacks the column {name} that {option} names; it has {', '.join(names)[:300]}")
    return list(names).index(name)

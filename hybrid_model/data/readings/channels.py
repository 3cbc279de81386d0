"""Which columns of numbers are channels, and which tell nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.table import Table

__all__ = ["checked_channels"]

_EMPTY_SHARE_MAX = 0.5


def checked_channels(table: Table, path: Path, *, chosen: bool) -> tuple[Table, list[str]]:
    """Without channels that only count rows, unless they were `chosen`; and what is to be told.

    Raises ReadingsError where a channel is empty mostly, or none is left.
    """
    notes: list[str] = []
    kept = []
    for number, name in enumerate(table.channels):
        column = table.values[:, number]
        empty = float(np.isnan(column).mean())
        if empty > _EMPTY_SHARE_MAX:
            raise ReadingsError(
                f"{path}: column {name!r} is empty in {empty:.0%} of the rows; leave it out with --channels, or fill it"
            )
        if not chosen and _counts(column):
            notes.append(f"column {name!r} counts rows and is no channel; --channels would take it")
            continue
        kept.append(number)
        if np.nanmin(column) == np.nanmax(column):
            notes.append(f"channel {name!r} is constant and tells nothing; --channels may leave it out")
    if not kept:
        raise ReadingsError(f"{path}: has no channel but one that counts rows; name the columns with --channels")
    if len(kept) < len(table.channels):
        values = np.ascontiguousarray(table.values[:, kept])
        table = replace(table, values=values, channels=tuple(table.channels[number] for number in kept))
    return table, notes


def _counts(column: npt.NDArray[np.float32]) -> bool:
    """Whether it grows by one from row to row, looked at in the first thousand and in a thousand of all."""
    steps = np.diff(column[:1000])
    some = column[:: max(1, len(column) // 1000)]
    return len(column) > 2 and bool((steps == 1).all()) and bool((np.diff(some) > 0).all())

"""Rows of a file -> windows, by the edge worker's decoder of readings and its rule of windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.cli.trial.rows import Row
from services.edge.ingest.decoding import ReadingKind
from services.edge.window import WindowRule, WindowState, advance, restarted
from services.messages import MessageError

__all__ = ["Assembly", "PlacedWindow"]

_PROBLEMS_TOLD: Final = 3


@dataclass(frozen=True, eq=False)
class PlacedWindow:
    """A full window, `rows` (length, C) float32, and where in its file it is: `DEVICE:FIRST-LAST`."""

    place: str
    rows: npt.NDArray[np.float32]


class Assembly:
    """Joins the rows of one file into windows, for each device by itself.

    A row that the decoder refuses costs its device the window that it had begun, as in the edge worker.
    """

    def __init__(self, kind: ReadingKind, rule: WindowRule) -> None:
        self._kind, self._rule = kind, rule
        self._states: dict[str, WindowState] = {}
        self._rows, self._cuts, self._refused = 0, 0, 0
        self._told: list[str] = []

    def feed(self, row: Row) -> Iterator[PlacedWindow]:
        """The windows that this row fills."""
        self._rows += 1
        state = self._states.get(row.device) or WindowState.empty(self._kind.shape[2])
        try:
            readings = self._kind.readings(json.dumps(row.message).encode())
        except MessageError as error:
            self._refused += 1
            if self._refused <= _PROBLEMS_TOLD:
                self._told.append(f"row {row.number}: {error}")
            self._states[row.device] = restarted(state)
            return
        step = advance(state, readings, self._rule)
        self._states[row.device] = step.state
        self._cuts += step.cut is not None
        device = f"{row.device}:" if row.device else ""
        for window in step.windows:
            yield PlacedWindow(f"{device}{window.first_mark}-{row.number}", window.rows)

    @property
    def problems(self) -> list[str]:
        """The rows that were refused: the first ones, and how many more."""
        more = self._refused - len(self._told)
        return [*self._told, *([f"{more:,} more rows were refused"] if more else [])]

    def notes(self) -> list[str]:
        """What did not become part of a window."""
        found = [f"{self._cuts:,} windows were given up at gaps in the readings"] if self._cuts else []
        left = sum(len(state.rows) for state in self._states.values())
        if left and self._rule.hop == self._rule.length:
            found.append(f"the last {left:,} rows fill no window")
        return found

    def why_none(self) -> str:
        """Why there is no window at all."""
        if self._cuts and self._rule.period_s is not None:
            period_s = self._rule.period_s
            return (
                f"times lie more than {1.5 * period_s:g} s apart, and the network wants a reading every {period_s:g} s"
            )
        return f"{self._rows:,} rows, and a window takes {self._rule.length:,} of one device without a gap"

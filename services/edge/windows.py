"""Where each device's readings stand, and the marks of its latest messages, in the journal."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict

import numpy as np

from services.edge.database import Database
from services.edge.records import Batch
from services.edge.window import DeviceWindows, WindowState

__all__ = ["StoredWindows"]


class StoredWindows:
    """The journal's windows. Methods from any thread; each raises StorageFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, device: str, *, channels: int, marks_kept: int) -> DeviceWindows:
        """Where a device's readings stand; a fresh state where nothing is stored, or of other channels."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT epoch, high, last_t, marks, rows, channels FROM windows WHERE device = ?", (device,)
            ).fetchone()
            marks = db.execute(
                "SELECT mark, payload_hash FROM marks WHERE device = ? ORDER BY n DESC LIMIT ?", (device, marks_kept)
            ).fetchall()
        recent = OrderedDict(((mark, digest), None) for mark, digest in reversed(marks))
        if row is None:
            return DeviceWindows(WindowState.empty(channels), recent)
        epoch, high, last_t, stored_marks, rows, stored_channels = row
        if stored_channels != channels:
            return DeviceWindows(WindowState.empty(channels, epoch + 1), recent)
        state = WindowState(
            epoch,
            high,
            last_t,
            np.frombuffer(stored_marks, dtype=np.int64),
            np.frombuffer(rows, dtype=np.float32).reshape(-1, channels),
        )
        return DeviceWindows(state, recent)

    def store(self, db: sqlite3.Connection, batch: Batch) -> None:
        """Put a batch's states and marks into its transaction."""
        for device, state in batch.windows.items():
            db.execute(
                "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    device, state.epoch, state.high, state.last_t, state.marks.tobytes(), state.rows.tobytes(),
                    state.rows.shape[1],
                ),
            )  # fmt: skip
        if batch.marks:
            db.executemany("INSERT INTO marks (device, mark, payload_hash) VALUES (?, ?, ?)", batch.marks)

    def forget_marks(self, device: str, *, kept: int) -> None:
        """Drop the marks of a device's messages but for the latest `kept`."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM marks WHERE device = ? AND n <= (SELECT n FROM marks WHERE device = ?"
                " ORDER BY n DESC LIMIT 1 OFFSET ?)",
                (device, device, kept),
            )

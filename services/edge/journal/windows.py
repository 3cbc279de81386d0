"""Where each device's readings and channels stand, and the marks of its latest messages, in the journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.edge.channels import ChannelState
from services.edge.journal.database import Database
from services.edge.journal.records import Batch
from services.edge.window import WindowState

__all__ = ["EvictedDevice", "StoredWindows"]

_PORTION: Final = 4096


@dataclass(frozen=True, slots=True)
class EvictedDevice:
    """A device of which nothing is stored any more; `begun`: readings that waited for the rest of a window are gone."""

    device: str
    begun: bool


class StoredWindows:
    """The journal's windows and channels: `devices` and `marks`, how many are stored. Each method raises StorageError.

    Whoever changes something does it in one thread, the worker's. A device that is stored again is written behind all
    others: rowids of `windows` tell who has been silent the longest.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.reading() as db:
            self.devices: int = db.execute("SELECT COUNT(*) FROM windows").fetchone()[0]
            self.marks: int = db.execute("SELECT COUNT(*) FROM marks").fetchone()[0]

    def of(self, device: str, *, channels: int) -> WindowState:
        """Where a device's readings stand; a fresh state where nothing is stored, or of other channels.

        An evicted device that comes back begins an epoch that it never had: its windows take no id a second time.
        """
        with self._database.reading() as db:
            row = db.execute(
                "SELECT epoch, high, last_t, marks, rows, channels FROM windows WHERE device = ?", (device,)
            ).fetchone()
            if row is None:
                return WindowState.empty(channels, db.execute("SELECT first FROM epochs").fetchone()[0])
        epoch, high, last_t, stored_marks, rows, stored_channels = row
        if stored_channels != channels:
            return WindowState.empty(channels, epoch + 1)
        return WindowState(
            epoch,
            high,
            last_t,
            np.frombuffer(stored_marks, dtype=np.int64),
            np.frombuffer(rows, dtype=np.float32).reshape(-1, channels),
        )

    def channels_of(self, device: str, *, names: tuple[str, ...]) -> ChannelState:
        """Where a device's channels stand; a fresh state where nothing is stored, or of channels of other names."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT names, times, held, pending, done_t, newest_t FROM channels WHERE device = ?", (device,)
            ).fetchone()
        if row is None or row[0] != json.dumps(names):
            return ChannelState.empty(names)
        _, times, held, pending, done_t, newest_t = row
        return ChannelState(
            names=names,
            times=np.frombuffer(times, dtype=np.float64),
            values=np.frombuffer(held, dtype=np.float32),
            pending=tuple(
                (t, int(channel), value) for t, channel, value in np.frombuffer(pending).reshape(-1, 3).tolist()
            ),
            done_t=done_t,
            newest_t=newest_t,
        )

    def knows(self, device: str, mark: int, payload_hash: bytes) -> bool:
        """Whether this message is among the device's latest."""
        with self._database.reading() as db:
            found = db.execute(
                "SELECT 1 FROM marks WHERE device = ? AND mark = ? AND payload_hash = ?", (device, mark, payload_hash)
            ).fetchone()
        return found is not None

    def marks_of(self, device: str) -> int:
        """How many marks of a device are stored."""
        with self._database.reading() as db:
            return int(db.execute("SELECT COUNT(*) FROM marks WHERE device = ?", (device,)).fetchone()[0])

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Around a transaction with `store`: `devices` and `marks` change with the file, or not at all."""
        before = self.devices, self.marks
        try:
            yield
        except BaseException:
            self.devices, self.marks = before
            raise

    def store(self, db: sqlite3.Connection, batch: Batch) -> None:
        """Put a batch's states and marks into its transaction."""
        for device, state in batch.windows.items():
            self.devices += 1 - db.execute("DELETE FROM windows WHERE device = ?", (device,)).rowcount
            db.execute(
                "INSERT INTO windows (device, epoch, high, last_t, marks, rows, channels) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    device, state.epoch, state.high, state.last_t, state.marks.tobytes(), state.rows.tobytes(),
                    state.rows.shape[1],
                ),
            )  # fmt: skip
        db.executemany(
            "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    device, json.dumps(state.names), state.times.tobytes(), state.values.tobytes(),
                    np.array(state.pending, dtype=np.float64).tobytes(), state.done_t, state.newest_t,
                )
                for device, state in batch.channels.items()
            ],
        )  # fmt: skip
        if batch.marks:
            db.executemany("INSERT INTO marks (device, mark, payload_hash) VALUES (?, ?, ?)", batch.marks)
            self.marks += len(batch.marks)

    def forget_marks(self, device: str, *, kept: int) -> None:
        """Drop the marks of a device's messages but for the latest `kept`."""
        with self._database.transaction() as db:
            forgotten = db.execute(
                "DELETE FROM marks WHERE n IN (SELECT n FROM marks WHERE device = ? ORDER BY n DESC LIMIT -1 OFFSET ?)",
                (device, kept),
            ).rowcount
        self.marks -= forgotten

    def evict_devices(self, *, kept: int) -> list[EvictedDevice]:
        """Forget state and marks of the devices that have been silent the longest, beyond `kept` devices."""
        excess = min(_PORTION, self.devices - kept)
        if excess <= 0:
            return []
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT device, epoch, LENGTH(rows) FROM windows ORDER BY rowid LIMIT ?", (excess,)
            ).fetchall()
            devices = [(device,) for device, _, _ in rows]
            db.executemany("DELETE FROM windows WHERE device = ?", devices)
            db.executemany("DELETE FROM channels WHERE device = ?", devices)
            marks = db.executemany("DELETE FROM marks WHERE device = ?", devices).rowcount
            first = max(epoch + 1 for _, epoch, _ in rows)
            db.execute("UPDATE epochs SET first = MAX(first, ?)", (first,))
        self.devices -= len(rows)
        self.marks -= marks
        return [EvictedDevice(device, size > 0) for device, _, size in rows]

    def evict_marks(self, *, kept: int) -> int:
        """Drop the oldest marks of all devices, beyond `kept`. Returns how many there were."""
        excess = self.marks - kept
        if excess <= 0:
            return 0
        with self._database.transaction() as db:
            evicted = db.execute(
                "DELETE FROM marks WHERE n IN (SELECT n FROM marks ORDER BY n LIMIT ?)", (excess,)
            ).rowcount
        self.marks -= evicted
        return evicted

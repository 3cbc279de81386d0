"""Messages that came to nothing: those rejected, and those that were in hand when the worker ended uncleanly."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from services.edge.journal.database import Database
from services.edge.journal.records import Rejection

__all__ = ["Attempts", "Rejections"]

_REJECTIONS_MAX: Final = 100_000
_ATTEMPTED_MAX: Final = 10_000


class Rejections:
    """The journal's list of rejected messages, keyed by hash of topic and payload. Each method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __contains__(self, message_hash: bytes) -> bool:
        """Whether this very message was rejected before."""
        with self._database.reading() as db:
            return db.execute("SELECT 1 FROM rejected WHERE hash = ?", (message_hash,)).fetchone() is not None

    def store(self, db: sqlite3.Connection, rejections: Iterable[Rejection]) -> None:
        """Put a batch's rejections into its transaction."""
        db.executemany(
            "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?, ?)",
            [(one.hash, one.device, one.topic, one.reason, one.detail, one.at) for one in rejections],
        )

    def forget(self, *, kept: int = _REJECTIONS_MAX) -> None:
        """Drop all but the latest `kept`."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM rejected WHERE rowid <= (SELECT MAX(rowid) FROM rejected) - ?", (kept,))


class Attempts:
    """The journal's count of lone attempts, by hash of topic and payload. Each method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> dict[bytes, int]:
        """Of every message noted: how often it was begun alone."""
        with self._database.reading() as db:
            return dict(db.execute("SELECT hash, count FROM attempts").fetchall())

    def note(self, hashes: Iterable[bytes]) -> None:
        """These were in hand when the worker ended; of those noted the latest 10,000 are kept."""
        with self._database.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO attempts VALUES (?, 0)", [(one,) for one in hashes])
            db.execute("DELETE FROM attempts WHERE rowid <= (SELECT MAX(rowid) FROM attempts) - ?", (_ATTEMPTED_MAX,))

    def begin(self, message_hash: bytes) -> None:
        """One more attempt of this message."""
        with self._database.transaction() as db:
            db.execute("UPDATE attempts SET count = count + 1 WHERE hash = ?", (message_hash,))

    def forget(self, message_hash: bytes) -> None:
        """It was handled."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM attempts WHERE hash = ?", (message_hash,))

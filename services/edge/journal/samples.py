"""What the edge has decided, on disk before anyone hears of it: one SQLite row per sample.

    waiting -> final -> done        a label is decided once: `final` until the broker has acknowledged it
                                    (a hard sample waits for the cloud first)
    rejected                        keyed by what came (topic and payload), not by sample

Windowed inputs keep their readings and marks here too. Methods are transactions, one at a time, from any thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from services.edge.journal.database import Database
from services.edge.journal.networks import KnownNetworks
from services.edge.journal.records import Batch, Key, Known, NewRow, State, Unpublished, WaitingRow
from services.edge.journal.rejections import Attempts, Rejections
from services.edge.journal.windows import StoredWindows

__all__ = ["Journal"]

_BYTES_MAX: Final = 512 << 20
_PRUNE_ROWS: Final = 2_000
_KEYS_PER_QUERY: Final = 256
_ROW_BYTES: Final = 256  # of a waiting row beside its label and its escalation: its other columns, and its indexes


class Journal:
    """The journal of one worker. Opened by construction; the spool's lock keeps other processes away.

    `rejections`, `attempts`, `windows` and `networks` are the other tables of the same file.

    Args:
        path: The SQLite file.
        power_safe: Survive the loss of power too: every commit reaches the disk.
        bytes_max: What its files shall not exceed; `over_bytes` says by how much they do.

    Raises:
        EdgeError: if the file cannot be opened or is of a later version; one of an earlier version is changed.
        StorageError: by any method, where the disk is full or fails. Nothing was stored then.
    """

    def __init__(self, path: Path, *, power_safe: bool = False, bytes_max: int = _BYTES_MAX) -> None:
        self._database = Database(path, power_safe=power_safe, bytes_max=bytes_max)
        self.rejections = Rejections(self._database)
        self.attempts = Attempts(self._database)
        self.windows = StoredWindows(self._database)
        self.networks = KnownNetworks(self._database)
        self._counts: dict[str, int] = {"waiting": 0, "final": 0, "done": 0}
        with self._database.reading() as db:
            self._connected_s: float = db.execute("SELECT connected_s FROM clock").fetchone()[0]
            self._counts.update(db.execute("SELECT state, COUNT(*) FROM samples GROUP BY state").fetchall())
            self._waiting_bytes: int = db.execute(
                f"SELECT COALESCE(SUM({_SIZE}), 0) FROM samples WHERE state = 'waiting'"
            ).fetchone()[0]

    def begin_run(self) -> None:
        """A worker takes the journal over: the monotonic times of earlier processes mean nothing to it."""
        with self._database.transaction() as db:
            db.execute("UPDATE samples SET arrived_s = NULL WHERE state = 'waiting' AND arrived_s IS NOT NULL")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by state."""
        return dict(self._counts)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that waiting rows take, about."""
        return self._waiting_bytes

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that are in use."""
        return self._database.bytes_used

    @property
    def over_bytes(self) -> int:
        """By how much the file is too large; not above 0 while it is not."""
        return self._database.bytes_used - self._database.pages_bytes_max

    @property
    def connected_s(self) -> float:
        """The clock by which finished rows age: seconds connected to the broker, over all runs."""
        return self._connected_s

    # Samples

    def known(self, keys: Iterable[Key]) -> dict[Key, Known]:
        """Those of `keys` that have a row."""
        wanted = list(keys)
        found: dict[Key, Known] = {}
        with self._database.reading() as db:
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                chunk = wanted[start : start + _KEYS_PER_QUERY]
                rows = db.execute(
                    # CROSS JOIN: each key is looked up in the index, whatever the planner thinks of the table's size
                    f"WITH wanted (device, id) AS (VALUES {', '.join(['(?, ?)'] * len(chunk))}) SELECT device, id,"
                    " state, payload_hash, label FROM wanted CROSS JOIN samples USING (device, id)",
                    [part for key in chunk for part in key],
                )
                found.update(((device, sample), Known(*others)) for device, sample, *others in rows)
        return found

    def commit(self, batch: Batch) -> None:
        """All of a batch or nothing. Rows whose key is there already change nothing."""
        with self.windows.counting(), self._transaction() as db:
            self._insert(db, "final", [row for row in batch.rows if row.escalation is None])
            self._insert(db, "waiting", [row for row in batch.rows if row.escalation is not None])
            self.rejections.store(db, batch.rejections)
            self.windows.store(db, batch)
            self._mark_done(db, batch.done)

    def finalise(self, labels: Sequence[tuple[Key, bytes]]) -> list[bool]:
        """Give waiting rows their final label: True where the row was waiting, False where nothing changed."""
        changed = []
        with self._transaction() as db:
            for key, label in labels:
                size = db.execute(
                    f"SELECT {_SIZE} FROM samples WHERE device = ? AND id = ? AND state = 'waiting'", key
                ).fetchone()
                changed.append(size is not None)
                if size is not None:
                    db.execute(
                        "UPDATE samples SET state = 'final', label = ?, escalation = NULL WHERE device = ? AND id = ?",
                        (label, *key),
                    )
                    self._waiting_bytes -= size[0]
            self._counts["waiting"] -= sum(changed)
            self._counts["final"] += sum(changed)
        return changed

    def escalate_again(self, escalations: Sequence[tuple[Key, bytes]]) -> list[bool]:
        """Store the next attempt of waiting rows: True where the row still waits."""
        with self._transaction() as db:
            return [
                db.execute(
                    "UPDATE samples SET escalation = ? WHERE device = ? AND id = ? AND state = 'waiting'",
                    (escalation, *key),
                ).rowcount
                == 1
                for key, escalation in escalations
            ]

    def mark_done(self, keys: Sequence[Key]) -> None:
        """The broker has acknowledged these final labels."""
        if keys:
            with self._transaction() as db:
                self._mark_done(db, keys)

    def waiting_rows(self, keys: Iterable[Key]) -> dict[Key, WaitingRow]:
        """Those of `keys` whose row is waiting."""
        with self._database.reading() as db:
            found = [db.execute(f"{_SELECT_WAITING} AND device = ? AND id = ?", key).fetchone() for key in keys]
        return {row.key: row for row in (_waiting_row(values) for values in found if values is not None)}

    def waiting(self, *, after: int = 0, limit: int) -> list[WaitingRow]:
        """The oldest waiting rows beyond number `after`."""
        with self._database.reading() as db:
            rows = db.execute(f"{_SELECT_WAITING} AND n > ? ORDER BY n LIMIT ?", (after, limit)).fetchall()
        return [_waiting_row(values) for values in rows]

    def surest(self, *, limit: int) -> list[WaitingRow]:
        """The waiting rows of which the edge is the surest, the surest first."""
        with self._database.reading() as db:
            rows = db.execute(f"{_SELECT_WAITING} ORDER BY confidence DESC LIMIT ?", (limit,)).fetchall()
        return [_waiting_row(values) for values in rows]

    def waiting_keys(self) -> set[Key]:
        """The keys of all waiting rows."""
        with self._database.reading() as db:
            return set(db.execute("SELECT device, id FROM samples WHERE state = 'waiting'").fetchall())

    def unpublished(self, *, after: int = 0, limit: int) -> list[Unpublished]:
        """The oldest final rows beyond number `after`."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT n, device, id, label FROM samples WHERE state = 'final' AND n > ? ORDER BY n LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Unpublished(n, (device, sample), label) for n, device, sample, label in rows]

    def awaited_streams(self) -> set[tuple[str, int]]:
        """(network id, partitions) of all waiting rows."""
        with self._database.reading() as db:
            rows = db.execute("SELECT DISTINCT network, partitions FROM samples WHERE state = 'waiting'")
            return set(rows.fetchall())

    # Housekeeping

    def pass_time(self, connected_s: float) -> None:
        """Let the clock of connected time go on."""
        with self._transaction() as db:
            db.execute("UPDATE clock SET connected_s = ?", (self._connected_s + connected_s,))
        self._connected_s += connected_s

    def forget(self, *, older_than_s: float) -> int:
        """Drop a portion of the done rows that are too old. Returns how many there were; 0 once there are none."""
        with self._transaction() as db:
            forgotten = db.execute(
                "DELETE FROM samples WHERE n IN (SELECT n FROM samples WHERE state = 'done' AND done_at < ?"
                " ORDER BY done_at LIMIT ?)",
                (self._connected_s - older_than_s, _PRUNE_ROWS),
            ).rowcount
            self._counts["done"] -= forgotten
        return forgotten

    def evict(self, *, limit: int) -> int:
        """Drop the done rows that are the oldest, old or not. Returns how many there were."""
        with self._transaction() as db:
            evicted = db.execute(
                "DELETE FROM samples WHERE n IN (SELECT n FROM samples WHERE state = 'done' ORDER BY done_at LIMIT ?)",
                (limit,),
            ).rowcount
            self._counts["done"] -= evicted
        return evicted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _insert(self, db: sqlite3.Connection, state: State, rows: Sequence[NewRow]) -> None:
        for row in rows:
            entered = db.execute(
                "INSERT OR IGNORE INTO samples (device, id, payload_hash, state, label, escalation, network,"
                " partitions, deadline_s, received_at, arrived_s, confidence)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *row.key, row.payload_hash, state, row.label, row.escalation, row.network, row.partitions,
                    row.deadline_s, row.received_at, row.arrived_s, row.confidence,
                ),
            ).rowcount  # fmt: skip
            self._counts[state] += entered
            if row.escalation is not None:
                self._waiting_bytes += entered * (len(row.label) + len(row.escalation) + _ROW_BYTES)

    def _mark_done(self, db: sqlite3.Connection, keys: Iterable[Key]) -> None:
        marked = [(self._connected_s, *key) for key in keys]
        if marked:
            changed = db.executemany(
                "UPDATE samples SET state = 'done', done_at = ? WHERE device = ? AND id = ? AND state = 'final'", marked
            ).rowcount
            self._counts["final"] -= changed
            self._counts["done"] += changed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database.lock:  # the counts change with the file, or not at all
            before = dict(self._counts), self._waiting_bytes
            try:
                with self._database.transaction() as db:
                    yield db
            except BaseException:
                self._counts, self._waiting_bytes = before
                raise


_SIZE: Final = f"LENGTH(label) + LENGTH(escalation) + {_ROW_BYTES}"
_SELECT_WAITING: Final = (
    "SELECT n, device, id, label, escalation, network, partitions, deadline_s, received_at, arrived_s FROM samples"
    " WHERE state = 'waiting'"
)


def _waiting_row(values: tuple[Any, ...]) -> WaitingRow:
    n, device, sample, *others = values
    return WaitingRow(n, (device, sample), *others)

"""What the edge has decided, on disk before anyone hears of it: one SQLite row per sample.

    waiting -> final -> done        a label is decided once: `final` until the broker has acknowledged it
                                    (a hard sample waits for the cloud first)
    rejected                        keyed by what came (topic and payload), not by sample

Windowed inputs keep their readings and marks here too. Methods are transactions, one at a time, from any thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import numpy as np

from services.edge.errors import EdgeError
from services.edge.records import Batch, Key, Known, Network, NewRow, Rejection, State, Unpublished, WaitingRow
from services.edge.window import DeviceWindows, WindowState

__all__ = ["Journal"]

_SCHEMA_VERSION: Final = 1
_REJECTIONS_MAX: Final = 100_000
_PRUNE_ROWS: Final = 2_000
_KEYS_PER_QUERY: Final = 256
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS samples (
    n INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    id TEXT NOT NULL,
    payload_hash BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'final', 'done')),
    label BLOB NOT NULL,             -- waiting: the edge's own label; else the label as published, byte for byte
    escalation BLOB,                 -- waiting only
    network TEXT NOT NULL,
    partitions INTEGER NOT NULL,
    deadline_s REAL,
    received_at REAL NOT NULL,
    done_at REAL,                    -- on the clock of connected time
    UNIQUE (device, id)
);
CREATE INDEX IF NOT EXISTS samples_waiting ON samples (n) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS samples_final ON samples (n) WHERE state = 'final';
CREATE INDEX IF NOT EXISTS samples_done ON samples (done_at) WHERE state = 'done';
CREATE TABLE IF NOT EXISTS rejected (
    hash BLOB PRIMARY KEY, device TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS windows (
    device TEXT PRIMARY KEY, epoch INTEGER NOT NULL, high INTEGER, last_t REAL, marks BLOB NOT NULL,
    rows BLOB NOT NULL, channels INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS marks (
    n INTEGER PRIMARY KEY, device TEXT NOT NULL, mark INTEGER NOT NULL, payload_hash BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS marks_device ON marks (device, n);
CREATE TABLE IF NOT EXISTS networks (
    network TEXT PRIMARY KEY, bundle TEXT NOT NULL, classes TEXT NOT NULL, cloud_path_energy_j REAL
);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), connected_s REAL NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""


class Journal:
    """The journal of one worker. Opened by construction; the spool's lock keeps other processes away.

    Args:
        path: The SQLite file.
        power_safe: Survive the loss of power too: every commit reaches the disk.

    Raises:
        EdgeError: if the file cannot be opened or is of another version.
    """

    def __init__(self, path: Path, *, power_safe: bool = False) -> None:
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA_VERSION):
                raise EdgeError(f"journal {path}: written by another version (schema {version}); use another spool")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
            self._db.execute("PRAGMA cache_size = -16384")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        except sqlite3.Error as error:
            raise EdgeError(f"journal {path}: {error}") from None
        self._connected_s: float = self._db.execute("SELECT connected_s FROM clock").fetchone()[0]
        self._counts: dict[str, int] = {"waiting": 0, "final": 0, "done": 0}
        self._counts.update(self._db.execute("SELECT state, COUNT(*) FROM samples GROUP BY state").fetchall())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by state."""
        return dict(self._counts)

    @property
    def connected_s(self) -> float:
        """The clock by which finished rows age: seconds connected to the broker, over all runs."""
        return self._connected_s

    # Samples

    def known(self, keys: Iterable[Key]) -> dict[Key, Known]:
        """Those of `keys` that have a row."""
        wanted = list(keys)
        found: dict[Key, Known] = {}
        with self._lock:
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                chunk = wanted[start : start + _KEYS_PER_QUERY]
                rows = self._db.execute(
                    # CROSS JOIN: each key is looked up in the index, whatever the planner thinks of the table's size
                    f"WITH wanted (device, id) AS (VALUES {', '.join(['(?, ?)'] * len(chunk))}) SELECT device, id,"
                    " state, payload_hash, label FROM wanted CROSS JOIN samples USING (device, id)",
                    [part for key in chunk for part in key],
                )
                found.update(((device, sample), Known(*others)) for device, sample, *others in rows)
        return found

    def commit(self, batch: Batch) -> None:
        """All of a batch or nothing. Rows whose key is there already change nothing."""
        with self._transaction() as db:
            self._insert(db, "final", [row for row in batch.rows if row.escalation is None])
            self._insert(db, "waiting", [row for row in batch.rows if row.escalation is not None])
            self._reject(db, batch.rejections)
            self._store_windows(db, batch)
            self._mark_done(db, batch.done)

    def finalise(self, labels: Sequence[tuple[Key, bytes]]) -> list[bool]:
        """Give waiting rows their final label: True where the row was waiting, False where nothing changed."""
        changed = []
        with self._transaction() as db:
            for (device, sample), label in labels:
                changed.append(
                    db.execute(
                        "UPDATE samples SET state = 'final', label = ?, escalation = NULL"
                        " WHERE device = ? AND id = ? AND state = 'waiting'",
                        (label, device, sample),
                    ).rowcount
                    == 1
                )
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
        with self._lock:
            found = [self._db.execute(f"{_SELECT_WAITING} AND device = ? AND id = ?", key).fetchone() for key in keys]
        return {row.key: row for row in (_waiting_row(values) for values in found if values is not None)}

    def waiting(self, *, after: int = 0, limit: int) -> list[WaitingRow]:
        """The oldest waiting rows beyond number `after`."""
        with self._lock:
            rows = self._db.execute(f"{_SELECT_WAITING} AND n > ? ORDER BY n LIMIT ?", (after, limit)).fetchall()
        return [_waiting_row(values) for values in rows]

    def waiting_keys(self) -> set[Key]:
        """The keys of all waiting rows."""
        with self._lock:
            return set(self._db.execute("SELECT device, id FROM samples WHERE state = 'waiting'").fetchall())

    def unpublished(self, *, after: int = 0, limit: int) -> list[Unpublished]:
        """The oldest final rows beyond number `after`."""
        with self._lock:
            rows = self._db.execute(
                "SELECT n, device, id, label FROM samples WHERE state = 'final' AND n > ? ORDER BY n LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Unpublished(n, (device, sample), label) for n, device, sample, label in rows]

    # Rejections

    def is_rejected(self, message_hash: bytes) -> bool:
        """Whether this very message was rejected before."""
        with self._lock:
            row = self._db.execute("SELECT 1 FROM rejected WHERE hash = ?", (message_hash,)).fetchone()
        return row is not None

    def rejections(self, *, limit: int = 1000) -> list[Rejection]:
        """The latest rejections, the newest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT hash, device, topic, reason, detail, at FROM rejected ORDER BY rowid DESC LIMIT ?", (limit,)
            ).fetchall()
        return [Rejection(*row) for row in rows]

    # Windows

    def device_windows(self, device: str, *, channels: int, marks_kept: int) -> DeviceWindows:
        """Where a device's readings stand; a fresh state where nothing is stored, or of other channels."""
        with self._lock:
            row = self._db.execute(
                "SELECT epoch, high, last_t, marks, rows, channels FROM windows WHERE device = ?", (device,)
            ).fetchone()
            marks = self._db.execute(
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

    def forget_marks(self, device: str, *, kept: int) -> None:
        """Drop the marks of a device's messages but for the latest `kept`."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM marks WHERE device = ? AND n <= (SELECT n FROM marks WHERE device = ?"
                " ORDER BY n DESC LIMIT 1 OFFSET ?)",
                (device, device, kept),
            )

    # Networks

    def remember_network(self, network: Network) -> None:
        """Note what it takes to read replies of this network; forget networks that no row names."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM networks WHERE network NOT IN (SELECT network FROM samples WHERE state = 'waiting')"
            )
            db.execute(
                "INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?)",
                (network.network, network.bundle, "\x1f".join(network.classes), network.cloud_path_energy_j),
            )

    def networks(self) -> dict[str, Network]:
        """The networks that were remembered, by network id."""
        with self._lock:
            rows = self._db.execute("SELECT network, bundle, classes, cloud_path_energy_j FROM networks").fetchall()
        return {row[0]: Network(row[0], row[1], tuple(row[2].split("\x1f")), row[3]) for row in rows}

    def awaited_streams(self) -> set[tuple[str, int]]:
        """(network id, partitions) of all waiting rows."""
        with self._lock:
            rows = self._db.execute("SELECT DISTINCT network, partitions FROM samples WHERE state = 'waiting'")
            return set(rows.fetchall())

    # Housekeeping

    def pass_time(self, connected_s: float) -> None:
        """Let the clock of connected time go on."""
        with self._transaction() as db:
            self._connected_s += connected_s
            db.execute("UPDATE clock SET connected_s = ?", (self._connected_s,))

    def forget(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop a portion of the done rows that are too old, or the oldest while the file is too large.

        Returns how many were dropped before their time.
        """
        with self._transaction() as db:
            expired = db.execute(
                "DELETE FROM samples WHERE n IN (SELECT n FROM samples WHERE state = 'done' AND done_at < ?"
                " ORDER BY done_at LIMIT ?)",
                (self._connected_s - older_than_s, _PRUNE_ROWS),
            ).rowcount
            evicted = 0
            if self._bytes_used() > bytes_max:
                evicted = db.execute(
                    "DELETE FROM samples WHERE n IN (SELECT n FROM samples WHERE state = 'done'"
                    " ORDER BY done_at LIMIT ?)",
                    (_PRUNE_ROWS,),
                ).rowcount
            self._counts["done"] -= expired + evicted
            db.execute("DELETE FROM rejected WHERE rowid <= (SELECT MAX(rowid) FROM rejected) - ?", (_REJECTIONS_MAX,))
        return evicted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _bytes_used(self) -> int:
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _insert(self, db: sqlite3.Connection, state: State, rows: Sequence[NewRow]) -> None:
        if rows:
            self._counts[state] += db.executemany(
                "INSERT OR IGNORE INTO samples (device, id, payload_hash, state, label, escalation, network,"
                f" partitions, deadline_s, received_at) VALUES (?, ?, ?, '{state}', ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *row.key, row.payload_hash, row.label, row.escalation, row.network, row.partitions,
                        row.deadline_s, row.received_at,
                    )
                    for row in rows
                ],
            ).rowcount  # fmt: skip

    def _reject(self, db: sqlite3.Connection, rejections: Iterable[Rejection]) -> None:
        for one in rejections:
            db.execute(
                "INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?, ?, ?)",
                (one.hash, one.device, one.topic, one.reason, one.detail, one.at),
            )

    def _store_windows(self, db: sqlite3.Connection, batch: Batch) -> None:
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
        with self._lock:
            counts = dict(self._counts)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._counts = counts
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


_SELECT_WAITING: Final = (
    "SELECT n, device, id, label, escalation, network, partitions, deadline_s, received_at FROM samples"
    " WHERE state = 'waiting'"
)


def _waiting_row(values: tuple[int, str, str, bytes, bytes, str, int, float | None, float]) -> WaitingRow:
    n, device, sample, *others = values
    return WaitingRow(n, (device, sample), *others)  # type: ignore[arg-type]

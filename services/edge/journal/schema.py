"""The journal's tables, and how a journal of an earlier version becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["SCHEMA_VERSION", "bring_up"]

SCHEMA_VERSION: Final = 5
_TABLES: Final = """
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
    confidence REAL,                 -- of the edge's own label, 0 out of domain; of hard samples only
    arrived_s REAL,                  -- monotonic, of the process that wrote it; NULL in every later one
    UNIQUE (device, id)
);
CREATE INDEX IF NOT EXISTS samples_waiting ON samples (n) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS samples_surest ON samples (confidence) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS samples_final ON samples (n) WHERE state = 'final';
CREATE INDEX IF NOT EXISTS samples_done ON samples (done_at) WHERE state = 'done';
CREATE TABLE IF NOT EXISTS rejected (
    hash BLOB PRIMARY KEY, device TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS attempts (hash BLOB PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS windows (
    device TEXT PRIMARY KEY, epoch INTEGER NOT NULL, high INTEGER, last_t REAL, marks BLOB NOT NULL,
    rows BLOB NOT NULL, channels INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS channels (
    device TEXT PRIMARY KEY, names TEXT NOT NULL, times BLOB NOT NULL, held BLOB NOT NULL, pending BLOB NOT NULL,
    done_t REAL, newest_t REAL
);
CREATE TABLE IF NOT EXISTS marks (
    n INTEGER PRIMARY KEY, device TEXT NOT NULL, mark INTEGER NOT NULL, payload_hash BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS marks_known ON marks (device, mark);
CREATE TABLE IF NOT EXISTS epochs (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER NOT NULL           -- of a device of which nothing is stored
);
INSERT OR IGNORE INTO epochs VALUES (1, 0);
CREATE TABLE IF NOT EXISTS networks (
    network TEXT PRIMARY KEY, bundle TEXT NOT NULL, classes TEXT NOT NULL, cloud_path_energy_j REAL
);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), connected_s REAL NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""
_FROM_1: Final = """
ALTER TABLE samples ADD COLUMN confidence REAL;
UPDATE samples SET confidence = json_extract(CAST(label AS TEXT), '$.confidence') WHERE state = 'waiting';
"""
_FROM_2: Final = "DROP INDEX IF EXISTS marks_device;"
_FROM_3: Final = "ALTER TABLE samples ADD COLUMN arrived_s REAL;"
_CHANGES: Final = {1: _FROM_1 + _FROM_2 + _FROM_3, 2: _FROM_2 + _FROM_3, 3: _FROM_3}


def bring_up(db: sqlite3.Connection) -> None:
    """Make the tables, or change those of an earlier version. Raises sqlite3.Error; ValueError for a later version."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise ValueError(f"schema {version}, this is {SCHEMA_VERSION}")
    if version == SCHEMA_VERSION:
        return
    changes = _CHANGES.get(version, "")
    try:
        db.executescript(f"BEGIN IMMEDIATE; {changes} {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise

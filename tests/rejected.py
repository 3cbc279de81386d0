"""The rejected messages that a worker's journal lists."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from services.edge.journal.records import Rejection

__all__ = ["rejections"]


def rejections(journal: Path) -> list[Rejection]:
    """All of a journal's file, the newest first; its worker may be running."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT hash, device, topic, reason, detail, at FROM rejected ORDER BY rowid DESC").fetchall()
    return [Rejection(*row) for row in rows]

"""The SQLite file under the journal: one connection for all threads, transactions, and the bounds of its size."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.edge.errors import EdgeError, StorageError
from services.edge.journal.schema import bring_up

__all__ = ["Database"]

_PAGE_BYTES: Final = 4096
_WAL_PAGES: Final = (16, 1000)
_WAL_SHARE: Final = 16
_MARGIN: Final = 8
_CACHE_KIB: Final = 16 * 1024  # of pages in memory: it fills as the file grows, and stays
# What may pass by itself, when there is room again or the disk is back. The lower byte of SQLite's code.
_STORAGE_ERRORS: Final = frozenset(
    (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY)
)


class Database:
    """Opened by construction. Every statement runs under one lock, which a thread may hold for longer.

    Args:
        path: The SQLite file.
        power_safe: Survive the loss of power too: every commit reaches the disk.
        bytes_max: What its files, the write-ahead log among them, shall not exceed.

    Raises:
        EdgeError: if the file cannot be opened or is of a later version.
    """

    def __init__(self, path: Path, *, power_safe: bool, bytes_max: int) -> None:
        self.path = path
        self.lock = threading.RLock()
        wal_pages = max(_WAL_PAGES[0], min(_WAL_PAGES[1], bytes_max // _WAL_SHARE // _PAGE_BYTES))
        # The log grows by a batch beyond the point at which it is folded in: room for that, and some for its index.
        self.pages_bytes_max = bytes_max - 2 * wal_pages * _PAGE_BYTES - bytes_max // _MARGIN
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
            self._db.execute(f"PRAGMA journal_size_limit = {wal_pages * _PAGE_BYTES}")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            bring_up(self._db)
        except ValueError as error:
            self._db.close()
            raise EdgeError(
                f"journal {path}: written by a later version ({error}); use that version, or another spool"
            ) from None
        except sqlite3.Error as error:
            with contextlib.suppress(AttributeError):
                self._db.close()
            raise EdgeError(f"journal {path}: {error}") from None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it. Raises StorageError where the disk is full or fails."""
        with self.lock, self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For statements that change nothing. Raises StorageError where the disk fails."""
        with self.lock, self._told():
            yield self._db

    @property
    def bytes_used(self) -> int:
        """Size of the file without its free pages and without its log."""
        with self.reading() as db:
            pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return int((pages - free) * _PAGE_BYTES)

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _STORAGE_ERRORS:
                raise StorageError(f"journal {self.path}: {error}") from None
            raise

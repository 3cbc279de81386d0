"""The worker's folder: its identity, its journal, and what it has left at the broker: its session's filters, and the
devices that Home Assistant was told of.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

from services.edge.errors import EdgeError

__all__ = ["Spool"]

_IDENTITY: Final = "worker.json"


class Spool:
    """A folder that one process at a time holds.

    Args:
        folder: Made if it is missing.
        site: The site's name; a spool belongs to one.
        worker: The worker's name; if none, the one kept here, or a new one.
        adopt: Carry on for the worker whose spool this is, under its name; there must be one.

    Raises:
        EdgeError: if the folder cannot be used, is held by another process, belongs to another worker, or is to be
            adopted and belongs to none.
    """

    def __init__(self, folder: Path, *, site: str, worker: str | None, adopt: bool = False) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        if adopt and not (folder / _IDENTITY).is_file():
            raise EdgeError(f"spool {folder}: no worker has left anything here; for a new worker use --spool")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("a+")
            self._take_lock(self._lock)
            self.worker = self._identity(site, None if adopt else worker)
        except OSError as error:
            self.close()
            raise EdgeError(f"spool {folder}: {error.strerror or error}") from None
        except EdgeError:
            self.close()
            raise

    @property
    def journal_path(self) -> Path:
        """The journal's SQLite file."""
        return self.folder / "journal.sqlite"

    @property
    def in_hand_path(self) -> Path:
        """The file that names the messages in hand."""
        return self.folder / "in-hand"

    def filters(self) -> list[str]:
        """Topic filters of earlier runs that the session may still hold."""
        stored = self._read("filters.json")
        return [one for one in stored if isinstance(one, str)] if isinstance(stored, list) else []

    def remember_filters(self, filters: Sequence[str]) -> None:
        """Note what the session holds from now on. Raises EdgeError where it cannot be written."""
        wanted = sorted(set(filters))
        if wanted != self.filters():
            self._note("filters.json", wanted)

    def announced(self) -> dict[str, str]:
        """Topics on which devices were announced to Home Assistant, and those devices; "" where that was taken back."""
        stored = self._read("announced.json")
        if not isinstance(stored, dict):
            return {}
        return {topic: device for topic, device in stored.items() if isinstance(device, str)}

    def remember_announced(self, announced: Mapping[str, str]) -> None:
        """Note what is announced from now on. Raises EdgeError where it cannot be written."""
        self._note("announced.json", dict(announced))

    def close(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _take_lock(self, lock: IO[str]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20).strip() or "unknown"
            raise EdgeError(f"spool {self.folder}: in use by process {holder}; give each worker a spool") from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _identity(self, site: str, worker: str | None) -> str:
        stored = self._read(_IDENTITY)
        if isinstance(stored, dict) and isinstance(stored.get("worker"), str):
            name = str(stored["worker"])
            if stored.get("site") != site or (worker is not None and worker != name):
                raise EdgeError(
                    f"spool {self.folder}: belongs to worker {name} of site {stored.get('site')}; use another folder,"
                    " or --adopt it at its site if that worker will not return"
                )
            return name
        name = worker or f"edge-{uuid.uuid4().hex[:8]}"
        self._write(_IDENTITY, {"site": site, "worker": name})
        return name

    def _read(self, name: str) -> Any:
        with contextlib.suppress(FileNotFoundError):
            try:
                return json.loads((self.folder / name).read_text())
            except ValueError as error:
                raise EdgeError(f"spool {self.folder}: {name} is damaged ({error})") from None
        return None

    def _note(self, name: str, content: Any) -> None:
        try:
            self._write(name, content)
        except OSError as error:
            raise EdgeError(f"spool {self.folder}: {error.strerror or error}") from None

    def _write(self, name: str, content: Any) -> None:
        path = self.folder / f"{name}.new"
        with path.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        path.replace(self.folder / name)

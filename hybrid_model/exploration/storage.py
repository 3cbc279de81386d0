"""Where a study is kept (a file here, or a server that several machines share), and the lock of a running trial.

A lock is a file that is locked as long as a trial runs. The system frees it when the process ends, however that is.
"""

from __future__ import annotations

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

from hybrid_model.exploration.space import ExplorationError

#: A running trial says so this often, and is given up when it was silent for so long (databases only).
HEARTBEAT_S = 15
SILENCE_S = 90

_KINDS = "sqlite:///FILE, postgresql://..., mysql://..., redis://HOST:PORT or journal:FILE"


def open_storage(url: str) -> BaseStorage:
    """The storage at `url`: any database of SQLAlchemy's, a Redis, or a journal file.

    Raises ExplorationError where it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scheme, _, rest = url.partition(":")
    if not rest:
        raise ExplorationError(f"storage {url!r} is no URL; give {_KINDS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of heartbeats, and of Redis
            if scheme == "journal":
                return JournalStorage(JournalFileBackend(rest))
            if scheme in ("redis", "rediss"):
                return JournalStorage(JournalRedisBackend(url))
            waits = {"connect_args": {"timeout": 60}} if scheme.startswith("sqlite") else {"pool_pre_ping": True}
            return RDBStorage(url, engine_kwargs=waits, heartbeat_interval=HEARTBEAT_S, grace_period=SILENCE_S)
    except Exception as error:  # every driver raises errors of its own
        first = str(error).strip().partition("\n")[0]
        raise ExplorationError(f"storage {url}: {first}; give {_KINDS}, and install its driver") from error


def file_of(url: str) -> Path | None:
    """The file that a URL names, None for a server."""
    for prefix in ("sqlite:///", "journal:"):
        if url.startswith(prefix):
            return Path(url.removeprefix(prefix))
    return None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the lock; the file is there, locked, from the first moment, and gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with part.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.replace(part, path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def abandoned(path: Path) -> bool:
    """Whether the file is there and its process is not. A file that is not there says nothing."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have ended in good order between the two lines.
            return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except (FileNotFoundError, BlockingIOError):
        return False

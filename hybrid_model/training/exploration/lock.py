"""A file that is locked as long as a trial runs: the system frees it when the process ends, however that happens."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

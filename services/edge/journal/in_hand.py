"""Which messages the worker has in hand, on disk: what a process that was killed tells the next one."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from services.edge.errors import EdgeError, StorageError

__all__ = ["HASH_BYTES", "InHand"]

HASH_BYTES: Final = 16
_COUNT: Final = struct.Struct("<I")


class InHand:
    """A file with the hashes of the messages in hand. It is written in place and never grows.

    So it can be written while the disk is full. What is written survives the process. It need not survive the machine,
    since no message cuts the power.

    Args:
        path: The file; made if it is missing.
        count_max: The most messages that are in hand at a time.

    Raises:
        EdgeError: if the file cannot be made or read.
    """

    def __init__(self, path: Path, count_max: int) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._left = self._read()
            missing = _COUNT.size + HASH_BYTES * count_max - os.fstat(self._file).st_size
            if missing > 0:
                os.pwrite(self._file, bytes(missing), os.fstat(self._file).st_size)
        except OSError as error:
            raise EdgeError(f"{path}: {error.strerror}") from None

    @property
    def left(self) -> Sequence[bytes]:
        """What the process before this one had in hand when it ended; nothing, if it ended in order."""
        return self._left

    def write(self, hashes: Sequence[bytes]) -> None:
        """These are in hand now. Raises StorageError."""
        try:
            os.pwrite(self._file, _COUNT.pack(len(hashes)) + b"".join(hashes), 0)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from None

    def clear(self) -> None:
        """Nothing is in hand. Raises StorageError."""
        self.write(())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self) -> list[bytes]:
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if len(content) < _COUNT.size:
            return []
        (count,) = _COUNT.unpack_from(content)
        body = content[_COUNT.size :][: count * HASH_BYTES]
        return [body[at : at + HASH_BYTES] for at in range(0, len(body) - HASH_BYTES + 1, HASH_BYTES)]

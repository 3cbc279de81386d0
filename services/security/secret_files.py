"""Files that hold secrets: passwords, private keys. What is in them is never logged, and never in an error."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Final

from services.common.logs import get_logger
from services.settings import SettingsError

__all__ = ["open_to_others", "read_secret", "warn_if_open"]

_BYTES_MAX: Final = 1 << 16
_OTHERS: Final = stat.S_IRWXO

_warned: Final[set[Path]] = set()
_lock: Final = threading.Lock()


def read_secret(path: Path) -> str:
    """The secret in a file, without the line's end. Warns once of a file that is open to all. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
        secret = content.decode().strip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"secret file {path} is not text") from None
    except OSError as error:
        raise SettingsError(f"secret file {path}: {error.strerror or error}") from None
    if not secret:
        raise SettingsError(f"secret file {path} is empty")
    if len(content) > _BYTES_MAX:
        raise SettingsError(f"secret file {path} is longer than {_BYTES_MAX} bytes: is it the right one?")
    warn_if_open(path)
    return secret


def open_to_others(path: Path) -> str | None:
    """The mode of a file, as in ``0644``, if others than owner and group may use it; else None. Never raises."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return f"{mode:04o}" if mode & _OTHERS else None


def warn_if_open(path: Path) -> None:
    """Log, once for each file in a process, that others than owner and group may use it."""
    mode = open_to_others(path)
    with _lock:
        if mode is None or path in _warned:
            return
        _warned.add(path)
    get_logger("settings").warning("secret_file_open_to_all", file=str(path), mode=mode, remedy=f"chmod o= {path}")

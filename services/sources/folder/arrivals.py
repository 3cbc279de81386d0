"""Which files of a folder are new or changed, and lie still, by looking again and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["SUFFIXES", "Arrival", "Arrivals"]

#: Names of picture files. What is written under another name, as `photo.jpg.part`, is not seen before it is renamed.
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class Stamp(NamedTuple):
    """What tells two contents of a name apart without reading them."""

    changed_ns: int
    size: int
    inode: int


@dataclass(frozen=True)
class Arrival:
    """A file that lies still: its path, its name in the folder (with `/`), and when it was changed (epoch seconds)."""

    path: Path
    name: str
    changed_at: float


@dataclass
class _Seen:
    stamp: Stamp
    since_s: float
    given: bool = False


class Arrivals:
    """Looks at a folder and all below it; hidden names and what is no picture by its name are passed over.

    A file is given once it has kept size and time of change for `settle_s`, and again only when these change. Polling
    sees files of network shares too, where no system call tells of what other machines write. Links are not followed
    into other folders.

    Args:
        folder: Where to look.
        settle_s: How long a file must lie still.
        monotonic: Seconds of a clock that only grows.
        wall: Epoch seconds, as the files' times of change are.
    """

    def __init__(
        self, folder: Path, *, settle_s: float, monotonic: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._folder, self._settle_s = folder, settle_s
        self._monotonic, self._wall = monotonic, wall
        self._seen: dict[str, _Seen] = {}

    @property
    def unsettled(self) -> int:
        """Files of the last look that are not given yet."""
        return sum(not seen.given for seen in self._seen.values())

    def look(self) -> list[Arrival]:
        """What lies still and was not given before, the earliest changed first.

        Raises OSError for a folder that is gone.
        """
        now_s, wall = self._monotonic(), self._wall()
        found = dict(self._stamps())
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        arrived: list[tuple[Stamp, str]] = []
        for name, stamp in found.items():
            seen = self._seen.get(name)
            if seen is None or seen.stamp != stamp:
                seen = self._seen[name] = _Seen(stamp, now_s)
            # What was there long before the first look is not waited for.
            old = wall - stamp.changed_ns / 1e9 >= self._settle_s
            if not seen.given and (old or now_s - seen.since_s >= self._settle_s):
                seen.given = True
                arrived.append((stamp, name))
        return [Arrival(self._folder / name, name, stamp.changed_ns / 1e9) for stamp, name in sorted(arrived)]

    def _stamps(self) -> Iterator[tuple[str, Stamp]]:
        waiting = [""]
        while waiting:
            below = waiting.pop()
            try:
                entries = list(os.scandir(self._folder / below))
            except OSError:
                if not below:
                    raise
                continue  # a folder that went away between two looks
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{below}{entry.name}"
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{name}/")
                    elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                        found = entry.stat()
                        yield name, Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
                except OSError:
                    continue

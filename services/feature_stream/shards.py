"""Which node of a Redis Cluster has which key, as far as the nodes have told. Without a cluster there is one node."""

from __future__ import annotations

import threading
from binascii import crc_hqx
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

__all__ = ["Command", "Shards"]

Command = tuple[str | bytes | int, ...]
Address = tuple[str, int]

_SLOTS: Final = 16384
_KEYLESS: Final = frozenset({"PING", "TIME", "SCRIPT LOAD"})


class Shards:
    """The clients of all nodes that are known. Safe from any thread.

    Args:
        home: The client of the node that the settings name.
        connect: Makes the client of another one.
    """

    def __init__(self, home: Any, connect: Callable[[str, int], Any]) -> None:
        self._home, self._connect = home, connect
        self._clients: dict[Address, Any] = {}
        self._of_slot: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def clients(self) -> list[Any]:
        """Those of all nodes that are known."""
        with self._lock:
            return [self._home, *self._clients.values()]

    def split(self, commands: Sequence[Command], positions: Iterable[int]) -> dict[Any, list[int]]:
        """Who is to be asked which of the commands, by their positions, in order."""
        if not self._of_slot:
            return {self._home: list(positions)}
        parts: dict[Any, list[int]] = defaultdict(list)
        with self._lock:
            for position in positions:
                key = key_of(commands[position])
                client = self._home if key is None else self._of_slot.get(slot_of(key), self._home)
                parts[client].append(position)
        return parts

    def learn(self, slot: int, host: str, port: int) -> None:
        """A node has told that another one has this slot now."""
        with self._lock:
            if (host, port) not in self._clients:
                self._clients[host, port] = self._connect(host, port)
            self._of_slot[slot] = self._clients[host, port]

    def forget(self) -> None:
        """A node does not answer: its slots may be elsewhere now. Ask the first one again."""
        with self._lock:
            self._of_slot.clear()

    def close(self) -> None:
        """Close all connections."""
        for client in self.clients:
            client.close()


def key_of(command: Command) -> str | bytes | None:
    """The first key of a command; None where it has none."""
    name = command[0]
    if name in _KEYLESS:
        return None
    if name == "EVALSHA":
        position = 3
    elif name in ("XREAD", "XREADGROUP"):
        position = command.index("STREAMS") + 1
    else:
        position = 1
    key = command[position]
    return key if isinstance(key, str | bytes) else str(key)


def slot_of(key: str | bytes) -> int:
    """The slot of a key, by what stands in its braces."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        name = name[start + 1 : end]
    return crc_hqx(name, 0) % _SLOTS

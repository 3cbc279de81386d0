"""The books of a run: what the broker took from the devices, and what came back for it. Sets of keys, not counts."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.messages import Label

Key = tuple[str, str]


def message_hash(topic: str, payload: bytes) -> bytes:
    """What an edge's journal calls a message that never became a sample."""
    return hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=16).digest()


@dataclass
class Balance:
    """How the books stand. `lost`: keys that are owed a final or a rejection and have none."""

    samples: int
    finals: int
    rejected: int
    lost: list[Key]
    conflicting: list[Key]
    repeated_finals: int
    unexpected_finals: list[Key]
    unexpected_rejections: int
    finals_by_reason: dict[str, int]
    provisionals: int

    @property
    def hard_answered_share(self) -> float | None:
        """Finals that the cloud gave, of those of all hard samples."""
        hard = self.finals - self.finals_by_reason.get("confident", 0)
        return self.finals_by_reason.get("escalated", 0) / hard if hard else None


@dataclass
class Books:
    """Written by the publishers' and the consumer's threads, read by the driver's.

    A sample's key is (device, id). A poisoned message has none; here it is (device, its hash).
    """

    _sent: set[Key] = field(default_factory=set)
    _owed: set[Key] = field(default_factory=set)
    _poisons: dict[bytes, Key] = field(default_factory=dict)
    _owed_poisons: set[bytes] = field(default_factory=set)
    _rejected: set[bytes] = field(default_factory=set)
    _finals: dict[Key, bytes] = field(default_factory=dict)
    _conflicting: set[Key] = field(default_factory=set)
    _reasons: Counter[str] = field(default_factory=Counter)
    _repeated: int = 0
    _provisionals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, keys: Iterable[Key]) -> None:
        """These samples are about to be published. Raises ValueError for a key that was used before."""
        with self._lock:
            for key in keys:
                if key in self._sent:
                    raise ValueError(f"sample {key} is sent twice")
                self._sent.add(key)

    def acknowledged(self, keys: Iterable[Key]) -> None:
        """The broker has taken these samples: each is owed a final label."""
        with self._lock:
            self._owed.update(keys)

    def poison_sent(self, device: str, hashed: bytes) -> None:
        """A message is about to be published that no edge may accept."""
        with self._lock:
            self._poisons[hashed] = (device, hashed.hex())

    def poison_acknowledged(self, hashed: bytes) -> None:
        """The broker has taken it: it is owed a rejection."""
        with self._lock:
            self._owed_poisons.add(hashed)

    def rejections(self, hashes: Iterable[bytes]) -> None:
        """These messages are listed as rejected by the edges."""
        with self._lock:
            self._rejected.update(hashes)

    def label(self, payload: bytes) -> None:
        """A label has come. Raises MessageError where it is none."""
        label = Label.decode(payload)
        key = (label.device, label.id)
        with self._lock:
            if label.status != "final":
                self._provisionals += 1
            elif key not in self._finals:
                self._finals[key] = payload
                self._reasons[label.reason] += 1
            elif self._finals[key] == payload:
                self._repeated += 1
            else:
                self._conflicting.add(key)

    @property
    def samples(self) -> int:
        """How many samples and poisoned messages the broker has taken."""
        with self._lock:
            return len(self._owed) + len(self._owed_poisons)

    @property
    def missing_finals(self) -> int:
        """How many samples are owed a final label and have none yet."""
        with self._lock:
            return len(self._owed - self._finals.keys())

    @property
    def missing_rejections(self) -> int:
        """How many poisoned messages are owed a rejection and have none yet."""
        with self._lock:
            return len(self._owed_poisons - self._rejected)

    def balance(self) -> Balance:
        """Draw up the account."""
        with self._lock:
            lost_poisons = (self._poisons[one] for one in self._owed_poisons - self._rejected)
            return Balance(
                samples=len(self._owed) + len(self._owed_poisons),
                finals=len(self._finals),
                rejected=len(self._rejected),
                lost=sorted([*(self._owed - self._finals.keys()), *lost_poisons]),
                conflicting=sorted(self._conflicting),
                repeated_finals=self._repeated,
                unexpected_finals=sorted(self._finals.keys() - self._sent),
                unexpected_rejections=len(self._rejected - self._poisons.keys()),
                finals_by_reason=dict(sorted(self._reasons.items())),
                provisionals=self._provisionals,
            )

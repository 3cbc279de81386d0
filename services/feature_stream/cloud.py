"""The cloud worker's side of the feature stream: leases on entries, answers, dead letters."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgpack

from services.feature_stream import scripts
from services.feature_stream.entries import Answer, Burial, Delivery, Missed, one_line
from services.feature_stream.keys import GROUP, Stream
from services.feature_stream.link import Command, Entry, GroupMissingError, RedisLink
from services.feature_stream.streams import (
    QueueState,
    forget_stream,
    queue_state,
    silent_streams,
    streams_in_use,
)
from services.settings import RedisSettings

__all__ = ["CloudFeatures"]

_FROM_THE_START: Final = "-"
#: Notes or leases that one script looks at: Redis serves nobody else meanwhile.
_LOOKED_AT_ONCE: Final = 1000
DEAD_LETTERS_MAX: Final = 10_000
DEAD_LETTERS_BYTES_MAX: Final = 64 << 20


class CloudFeatures:
    """One cloud worker's leases on the streams that it serves. Several threads may use it.

    Every method but `close` raises StreamUnavailableError where Redis cannot be reached, does not answer in time,
    loads or refuses.

    Args:
        settings: How to reach Redis.
        consumer: Name of this process in the group, never used by another process: by it a lease is known.
        lease_s: An entry that nobody renews for so long may be claimed by anyone.
        max_deliveries: Lone runs that an entry gets before it goes to the dead letters.
        dead_letters_max: Dead letters that a stream keeps; the oldest are forgotten.
        dead_letters_bytes_max: Bytes of dead letters that a stream keeps; the oldest are forgotten.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        consumer: str,
        lease_s: float,
        max_deliveries: int,
        dead_letters_max: int = DEAD_LETTERS_MAX,
        dead_letters_bytes_max: int = DEAD_LETTERS_BYTES_MAX,
    ) -> None:
        self.consumer = consumer
        self.lease_s = lease_s
        self.max_deliveries = max_deliveries
        self.dead_letters_max = dead_letters_max
        self.dead_letters_bytes_max = dead_letters_bytes_max
        self._silent_s = settings.replies_kept_s
        self._link = RedisLink(settings)
        self._lease_ms = int(lease_s * 1000)
        self._streams: dict[str, Stream] = {}
        self._cursors: dict[Stream, str] = {}

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that are read."""
        return tuple(self._streams.values())

    @property
    def reachable(self) -> bool:
        """Whether Redis answered the last call, from whatever thread."""
        return self._link.reachable

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def ping(self) -> None:
        """Return if Redis answers."""
        self._link.ping()

    def registered(self) -> frozenset[Stream]:
        """The streams that edges have entered."""
        return streams_in_use(self._link)

    def serve(self, streams: Iterable[Stream]) -> None:
        """Read these streams too, from their first entry on; their groups are created."""
        for stream in streams:
            if stream.features not in self._streams:
                self._create_groups([stream])
                self._streams[stream.features] = stream
                self._cursors[stream] = _FROM_THE_START

    def ensure_groups(self) -> None:
        """Create the groups of all served streams that have none, at id 0, so that no entry is passed over."""
        self._create_groups(self.streams)

    def read(self, count: int, block_ms: int = 0) -> list[Delivery]:
        """Lease entries that nobody was given yet: up to `count` of each stream.

        Waits up to `block_ms` for a first one, at most half the socket timeout. Groups that a wipe took are created
        again.
        """
        keys = list(self._streams)
        if not keys:
            return []
        try:
            entries = self._link.read_group(keys, GROUP, self.consumer, count=count, block_ms=block_ms)
        except GroupMissingError:
            self.ensure_groups()
            entries = self._link.read_group(keys, GROUP, self.consumer, count=count, block_ms=block_ms)
        return [self._delivery(entry) for entry in entries]

    def take_audits(self, stream: Stream, count: int) -> list[Delivery]:
        """Take the oldest audits out of a stream, at most once: what is lost on the way is lost."""
        return self._link.script(scripts.take_audits(stream, count=count))

    def audits(self, network_id: str) -> int:
        """How many audits of a network wait in its served streams; none where this user may not ask."""
        streams = [stream for stream in self.streams if stream.network_id == network_id]
        return sum(length or 0 for length in self._link.optional([("XLEN", stream.audit) for stream in streams]))

    def claim(self, stream: Stream) -> Delivery | None:
        """Lease one entry whose lease has lapsed, just before it runs alone; the start of that run is counted.

        It is `exhausted` instead where its runs are used up. None where no lease has lapsed. Entries that were
        deleted meanwhile are dropped.
        """
        cursor = self._cursors.get(stream, _FROM_THE_START)
        claimed = self._claim_after(stream, cursor)
        if claimed is None and cursor != _FROM_THE_START:
            claimed = self._claim_after(stream, _FROM_THE_START)
        self._cursors[stream] = f"({claimed.entry_id}" if claimed is not None else _FROM_THE_START
        return claimed

    def begin_lone_run(self, delivery: Delivery) -> Delivery | None:
        """Count the start of a lone run of a leased entry; may be repeated. None where the lease is lost."""
        return self._link.script(scripts.begin_lone_run(delivery, consumer=self.consumer))

    def uncount(self, delivery: Delivery) -> bool:
        """Take back the start of a lone run that could not be tried. False where the lease was lost."""
        return self._link.script(scripts.uncount(delivery, consumer=self.consumer))

    def give_up(self, delivery: Delivery, error: str, *, pause_s: float) -> bool:
        """Note why a lone run failed; anyone may claim the entry after `pause_s`. False where the lease was lost."""
        idle_ms = max(0, self._lease_ms - int(pause_s * 1000))
        return self._link.script(scripts.give_up(delivery, consumer=self.consumer, error=error, idle_ms=idle_ms))

    def answer(self, answers: Sequence[Answer]) -> list[float | Missed]:
        """Reply, and remove entry, note and history, each answer in one step.

        Returns for each the seconds since its entry was added, or why it was not sent. May be repeated after an error:
        what was answered by then is gone.
        """
        return self._link.scripts(
            [
                scripts.answer(answer, consumer=self.consumer, replies_kept_ms=self._replies_kept_ms)
                for answer in answers
            ]
        )

    def dead_letter(self, delivery: Delivery, error: str, *, answer: Answer | None = None) -> Burial:
        """Move an entry to the dead letters and send `answer`, in one step. Without an answer its edge learns of it.

        The dead letter is msgpack: ``{v, entry_id, payload, error, worker, at, history}``. A payload that alone is
        beyond the bound is left out.
        """
        letter = self._letter(delivery, error, delivery.payload)
        if len(letter) > self.dead_letters_bytes_max:
            letter = self._letter(delivery, f"({len(delivery.payload or b'')} bytes, not kept) {error}", None)
        return self._link.script(
            scripts.dead_letter(
                delivery,
                consumer=self.consumer,
                letter=letter,
                letters_max=self.dead_letters_max,
                letters_bytes_max=self.dead_letters_bytes_max,
                replies_kept_ms=self._replies_kept_ms,
                given=answer,
            )
        )

    def renew(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Renew leases; returns those that were lost."""
        held: dict[Stream, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            held[delivery.stream].append(delivery)
        calls = [
            scripts.renew(stream, [item.entry_id for item in items], consumer=self.consumer)
            for stream, items in held.items()
        ]
        lost: list[Delivery] = []
        for items, renewed in zip(held.values(), self._link.scripts(calls), strict=True):
            lost += [item for item, kept in zip(items, renewed, strict=True) if not kept]
        return lost

    def mend_leases(self) -> None:
        """Let leases begin now that began in the future, because Redis' clock was set back."""
        for stream in self.streams:
            start: str | None = "-"
            while start is not None:
                start = self._link.script(scripts.mend_leases(stream, start=start, count=_LOOKED_AT_ONCE))

    def sweep_notes(self) -> None:
        """Remove the notes of entries that somebody deleted; an answer removes its own."""
        for stream in self.streams:
            cursor = self._link.script(scripts.sweep_notes(stream, cursor=b"0", count=_LOOKED_AT_ONCE))
            while cursor != b"0":
                cursor = self._link.script(scripts.sweep_notes(stream, cursor=cursor, count=_LOOKED_AT_ONCE))

    def retire(self, *, silent_s: float, leave: bool = False) -> int:
        """Delete consumers silent for `silent_s`, and this one if it is to `leave`, where nothing is pending for them.

        Returns how many were deleted.
        """
        leaving, silent_ms = self.consumer if leave else None, int(silent_s * 1000)
        calls = [scripts.retire(stream, leaving=leaving, silent_ms=silent_ms) for stream in self.streams]
        return sum(self._link.scripts(calls))

    def forget_silent(self) -> list[Stream]:
        """Forget streams of edges that are silent for `redis.replies_kept_s`; returns those that are served no more.

        That is: streams in which nothing waits, no dead letter lies, and that no edge has entered.
        """
        for stream in silent_streams(self._link, self._silent_s):
            if self._link.script(scripts.let_go(stream, remove=False)):
                forget_stream(self._link, stream, self._silent_s)
        registered = self.registered()
        unused = [stream for stream in self.streams if stream not in registered]
        gone = [stream for stream in unused if self._link.script(scripts.let_go(stream, remove=True))]
        for stream in gone:
            del self._streams[stream.features]
            self._cursors.pop(stream, None)
        return gone

    def queue(self, network_id: str) -> QueueState:
        """How much waits in the served streams of one network."""
        return queue_state(self._link, [stream for stream in self.streams if stream.network_id == network_id])

    def dead_letters(self, network_id: str) -> tuple[int, int]:
        """How many dead letters of a network lie in its served streams, and how many bytes they have."""
        streams = [stream for stream in self.streams if stream.network_id == network_id]
        counts: list[Command] = [("XLEN", stream.dead) for stream in streams]
        replies = self._link.calls(counts + [("LINDEX", stream.dead_sizes, 0) for stream in streams])
        lengths, sizes = replies[: len(streams)], replies[len(streams) :]
        return sum(lengths), sum(int(size or 0) for size, length in zip(sizes, lengths, strict=True) if length)

    def _letter(self, delivery: Delivery, error: str, payload: bytes | None) -> bytes:
        letter: bytes = msgpack.packb(
            {
                "v": 1,
                "entry_id": delivery.entry_id,
                "payload": payload,
                "error": one_line(error),
                "worker": self.consumer,
                "at": time.time(),
                "history": list(delivery.history),
            }
        )
        return letter

    @property
    def _replies_kept_ms(self) -> int:
        return int(self._silent_s * 1000)

    def _create_groups(self, streams: Iterable[Stream]) -> None:
        self._link.scripts([scripts.create_group(stream) for stream in streams])

    def _claim_after(self, stream: Stream, cursor: str) -> Delivery | None:
        call = scripts.claim(
            stream, consumer=self.consumer, lease_ms=self._lease_ms, cursor=cursor, runs_max=self.max_deliveries
        )
        try:
            return self._link.script(call)
        except GroupMissingError:
            self.ensure_groups()
            return None

    def _delivery(self, entry: Entry) -> Delivery:
        return Delivery(self._streams[entry.key], entry.entry_id, entry.message)

"""The cloud worker's side of the feature stream: leases on entries, answers, dead letters."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgpack

from services.feature_stream import registry
from services.feature_stream.errors import GroupMissing
from services.feature_stream.keys import GROUP, Stream, note
from services.feature_stream.link import Entry, RedisLink, ScriptCall
from services.feature_stream.queue import QueueState, queue_state
from services.messages import Reply
from services.settings import RedisSettings

__all__ = ["Answer", "CloudFeatures", "Delivery"]

_FROM_THE_START = "-"
_ERROR_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry leased to this worker.

    Attributes:
        stream: Network and partition that it came from.
        entry_id: Redis' id of it.
        payload: The escalation as it lies there; None where the entry has another form.
        history: One line for each lone run that was begun: Redis time, consumer, error where one was noted.
        exhausted: Its lone runs are used up: it belongs to the dead letters.
    """

    stream: Stream
    entry_id: str
    payload: bytes | None
    history: tuple[str, ...] = ()
    exhausted: bool = False

    @property
    def redelivered(self) -> bool:
        """Whether it is to run alone, because a worker had it before."""
        return bool(self.history)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to a delivery, and the edge worker that it goes to."""

    delivery: Delivery
    site: str
    worker: str
    reply: Reply


class CloudFeatures:
    """One cloud worker's leases on the streams that it serves. Several threads may use it.

    Every method but `close` raises StreamUnavailable where Redis cannot be reached, does not answer in time, loads or
    refuses.

    Args:
        settings: How to reach Redis.
        consumer: Name of this process in the group, never used by another process: by it a lease is known.
        lease_s: An entry that nobody renews for so long may be claimed by anyone.
        max_deliveries: Lone runs that an entry gets before it goes to the dead letters.
    """

    def __init__(self, settings: RedisSettings, *, consumer: str, lease_s: float, max_deliveries: int) -> None:
        self.consumer = consumer
        self.lease_s = lease_s
        self.max_deliveries = max_deliveries
        self._link = RedisLink(settings)
        self._lease_ms = int(lease_s * 1000)
        self._streams: dict[str, Stream] = {}
        self._cursors: dict[Stream, str] = {}

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that are read."""
        return tuple(self._streams.values())

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def ping(self) -> None:
        """Return if Redis answers."""
        self._link.ping()

    def registered(self) -> frozenset[Stream]:
        """The streams that edges have entered."""
        return registry.entered(self._link)

    def serve(self, streams: Iterable[Stream]) -> None:
        """Read these streams too, from their first entry on; their groups are created. Raises StreamFull too."""
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
        except GroupMissing:
            self.ensure_groups()
            entries = self._link.read_group(keys, GROUP, self.consumer, count=count, block_ms=block_ms)
        return [self._delivery(entry) for entry in entries]

    def claim(self, stream: Stream) -> Delivery | None:
        """Lease one entry whose lease has lapsed, just before it runs alone; the start of that run is counted.

        It is `exhausted` instead where its runs are used up. None where no lease has lapsed. Entries that were
        deleted meanwhile are dropped.
        """
        reply = self._claim_after(stream, self._cursors.get(stream, _FROM_THE_START))
        if reply is None and self._cursors.get(stream, _FROM_THE_START) != _FROM_THE_START:
            reply = self._claim_after(stream, _FROM_THE_START)
        self._cursors[stream] = f"({reply.entry_id}" if reply is not None else _FROM_THE_START
        return reply

    def begin_lone_run(self, delivery: Delivery) -> Delivery | None:
        """Count the start of a lone run of a leased entry. None where the lease is lost."""
        stream = delivery.stream
        arguments = (GROUP, self.consumer, delivery.entry_id)
        [history] = self._link.scripts([ScriptCall("run_alone", (stream.features, stream.runs), arguments)])
        if not history:
            return None
        return Delivery(stream, delivery.entry_id, delivery.payload, _lines(history))

    def give_up(self, delivery: Delivery, error: str, *, pause_s: float) -> bool:
        """Note why a lone run failed; anyone may claim the entry after `pause_s`. False where the lease was lost."""
        stream = delivery.stream
        idle_ms = max(0, self._lease_ms - int(pause_s * 1000))
        arguments = (GROUP, self.consumer, delivery.entry_id, _one_line(error), idle_ms)
        [noted] = self._link.scripts([ScriptCall("give_up", (stream.features, stream.runs), arguments)])
        return bool(noted)

    def answer(self, answers: Sequence[Answer]) -> list[float | None]:
        """Reply, and remove entry, note and history, each answer in one step.

        Returns for each the seconds since its entry was added, None where the lease was lost. May be repeated after
        an error: what was answered by then is None. Raises StreamFull where Redis is full
        even after the entry was freed.
        """
        calls = [
            ScriptCall(
                "answer",
                (
                    answer.delivery.stream.features,
                    answer.delivery.stream.notes,
                    answer.delivery.stream.runs,
                    answer.delivery.stream.replies(answer.site, answer.worker),
                ),
                (
                    GROUP,
                    self.consumer,
                    answer.delivery.entry_id,
                    note(answer.reply.device, answer.reply.id),
                    answer.reply.encode(),
                ),
            )
            for answer in answers
        ]
        return [age_ms / 1000 if age_ms >= 0 else None for age_ms in self._link.scripts(calls)]

    def dead_letter(self, delivery: Delivery, error: str, *, answer: Answer | None = None) -> bool:
        """Move an entry to the dead letters and send `answer`, in one step. False where the lease was lost.

        The dead letter is msgpack: ``{v, entry_id, payload, error, worker, at, history}``.
        """
        stream = delivery.stream
        letter = msgpack.packb(
            {
                "v": 1,
                "entry_id": delivery.entry_id,
                "payload": delivery.payload,
                "error": _one_line(error),
                "worker": self.consumer,
                "at": time.time(),
                "history": list(delivery.history),
            }
        )
        keys = [stream.features, stream.notes, stream.runs, stream.dead]
        arguments: list[str | bytes | int] = [GROUP, self.consumer, delivery.entry_id, letter]
        if answer is not None:
            keys.append(stream.replies(answer.site, answer.worker))
            arguments += [note(answer.reply.device, answer.reply.id), answer.reply.encode()]
        [moved] = self._link.scripts([ScriptCall("dead_letter", keys, arguments)])
        return bool(moved)

    def renew(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Renew leases; returns those that were lost."""
        held: dict[Stream, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            held[delivery.stream].append(delivery)
        calls = [
            ScriptCall("renew", (stream.features,), (GROUP, self.consumer, *(item.entry_id for item in items)))
            for stream, items in held.items()
        ]
        lost: list[Delivery] = []
        for items, renewed in zip(held.values(), self._link.scripts(calls), strict=True):
            lost += [item for item, kept in zip(items, renewed, strict=True) if not kept]
        return lost

    def retire(self, *, silent_s: float, leave: bool = False) -> int:
        """Delete consumers silent for `silent_s`, and this one if it is to `leave`, where nothing is pending for them.

        Returns how many were deleted.
        """
        arguments = (GROUP, self.consumer if leave else "", int(silent_s * 1000))
        calls = [ScriptCall("retire", (stream.features,), arguments) for stream in self.streams]
        return sum(self._link.scripts(calls))

    def queue(self, network_id: str) -> QueueState:
        """How much waits in the served streams of one network."""
        return queue_state(self._link, [stream for stream in self.streams if stream.network_id == network_id])

    def dead_letters(self, network_id: str) -> int:
        """How many dead letters of a network lie in its served streams."""
        commands = [("XLEN", stream.dead) for stream in self.streams if stream.network_id == network_id]
        return sum(self._link.calls(commands))

    def _create_groups(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            self._link.create_group(stream.features, GROUP)

    def _claim_after(self, stream: Stream, cursor: str) -> Delivery | None:
        arguments = (GROUP, self.consumer, self._lease_ms, cursor, self.max_deliveries)
        call = ScriptCall("claim", (stream.features, stream.runs), arguments)
        try:
            [reply] = self._link.scripts([call])
        except GroupMissing:
            self.ensure_groups()
            return None
        if not reply:
            return None
        entry_id, payload, history, run = reply
        return Delivery(stream, entry_id.decode(), payload, _lines(history), exhausted=not run)

    def _delivery(self, entry: Entry) -> Delivery:
        return Delivery(self._streams[entry.key], entry.entry_id, entry.message)


def _lines(history: bytes) -> tuple[str, ...]:
    return tuple(history.decode(errors="replace").splitlines())


def _one_line(error: str) -> str:
    return " ".join(error.split())[:_ERROR_CHARACTERS_MAX]

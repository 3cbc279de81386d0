"""The Lua scripts of the feature stream, one function each: it names keys and arguments, and reads the reply.

A function only makes a call; `RedisLink.script` runs it, `RedisLink.scripts` runs many in one round trip. All keys of a
call belong to one stream, or are the registry alone, so that a Redis Cluster can run it on one node. Each script is one
step: what it says it does has been done wholly or not at all.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from typing import Any, Final, Generic, TypeVar

from services.feature_stream.entries import Answer, Burial, Delivery, EntryState, Missed, Replayed, one_line
from services.feature_stream.keys import GROUP, REGISTRY, Stream, note, streams_of
from services.messages import Escalation

__all__ = [
    "Script",
    "ScriptCall",
    "answer",
    "audit",
    "begin_lone_run",
    "claim",
    "create_group",
    "dead_letter",
    "drop",
    "enter",
    "entry_states",
    "escalate",
    "forget",
    "give_up",
    "let_go",
    "mend_leases",
    "renew",
    "replay",
    "retire",
    "silent",
    "sweep_notes",
    "take_audits",
    "uncount",
]

Result = TypeVar("Result")


class Script:
    """A script in ``lua/``, with what is put before it: functions that several scripts share.

    Args:
        name: Its file, without ``.lua``.
        helpers: Files that are put before it.
    """

    def __init__(self, name: str, *helpers: str) -> None:
        self.name, self._files = name, (*helpers, name)

    @cached_property
    def source(self) -> str:
        """Its text."""
        folder = importlib.resources.files("services.feature_stream") / "lua"
        return "".join((folder / f"{file}.lua").read_text() for file in self._files)

    @cached_property
    def digest(self) -> str:
        """By what Redis knows it: SHA-1 of its text, hexadecimal."""
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class ScriptCall(Generic[Result]):
    """A call of a script, not made yet. `read` makes the result of what Redis replies."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]
    read: Callable[[Any], Result]


_ANSWER: Final = Script("answer", "lease")
_AUDIT: Final = Script("audit")
_CLAIM: Final = Script("claim", "lease")
_CREATE_GROUP: Final = Script("create_group")
_DEAD_LETTER: Final = Script("dead_letter", "lease", "letters")
_DROP: Final = Script("drop", "letters")
_ENTER: Final = Script("enter")
_ESCALATE: Final = Script("escalate")
_FORGET: Final = Script("forget")
_GIVE_UP: Final = Script("give_up", "lease")
_LET_GO: Final = Script("let_go")
_MEND_LEASES: Final = Script("mend_leases")
_RENEW: Final = Script("renew", "lease")
_REPLAY: Final = Script("replay", "letters")
_RETIRE: Final = Script("retire")
_RUN_ALONE: Final = Script("run_alone", "lease")
_SILENT: Final = Script("silent")
_STANDING: Final = Script("standing")
_SWEEP_NOTES: Final = Script("sweep_notes")
_TAKE_AUDITS: Final = Script("take_audits")
_UNCOUNT: Final = Script("uncount", "lease")

# ---- what an edge worker calls


def enter(streams: Iterable[Stream]) -> ScriptCall[None]:
    """Enter streams into the registry, seen now. There must be at least one."""
    return ScriptCall(_ENTER, (REGISTRY,), [stream.name for stream in streams], _nothing)


def escalate(stream: Stream, escalation: Escalation) -> ScriptCall[bool]:
    """Add an escalation, unless its sample's entry stands: then False."""
    arguments = (note(escalation.device, escalation.id), escalation.encode())
    return ScriptCall(_ESCALATE, (stream.features, stream.notes), arguments, bool)


def audit(stream: Stream, escalation: Escalation, *, length_max: int, kept_ms: int) -> ScriptCall[bool]:
    """Add an audit, unless `length_max` of them lie there: then False. The stream ends after `kept_ms` without one."""
    return ScriptCall(_AUDIT, (stream.audit,), (escalation.encode(), length_max, kept_ms), bool)


def entry_states(stream: Stream, samples: Sequence[tuple[str, str]]) -> ScriptCall[list[EntryState]]:
    """What became of the escalation of each (device, id)."""
    keys = (stream.features, stream.notes, stream.unread)
    return ScriptCall(_STANDING, keys, [note(*sample) for sample in samples], _entry_states)


# ---- what a cloud worker calls; `consumer` is its name in the group


def create_group(stream: Stream) -> ScriptCall[bool]:
    """Create the consumer group at the stream's first entry, and the stream. False where it stands."""
    return ScriptCall(_CREATE_GROUP, (stream.features,), (GROUP,), bool)


def claim(stream: Stream, *, consumer: str, lease_ms: int, cursor: str, runs_max: int) -> ScriptCall[Delivery | None]:
    """Lease one entry behind `cursor` whose lease has lapsed for `lease_ms`, and count the start of its lone run.

    One that has had `runs_max` lone runs is leased `exhausted`, and no run is counted. None where no lease has lapsed.
    """

    def read(reply: Any) -> Delivery | None:
        if not reply:
            return None
        entry_id, payload, history, run = reply
        return Delivery(stream, entry_id.decode(), payload, _lines(history), exhausted=not run)

    arguments = (GROUP, consumer, lease_ms, cursor, runs_max)
    return ScriptCall(_CLAIM, (stream.features, stream.runs), arguments, read)


def begin_lone_run(delivery: Delivery, *, consumer: str) -> ScriptCall[Delivery | None]:
    """Renew a lease and count the start of a lone run, once however often it is called. None where the lease is lost.

    The delivery that it returns has the run in its history.
    """
    stream = delivery.stream

    def read(history: Any) -> Delivery | None:
        return Delivery(stream, delivery.entry_id, delivery.payload, _lines(history)) if history else None

    arguments = (GROUP, consumer, delivery.entry_id, len(delivery.history))
    return ScriptCall(_RUN_ALONE, (stream.features, stream.runs), arguments, read)


def uncount(delivery: Delivery, *, consumer: str) -> ScriptCall[bool]:
    """Take back the start of a lone run that could not be tried. False where the lease is lost."""
    stream = delivery.stream
    before = delivery.history if delivery.exhausted else delivery.history[:-1]
    arguments = (GROUP, consumer, delivery.entry_id, "\n".join(before))
    return ScriptCall(_UNCOUNT, (stream.features, stream.runs), arguments, bool)


def give_up(delivery: Delivery, *, consumer: str, error: str, idle_ms: int) -> ScriptCall[bool]:
    """Note why a lone run failed, and make the lease as old as `idle_ms`. False where the lease is lost."""
    stream = delivery.stream
    arguments = (GROUP, consumer, delivery.entry_id, one_line(error), idle_ms)
    return ScriptCall(_GIVE_UP, (stream.features, stream.runs), arguments, bool)


def answer(given: Answer, *, consumer: str, replies_kept_ms: int) -> ScriptCall[float | Missed]:
    """Add the reply; remove entry, note and history. Gives the seconds since the entry was added, or why not.

    Where nobody reads the edge worker's replies they end after `replies_kept_ms`.
    """
    stream, reply = given.delivery.stream, given.reply
    keys = (stream.features, stream.notes, stream.runs, stream.replies(given.site, given.worker))
    sample = note(reply.device, reply.id)
    arguments = (GROUP, consumer, given.delivery.entry_id, sample, reply.encode(), replies_kept_ms)
    return ScriptCall(_ANSWER, keys, arguments, _age_or_missed)


def dead_letter(
    delivery: Delivery,
    *,
    consumer: str,
    letter: bytes,
    letters_max: int,
    letters_bytes_max: int,
    replies_kept_ms: int,
    given: Answer | None,
) -> ScriptCall[Burial]:
    """Move an entry to the dead letters, and send the answer that is `given`.

    Without one the entry's id is set down, by which its edge worker learns of it. The oldest letters beyond
    `letters_max`, or beyond `letters_bytes_max` together, are forgotten.
    """
    stream = delivery.stream
    keys = [stream.features, stream.notes, stream.runs, stream.dead, stream.dead_sizes, stream.unread]
    arguments: list[str | bytes | int] = [GROUP, consumer, delivery.entry_id, letter]
    arguments += [letters_max, letters_bytes_max, replies_kept_ms]
    if given is not None:
        keys.append(stream.replies(given.site, given.worker))
        arguments += [note(given.reply.device, given.reply.id), given.reply.encode()]
    return ScriptCall(_DEAD_LETTER, keys, arguments, _burial)


def renew(stream: Stream, entry_ids: Sequence[str], *, consumer: str) -> ScriptCall[list[bool]]:
    """Renew leases. For each: whether it was still this consumer's."""
    return ScriptCall(_RENEW, (stream.features,), (GROUP, consumer, *entry_ids), _booleans)


def mend_leases(stream: Stream, *, start: str, count: int) -> ScriptCall[str | None]:
    """Let leases that began in the future begin now, among `count` from `start` on. Gives the next `start`."""
    return ScriptCall(_MEND_LEASES, (stream.features,), (GROUP, start, count), _behind)


def sweep_notes(stream: Stream, *, cursor: bytes, count: int) -> ScriptCall[bytes]:
    """Remove notes whose entry is gone, among some `count`. Gives the next cursor, ``b"0"`` at the end."""
    return ScriptCall(_SWEEP_NOTES, (stream.features, stream.notes, stream.unread), (cursor, count), bytes)


def retire(stream: Stream, *, leaving: str | None, silent_ms: int) -> ScriptCall[int]:
    """Delete the consumer that is `leaving`, and those silent for so long, where nothing is pending for them.

    Gives how many were deleted.
    """
    return ScriptCall(_RETIRE, (stream.features,), (GROUP, leaving or "", silent_ms), int)


def take_audits(stream: Stream, *, count: int) -> ScriptCall[list[Delivery]]:
    """Take up to `count` of the oldest audits out of their stream."""

    def read(taken: Any) -> list[Delivery]:
        return [Delivery(stream, entry_id.decode(), message or None) for entry_id, message in taken]

    return ScriptCall(_TAKE_AUDITS, (stream.audit,), (count,), read)


def silent(silent_s: float) -> ScriptCall[frozenset[Stream]]:
    """The streams that no edge worker has entered for so long."""
    return ScriptCall(_SILENT, (REGISTRY,), (int(silent_s),), streams_of)


def forget(stream: Stream, silent_s: float) -> ScriptCall[bool]:
    """Remove a stream from the registry. False where an edge worker has entered it within `silent_s`."""
    return ScriptCall(_FORGET, (REGISTRY,), (stream.name, int(silent_s)), bool)


def let_go(stream: Stream, *, remove: bool) -> ScriptCall[bool]:
    """Whether nothing waits in a stream and no dead letter lies there; if so, and to `remove`, its keys are deleted."""
    keys = (stream.features, stream.dead, stream.notes, stream.runs, stream.dead_sizes, stream.unread, stream.audit)
    return ScriptCall(_LET_GO, keys, ("remove" if remove else "try",), bool)


# ---- what an operator calls


def replay(stream: Stream, letter: str, escalation: Escalation) -> ScriptCall[Replayed]:
    """Make the dead letter of this id an entry again, with the escalation given, unless one of its sample stands."""
    keys = (stream.dead, stream.dead_sizes, stream.features, stream.notes)
    arguments = (letter, note(escalation.device, escalation.id), escalation.encode())
    return ScriptCall(_REPLAY, keys, arguments, Replayed)


def drop(stream: Stream, letter: str) -> ScriptCall[bool]:
    """Remove the dead letter of this id. False where there is none."""
    return ScriptCall(_DROP, (stream.dead, stream.dead_sizes), (letter,), bool)


# ---- how replies are read


def _nothing(reply: Any) -> None:
    return None


def _entry_states(reply: Any) -> list[EntryState]:
    return [EntryState(state) for state in reply]


def _booleans(reply: Any) -> list[bool]:
    return [bool(state) for state in reply]


def _age_or_missed(reply: Any) -> float | Missed:
    return reply / 1000 if reply >= 0 else Missed(reply)


def _burial(reply: Any) -> Burial:
    return Burial(None, reply) if reply >= 0 else Burial(Missed(reply))


def _behind(entry_id: Any) -> str | None:
    return f"({entry_id.decode()}" if entry_id else None


def _lines(history: bytes) -> tuple[str, ...]:
    return tuple(history.decode(errors="replace").splitlines())

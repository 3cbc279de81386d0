"""The edge worker's side of the feature stream: escalate, read the replies, delete them once they are committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.feature_stream import scripts
from services.feature_stream.entries import EntryState
from services.feature_stream.keys import Stream, partition_of
from services.feature_stream.link import Entry, RedisLink
from services.feature_stream.streams import QueueState, enter_streams, queue_state
from services.messages import Escalation, MessageError, Reply
from services.security.feature_keys import FeatureKeys
from services.settings import RedisSettings

__all__ = ["EdgeFeatures", "ReplyEntry"]

#: Escalations sent in one round trip: features are large, and the timeout of a call bounds them all.
_PIPELINE_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class ReplyEntry:
    """A reply as it lies in Redis, until `EdgeFeatures.delete_replies` removes it."""

    partition: int
    entry_id: str
    reply: Reply | MessageError


class EdgeFeatures:
    """One edge worker's way to the cloud workers of one network. Several threads may use it.

    Every method raises StreamUnavailableError where Redis cannot be reached, does not answer in time, loads or refuses.

    Args:
        settings: How to reach Redis.
        network_id: 12 hex digits; it names the streams.
        partitions: Over how many streams the devices are spread.
        site: Name of the site; with `worker` it addresses the replies.
        worker: Name of this edge worker.
        keys: Features are encrypted under the first of them; none to send them plain.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        network_id: str,
        partitions: int = 1,
        site: str,
        worker: str,
        keys: FeatureKeys | None = None,
    ) -> None:
        self._keys = keys
        self.network_id = network_id
        self.streams = tuple(Stream(network_id, partition) for partition in range(partitions))
        self._replies = {stream.replies(site, worker): stream for stream in self.streams}
        self._kept_ms = int(settings.replies_kept_s * 1000)
        self._link = RedisLink(settings)

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def ping(self) -> None:
        """Return if Redis answers."""
        self._link.ping()

    def register(self, others: Iterable[tuple[str, int]] = ()) -> None:
        """Enter this network's streams into the registry, and `others`, (network id, partitions), that rows wait for.

        Puts off the end of this network's unread replies: those of an edge that is gone are not kept for ever.
        """
        others_streams = [Stream(network, part) for network, parts in others for part in range(parts)]
        enter_streams(self._link, [*self.streams, *others_streams])
        self.keep_replies()

    def keep_replies(self) -> None:
        """Let unread replies live for `redis.replies_kept_s` from now."""
        self._link.calls([("PEXPIRE", key, self._kept_ms) for key in self._replies])

    def escalate(self, escalations: Sequence[Escalation]) -> list[bool]:
        """Send hard samples up: True where an entry was added, False where the sample's entry stands already.

        The same sample may be sent again after an error: an entry that stands is not added twice. Raises
        StreamFullError where Redis is at its memory limit; part of the samples may have been added then.
        """
        added: list[bool] = []
        for start in range(0, len(escalations), _PIPELINE_MAX):
            together = escalations[start : start + _PIPELINE_MAX]
            added += self._link.scripts(
                [scripts.escalate(self._stream_of(sample.device), self._sealed(sample)) for sample in together]
            )
        return added

    def audit(self, audits: Sequence[Escalation], *, length_max: int) -> list[bool]:
        """Send confident samples up to be checked: False where the audit stream holds so many already.

        Nobody is told what became of them, and they are not sent again. Raises StreamFullError as `escalate` does.
        """
        calls = [
            scripts.audit(
                self._stream_of(sample.device), self._sealed(sample), length_max=length_max, kept_ms=self._kept_ms
            )
            for sample in audits
        ]
        return self._link.scripts(calls)

    def entries_exist(self, keys: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (device, id), whether its escalation stands in the stream, unanswered."""
        return [state is EntryState.STANDS for state in self.entry_states(keys)]

    def entry_states(self, keys: Sequence[tuple[str, str]]) -> list[EntryState]:
        """For each (device, id), what became of its escalation."""
        positions: dict[Stream, list[int]] = defaultdict(list)
        for position, (device, _) in enumerate(keys):
            positions[self._stream_of(device)].append(position)
        calls = [
            scripts.entry_states(stream, [keys[position] for position in chosen])
            for stream, chosen in positions.items()
        ]
        states = [EntryState.GONE] * len(keys)
        for chosen, its_states in zip(positions.values(), self._link.scripts(calls), strict=True):
            for position, state in zip(chosen, its_states, strict=True):
                states[position] = state
        return states

    def read_replies(self, count: int = 256, block_ms: int = 0) -> list[ReplyEntry]:
        """The oldest replies that are not deleted yet, up to `count` of each partition.

        Reading starts anew each time, so that no cursor can be lost: delete what is committed. An empty list means
        that the replies were read to the end. Waits up to `block_ms` for a first one, at most half the socket timeout.
        """
        entries = self._link.read(list(self._replies), count=count, block_ms=block_ms)
        return [self._reply_entry(entry) for entry in entries]

    def delete_replies(self, entries: Iterable[ReplyEntry]) -> None:
        """Remove replies whose finals are committed, or which nobody waits for."""
        keys = {stream.partition: key for key, stream in self._replies.items()}
        ids: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            ids[keys[entry.partition]].append(entry.entry_id)
        self._link.calls([("XDEL", key, *entry_ids) for key, entry_ids in ids.items()])

    def queue(self) -> QueueState:
        """How much waits in this network's streams, of all sites."""
        return queue_state(self._link, self.streams)

    def _stream_of(self, device: str) -> Stream:
        return self.streams[partition_of(device, len(self.streams))]

    def _sealed(self, escalation: Escalation) -> Escalation:
        return escalation if self._keys is None else self._keys.encrypt(escalation)

    def _reply_entry(self, entry: Entry) -> ReplyEntry:
        reply: Reply | MessageError
        try:
            reply = Reply.decode(entry.message or b"")
        except MessageError as error:
            reply = error
        return ReplyEntry(self._replies[entry.key].partition, entry.entry_id, reply)

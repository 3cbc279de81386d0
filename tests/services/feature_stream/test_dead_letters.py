"""Dead letters: what goes there, how many stay, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from services.feature_stream import Answer, EdgeFeatures, EntryState
from services.feature_stream.dead import DeadLetters, LetterId, Replayed
from services.messages import Escalation, EscalationHead, Reply
from services.settings import RedisSettings
from tests.conftest import WaitFor
from tests.services.feature_stream.stream import (
    RUNS,
    STREAM,
    B,
    MakeCloud,
    answer,
    answered,
    claim_eventually,
    escalation,
    nothing_left,
    replies,
)


@pytest.fixture
def letters(settings: RedisSettings) -> Iterator[DeadLetters]:
    opened = DeadLetters(settings)
    yield opened
    opened.close()


def bury(edge: EdgeFeatures, make_cloud: MakeCloud, *samples: str, device: str = "d") -> None:
    """Let these samples become dead letters."""
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation(sample, device=device) for sample in samples])
    for delivery in cloud.read(100):
        assert cloud.dead_letter(delivery, "ValueError: poison", answer=answer(delivery)).missed is None


def test_an_entry_whose_lone_runs_are_used_up_goes_to_the_dead_letters_with_its_history(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a")])
    make_cloud().read(10)
    for run in range(1, RUNS + 1):
        worker = make_cloud()
        taken = claim_eventually(worker, wait_for)
        assert (len(taken.history), taken.exhausted, taken.redelivered) == (run, False, True)
        if run == 2:
            assert worker.give_up(taken, "ValueError: two\nlines", pause_s=0)
    last = make_cloud()
    taken = claim_eventually(last, wait_for)
    assert taken.exhausted
    assert len(taken.history) == RUNS
    assert taken.payload is not None
    sample = Escalation.decode(taken.payload)
    reply = Reply(sample.device, sample.id, sample.attempt, None, None, "three times")
    given_up = Answer(taken, sample.site, sample.worker, reply)
    assert last.dead_letter(taken, "three times", answer=given_up).missed is None

    assert nothing_left(raw)
    assert [reply.error for reply in replies(edge)] == ["three times"]
    [(_, fields)] = raw.xrange(STREAM.dead)
    letter = msgpack.unpackb(fields[b"m"])
    assert letter["payload"] == taken.payload
    assert letter["error"] == "three times"
    assert letter["worker"] == last.consumer
    assert len(letter["history"]) == RUNS
    assert letter["history"][1].endswith(": ValueError: two lines")


def test_an_entry_that_cannot_be_read_goes_to_the_dead_letters_without_a_reply(make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    raw.xadd(STREAM.features, {"m": b"\xc1"})
    raw.xadd(STREAM.features, {"other": b"x"})
    malformed, other = cloud.read(10)
    assert (malformed.payload, other.payload) == (b"\xc1", None)
    assert cloud.dead_letter(malformed, "not_msgpack").missed is None
    assert cloud.dead_letter(other, "missing_field").missed is None
    assert raw.xlen(STREAM.dead) == 2
    assert nothing_left(raw)


def test_the_oldest_dead_letters_are_forgotten_beyond_the_limit(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud(dead_letters_max=2)
    edge.escalate([escalation(sample) for sample in "abcd"])
    forgotten = [cloud.dead_letter(delivery, "error").forgotten for delivery in cloud.read(10)]
    assert forgotten == [0, 0, 1, 1]
    left = [msgpack.unpackb(fields[b"m"]) for _, fields in raw.xrange(STREAM.dead)]
    assert [Escalation.decode(letter["payload"]).id for letter in left] == ["c", "d"]


def kept(raw: Any) -> list[int]:
    """Bytes of each letter that lies there, after a look at what our scripts keep beside them."""
    letters = [(entry_id, len(fields.get(b"m", b""))) for entry_id, fields in raw.xrange(STREAM.dead)]
    total, *each = raw.lrange(STREAM.dead_sizes, 0, -1) or [b"0"]
    assert each == [b"%s %d" % letter for letter in reversed(letters)]
    assert int(total) == sum(size for _, size in letters)
    return [size for _, size in letters]


def sized(sample: str, count: int) -> Escalation:
    return replace(escalation(sample), features=bytes(count))


def test_the_oldest_dead_letters_are_forgotten_beyond_so_many_bytes(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud(dead_letters_bytes_max=10_000)
    edge.escalate([sized("a", 3000), sized("b", 3000), sized("c", 3000), sized("d", 3000), sized("e", 8000)])
    forgotten = []
    for delivery in cloud.read(10):
        forgotten.append(cloud.dead_letter(delivery, "error").forgotten)
        assert cloud.dead_letters(B) == (raw.xlen(STREAM.dead), sum(kept(raw)))
        assert sum(kept(raw)) <= 10_000
    assert forgotten == [0, 0, 0, 1, 3]
    [(_, fields)] = raw.xrange(STREAM.dead)
    assert Escalation.decode(msgpack.unpackb(fields[b"m"])["payload"]).id == "e"


def test_a_payload_that_alone_is_beyond_the_bytes_is_left_out_of_its_letter(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud(dead_letters_bytes_max=10_000)
    edge.escalate([sized("small", 10), sized("vast", 20_000)])
    small, vast = cloud.read(10)
    assert cloud.dead_letter(small, "error").forgotten == 0
    assert cloud.dead_letter(vast, "oversized").forgotten == 0
    letter = msgpack.unpackb(raw.xrange(STREAM.dead)[-1][1][b"m"])
    assert vast.payload is not None
    assert letter["payload"] is None
    assert letter["error"] == f"({len(vast.payload)} bytes, not kept) oversized"
    assert len(kept(raw)) == 2


def test_the_bytes_of_letters_are_known_exactly_however_they_come_and_go(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    names = "abcdefgh"
    cloud = make_cloud(dead_letters_max=6)
    edge.register()
    edge.escalate([sized(name, 100 * number) for number, name in enumerate(names)])
    for delivery in cloud.read(10):
        cloud.dead_letter(delivery, "error", answer=answer(delivery))
    assert len(kept(raw)) == 6
    first, second, *others = letters.ids()
    assert letters.drop(second)
    assert len(kept(raw)) == 5
    assert letters.replay(first) is Replayed.SENT
    assert letters.replay(others[-1]) is Replayed.SENT
    assert not letters.drop(second)
    assert letters.replay(second) is Replayed.MISSING
    assert len(kept(raw)) == 3
    for delivery in cloud.read(10):
        cloud.dead_letter(delivery, "error")
    assert len(kept(raw)) == 5
    for letter_id in list(letters.ids()):
        assert letters.drop(letter_id)
    assert not raw.exists(STREAM.dead_sizes)
    assert cloud.dead_letters(B) == (0, 0)


@pytest.mark.parametrize("wiped", [(STREAM.dead,), (STREAM.dead, STREAM.dead_sizes)])
def test_letters_that_were_wiped_count_no_more(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wiped: tuple[str, ...]
) -> None:
    cloud = make_cloud(dead_letters_bytes_max=10_000)
    edge.escalate([sized(name, 4000) for name in "abcd"])
    first, second, *others = cloud.read(10)
    for delivery in (first, second):
        cloud.dead_letter(delivery, "error")
    raw.delete(*wiped)
    assert cloud.dead_letters(B) == (0, 0)
    for count, delivery in enumerate(others, 1):
        assert cloud.dead_letter(delivery, "error").forgotten == 0
        assert len(kept(raw)) == count


def test_letters_of_unknown_size_go_before_those_that_came_after_them(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud(dead_letters_bytes_max=10_000)
    edge.escalate([sized("a", 100), sized("b", 100), sized("c", 9500)])
    a, b, c = cloud.read(10)
    cloud.dead_letter(a, "error")
    raw.delete(STREAM.dead_sizes)
    assert cloud.dead_letter(b, "error").forgotten == 0
    assert raw.xlen(STREAM.dead) == 2
    assert cloud.dead_letter(c, "error").forgotten == 2
    assert len(kept(raw)) == 1


def test_a_letter_removed_by_another_hand_takes_no_other_along(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    bury(edge, make_cloud, "a", "b", "c")
    raw.xdel(STREAM.dead, raw.xrange(STREAM.dead)[1][0])
    bury(edge, make_cloud, "d")
    assert raw.xlen(STREAM.dead) == 3
    for letter_id in list(letters.ids()):
        assert letters.drop(letter_id)
    bury(edge, make_cloud, "e")
    assert len(kept(raw)) == 1


def test_letters_are_listed_with_what_can_be_read_of_them(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    bury(edge, make_cloud, "a", "b")
    cloud = make_cloud()
    head = {"v": 9, "site": "s", "worker": "w", "device": "d", "id": "headed", "attempt": 2}
    for payload in (msgpack.packb(head), b"\xc1"):
        raw.xadd(STREAM.features, {"m": payload})
    for delivery in cloud.read(10):
        cloud.dead_letter(delivery, "wrong_version")
    raw.xadd(STREAM.dead, {"m": b"\xc1"})
    a, b, headed, nothing, damaged = letters.letters()
    assert isinstance(a.escalation, Escalation)
    assert isinstance(b.escalation, Escalation)
    assert (a.escalation.id, b.escalation.id, a.error) == ("a", "b", "ValueError: poison")
    assert a.at is not None
    assert isinstance(headed.escalation, EscalationHead)
    assert nothing.escalation is None
    assert damaged.escalation is None
    assert "damaged" in damaged.error
    assert [letter.letter_id for letter in (a, b, headed, nothing, damaged)] == list(letters.ids())
    assert letters.get(a.letter_id) == a


def test_a_letters_id_comes_back_from_its_text() -> None:
    letter_id = LetterId(STREAM, "1795245811402-0")
    assert str(letter_id) == f"{B}.0/1795245811402-0"
    assert LetterId.parse(str(letter_id)) == letter_id
    for wrong in ("", "1795245811402-0", f"{B}.0", f"{B}.0/5", f"{B}.x/1-0", f"{{{B}}}.0/1-0", "all"):
        with pytest.raises(ValueError, match="dewpoint dead list"):
            LetterId.parse(wrong)


def test_a_replayed_letter_is_an_entry_again_and_answered(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    bury(edge, make_cloud, "a")
    edge.delete_replies(edge.read_replies())
    [letter_id] = letters.ids()
    assert letters.replay(letter_id) is Replayed.SENT
    assert letters.replay(letter_id) is Replayed.MISSING
    assert edge.entries_exist([("d", "a")])[0]
    cloud = make_cloud()
    [again] = cloud.read(10)
    assert not again.history, "its lone runs begin anew"
    assert answered(cloud, [again]) == [True]
    assert [reply.attempt for reply in replies(edge)] == [2]
    assert nothing_left(raw)
    assert raw.xlen(STREAM.dead) == 0


def test_a_letter_is_not_replayed_while_an_entry_of_its_sample_stands(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    bury(edge, make_cloud, "a")
    edge.escalate([escalation("a", attempt=5)])
    [letter_id] = letters.ids()
    assert letters.replay(letter_id) is Replayed.STANDS
    assert list(letters.ids()) == [letter_id]
    assert raw.xlen(STREAM.features) == 1


def test_a_letter_that_holds_no_escalation_stays_until_it_is_dropped(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    edge.register()
    raw.xadd(STREAM.features, {"m": b"\xc1"})
    cloud = make_cloud()
    [delivery] = cloud.read(10)
    cloud.dead_letter(delivery, "not_msgpack")
    [letter_id] = letters.ids()
    assert letters.replay(letter_id) is Replayed.UNREADABLE
    assert letters.drop(letter_id)
    assert not letters.drop(letter_id)
    assert list(letters.ids()) == []


def test_a_full_redis_lets_letters_be_replayed_and_dropped(
    edge: EdgeFeatures, make_cloud: MakeCloud, letters: DeadLetters, raw: Any
) -> None:
    bury(edge, make_cloud, "a", "b")
    raw.config_set("maxmemory", 1)
    first, second = letters.ids()
    assert letters.replay(first) is Replayed.SENT
    assert letters.drop(second)


def test_one_networks_letters_can_be_looked_at_alone(
    edge: EdgeFeatures, make_cloud: MakeCloud, settings: RedisSettings
) -> None:
    bury(edge, make_cloud, "a")
    for network, expected in ((B, 1), ("f" * 12, 0)):
        chosen = DeadLetters(settings, network_id=network)
        assert len(list(chosen.ids())) == expected
        chosen.close()


def garble(raw: Any, edge: EdgeFeatures, *samples: str) -> None:
    """Escalate these, and let their entries come out as bytes that nobody can read."""
    edge.register()
    for sample in samples:
        raw.hset(STREAM.notes, f"1:d{sample}", raw.xadd(STREAM.features, {"m": b"\xc1"}))


def test_an_edge_learns_which_of_its_entries_nobody_could_read(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    garble(raw, edge, "garbled")
    edge.escalate([escalation("fine"), escalation("broken"), escalation("deleted"), escalation("waiting")])
    keys = [("d", sample) for sample in ("garbled", "fine", "broken", "deleted", "waiting", "unknown")]
    assert edge.entry_states(keys) == [EntryState.STANDS] * 5 + [EntryState.GONE]
    garbled, fine, broken, deleted, _ = cloud.read(10)
    assert cloud.dead_letter(garbled, "not_msgpack").missed is None
    assert answered(cloud, [fine]) == [True]
    assert cloud.dead_letter(broken, "error", answer=answer(broken)).missed is None
    raw.xdel(STREAM.features, deleted.entry_id)
    expected = [EntryState.UNREAD, *[EntryState.GONE] * 3, EntryState.STANDS, EntryState.GONE]
    assert edge.entry_states(keys) == expected
    cloud.sweep_notes()
    assert edge.entry_states(keys) == expected, "no sweep takes it away before the edge has looked"
    assert edge.escalate([escalation("garbled", attempt=2)]) == [True]
    assert edge.entry_states(keys)[0] is EntryState.STANDS
    raw.flushall()
    assert edge.entry_states(keys) == [EntryState.GONE] * 6


def test_what_nobody_could_read_is_remembered_as_long_as_unread_replies_and_no_more_than_letters_are_kept(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, settings: RedisSettings
) -> None:
    cloud = make_cloud(dead_letters_max=3)
    samples = "abcd"
    garble(raw, edge, *samples)
    for number, delivery in enumerate(cloud.read(10)):
        cloud.dead_letter(delivery, "not_msgpack")
        assert raw.scard(STREAM.unread) == (1, 2, 3, 1)[number]
    assert 0 < raw.pttl(STREAM.unread) <= settings.replies_kept_s * 1000
    states = edge.entry_states([("d", sample) for sample in samples])
    assert states == [EntryState.GONE] * 3 + [EntryState.UNREAD], "the others are sent once more"
    cloud.sweep_notes()
    assert raw.hlen(STREAM.notes) == 1


def test_a_full_redis_takes_letters_of_which_nobody_could_read_whom_to_tell(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    garble(raw, edge, "a")
    [delivery] = cloud.read(10)
    raw.config_set("maxmemory", 1)
    assert cloud.dead_letter(delivery, "not_msgpack").missed is None
    assert edge.entry_states([("d", "a")]) == [EntryState.UNREAD]

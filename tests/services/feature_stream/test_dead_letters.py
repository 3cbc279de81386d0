"""Dead letters: what goes there, how many stay, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from services.feature_stream import Answer, EdgeFeatures
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
    assert edge.entry_exists("d", "a")
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

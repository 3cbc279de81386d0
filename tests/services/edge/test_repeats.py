"""A still scene: hard samples that need not rise, since one rose just now or the answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_model.runtime import EdgeEngine
from services.edge.errors import EdgeError
from services.edge.ingest.samples import Candidate
from services.edge.repeats import KnownAnswers, RepeatRule, Repeats
from services.messages import Label
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.observe.test_recent_inputs import candidate
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, pixels, sample, says

CAMERA: dict[str, Any] = {"topic": "dewpoint/{site}/in/{device}"}
REUSE: dict[str, Any] = {"reuse": True, "reuse_bits": 0}


def camera(**settings: Any) -> dict[str, Any]:
    return {"thresholds": ALL_RISE, "inputs": [{**CAMERA, **settings}]}


def again(number: int, sample_id: str) -> bytes:
    """The picture of `sample(number)` under another id."""
    return sample(number, sample_id=sample_id)


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def final(site: Site, sample_id: str) -> Label:
    [label] = [one for one in site.finals().values() if one.id == sample_id]
    return label


def answered(site: Site, wait_for: WaitFor, *ids: str) -> None:
    wait_for(lambda: {one.id for one in site.finals().values()} >= set(ids), f"finals of {ids}")


# escalate_min_s


def test_one_hard_sample_of_a_device_rises_in_the_time_and_the_others_keep_the_edges_label(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(**camera(escalate_min_s=3600))
    site.publish("cam", sample(1), sample(2), sample(3))
    site.publish("yard", sample(4))
    answered(site, wait_for, "s-2", "s-3")
    with site.cloud() as cloud:
        risen = cloud.answer(2, says(1))
    answered(site, wait_for, "s-1", "s-4")
    assert {one.id for one in risen} == {"s-1", "s-4"}
    limited = final(site, "s-2")
    assert (limited.status, limited.reason, limited.exit, limited.corrected) == ("final", "rate_limited", 0, False)
    assert site.count("exits_total", device="cam", exit="0", reason="rate_limited") == 2
    assert site.count("escalations_total", device="cam", again="no") == 1


def test_a_sample_that_was_limited_stays_so_when_it_comes_again_after_a_restart(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(escalate_min_s=3600))
    site.publish("cam", sample(1), sample(2))
    answered(site, wait_for, "s-2")
    first = final(site, "s-2").encode()
    site.stop_edge()
    site.raw.clear()
    site.start_edge(**camera(escalate_min_s=3600))
    site.publish("cam", sample(2))
    wait_for(lambda: first in site.raw, "the same bytes again")
    assert site.count("escalations_total", device="cam", again="no") == 0


def test_after_the_time_the_next_one_rises() -> None:
    repeats = Repeats([RepeatRule(escalate_min_s=2.0), None], KnownAnswers())
    limited = [repeats.of(came(at_s), b"") for at_s in (10.0, 11.9, 12.0, 13.9, 14.0)]
    assert limited == [None, "rate_limited", None, "rate_limited", None]


def test_devices_and_inputs_have_their_own_time() -> None:
    repeats = Repeats([RepeatRule(escalate_min_s=2.0)] * 2 + [None], KnownAnswers())
    assert repeats.of(came(10.0), b"") is None
    assert repeats.of(came(10.1, device="yard"), b"") is None
    assert repeats.of(came(10.1, input_index=1), b"") is None
    assert [repeats.of(came(10.1, input_index=2), b"") for _ in range(3)] == [None] * 3
    assert repeats.of(came(10.2), b"") == "rate_limited"


def came(at_s: float, *, device: str = "cam", input_index: int = 0) -> Candidate:
    """A sample that came at that moment."""
    one = candidate(1)
    arrival = replace(one.arrival, arrived_s=at_s, input_index=input_index)
    return replace(one, key=(device, f"s-{at_s}"), arrival=arrival)


# reuse


def test_the_answer_of_the_devices_last_sample_is_taken_for_one_with_the_same_features(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(**camera(**REUSE))
    site.publish("cam", sample(1))
    with site.cloud() as cloud:
        cloud.answer(1, says(7))
        answered(site, wait_for, "s-1")
        site.publish("cam", again(1, "twin"))
        answered(site, wait_for, "twin")
        site.publish("cam", sample(2))
        site.publish("yard", again(1, "elsewhere"))
        risen = cloud.answer(2, says(3))
    answered(site, wait_for, "s-2", "elsewhere")

    reused = final(site, "twin")
    assert (reused.status, reused.reason, reused.exit, reused.class_index) == ("final", "reused", "cloud", 7)
    assert (reused.reused_from, reused.confidence) == ("s-1", final(site, "s-1").confidence)
    assert reused.corrected == final(site, "s-1").corrected
    assert reused.energy_j < final(site, "s-1").energy_j
    assert {one.id for one in risen} == {"s-2", "elsewhere"}, "another picture, and another device"
    assert site.count("exits_total", device="cam", exit="cloud", reason="reused") == 1
    assert b"reused_from" not in final(site, "s-2").encode()


def test_with_the_most_probable_classes_a_reused_label_carries_those_of_the_cloud(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(**camera(**REUSE), label_top=2)
    site.publish("cam", sample(1))
    with site.cloud() as cloud:
        cloud.answer(1, lambda one: replace(says(7)(one), top=((7, 0.9), (2, 0.1))))
        answered(site, wait_for, "s-1")
        site.publish("cam", again(1, "twin"))
        answered(site, wait_for, "twin")
    assert final(site, "twin").top == final(site, "s-1").top == ((7, "7", 0.9), (2, "2", 0.1))


def test_a_reused_answer_stays_so_after_a_restart_and_the_next_hard_sample_rises(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE))
    with site.cloud() as cloud:
        site.publish("cam", sample(1))
        cloud.answer(1, says(7))
        answered(site, wait_for, "s-1")
        site.publish("cam", again(1, "twin"))
        answered(site, wait_for, "twin")
        first = final(site, "twin").encode()
        site.stop_edge()
        site.raw.clear()
        site.start_edge(**camera(**REUSE))
        site.publish("cam", again(1, "twin"), again(1, "later"))
        wait_for(lambda: first in site.raw, "the same bytes again")
        [risen] = cloud.answer(1, says(7))
    assert risen.id == "later", "what was answered is remembered in memory alone"


def test_while_the_answer_is_on_its_way_what_is_like_it_rises_too(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE))
    site.publish("cam", sample(1), again(1, "second"))
    with site.cloud() as cloud:
        cloud.answer(2, says(7))
        answered(site, wait_for, "s-1", "second")
        site.publish("cam", again(1, "third"))
        answered(site, wait_for, "third")
    assert final(site, "third").reused_from == "s-1"


def test_so_many_in_a_row_take_an_answer_and_then_one_rises(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE, reuse_samples_max=2))
    with site.cloud() as cloud:
        site.publish("cam", sample(1))
        cloud.answer(1, says(7))
        answered(site, wait_for, "s-1")
        site.publish("cam", *(again(1, f"t-{number}") for number in range(3)))
        [risen] = cloud.answer(1, says(7))
        answered(site, wait_for, "t-0", "t-1", "t-2")
    assert risen.id == "t-2"
    assert [final(site, f"t-{number}").reason for number in range(3)] == ["reused", "reused", "escalated"]


def test_an_answer_that_the_cloud_never_gave_is_not_taken(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE, deadline_s=0.2))
    site.publish("cam", sample(1))
    answered(site, wait_for, "s-1")
    assert final(site, "s-1").reason in ("deadline", "offline")
    site.publish("cam", again(1, "twin"))
    answered(site, wait_for, "twin")
    assert final(site, "twin").reason in ("deadline", "offline")


def test_reuse_goes_before_the_limit_of_rate(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE, escalate_min_s=3600))
    with site.cloud() as cloud:
        site.publish("cam", sample(1))
        cloud.answer(1, says(7))
        answered(site, wait_for, "s-1")
    site.publish("cam", again(1, "twin"), sample(2))
    answered(site, wait_for, "twin", "s-2")
    assert [final(site, one).reason for one in ("twin", "s-2")] == ["reused", "rate_limited"]


def test_a_budget_hears_of_what_was_spared(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(
        **camera(escalate_min_s=3600) | {"thresholds": None, "control": _share()},
    )
    site.publish("cam", *(sample(number) for number in range(200)))
    wait_for(lambda: len(site.finals()) >= 190, "labels", 60)
    wait_for(lambda: 0 <= site.count("control_measured", budget="escalated_share") < 0.02, "hardly any rose", 30)


def _share() -> dict[str, Any]:
    return {"mode": "budget", "budget": "escalated_share", "value": 0.5, "allow_uncalibrated": True}


def test_confident_samples_are_as_they_were(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**camera(**REUSE, escalate_min_s=3600) | {"thresholds": ALL_LEAVE})
    site.publish("cam", sample(1), again(1, "twin"))
    answered(site, wait_for, "s-1", "twin")
    assert {one.reason for one in site.finals().values()} == {"confident"}


def test_a_bundle_without_a_distance_needs_one(site: Site) -> None:
    with pytest.raises(EdgeError, match="reuse: digits knows no distance"):
        site.start_edge(**camera(reuse=True))


# The rule, without servers

FAR = RepeatRule(reuse_bits=3, reuse_s=10.0, reuse_samples_max=5)


def known(features: bytes = b"\x00\x00") -> KnownAnswers:
    answers = KnownAnswers()
    answers.rose(("cam", "a"), features, 0.0, FAR)
    answers.settled(("cam", "a"), 4, 0.9)
    return answers


@pytest.mark.parametrize(
    ("features", "arrived_s", "taken"),
    [(b"\x07\x00", 1.0, True), (b"\x0f\x00", 1.0, False), (b"\x01\x06", 10.0, True), (b"\x00\x00", 10.1, False)],
)
def test_an_answer_holds_within_the_distance_and_the_time(features: bytes, arrived_s: float, taken: bool) -> None:
    assert (known().recall("cam", features, arrived_s, FAR) is not None) is taken


def test_a_stream_of_like_samples_does_not_put_off_the_answer_for_ever() -> None:
    """The first that rose is waited for, not the latest: with a slow cloud no answer would ever be the latest's."""
    answers = KnownAnswers()
    for number in range(10):
        assert answers.recall("cam", b"\x00", number / 10, FAR) is None
        answers.rose(("cam", f"s-{number}"), b"\x00", number / 10, FAR)
    answers.settled(("cam", "s-0"), 4, 0.9)
    found = answers.recall("cam", b"\x01", 1.0, FAR)
    assert found is not None
    assert (found.id, found.class_index) == ("s-0", 4)


def test_an_answer_to_something_else_does_not_replace_one_before_it_is_known() -> None:
    answers = known()
    answers.rose(("cam", "b"), b"\xff\xff", 1.0, FAR)
    assert answers.recall("cam", b"\x00\x00", 1.0, FAR) is not None
    answers.settled(("cam", "b"), 5, 0.8)
    assert answers.recall("cam", b"\x00\x00", 1.0, FAR) is None
    found = answers.recall("cam", b"\xff\xff", 1.0, FAR)
    assert found is not None
    assert found.class_index == 5


def test_devices_beyond_the_bound_are_forgotten() -> None:
    answers = KnownAnswers(devices_max=2)
    for device in ("a", "b", "c"):
        answers.rose((device, "s"), b"\x00", 0.0, FAR)
        answers.settled((device, "s"), 1, 0.9)
    assert [answers.recall(device, b"\x00", 0.0, FAR) is not None for device in ("a", "b", "c")] == [False, True, True]


def test_features_of_pictures_are_what_is_compared(site: Site) -> None:
    engine = EdgeEngine(site.bundle)
    one, other = engine.infer(pixels(1)[None], force_cut=True), engine.infer(pixels(1)[None], force_cut=True)
    assert one.features == other.features

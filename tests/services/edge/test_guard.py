"""The guard: what is out of the network's domain rises, however sure the edge is, and every label of it says so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from services.messages import Label
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, sample, says
from tests.services.edge.stand_in import GuardedEngine, dark_sample

DARK = ("cam", "dark")


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        one.engine = GuardedEngine
        yield one


def labels(site: Site, status: str) -> dict[str, Label]:
    """Those heard so far, by id."""
    return {one.id: one for one in site.heard if one.status == status}


def journal(site: Site) -> sqlite3.Connection:
    """The file of a worker that has stopped."""
    return sqlite3.connect(site.folder / "spool" / "journal.sqlite")


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_a_sample_out_of_domain_rises_however_sure_the_edge_is_and_its_final_label_says_so(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(guard=True, thresholds=ALL_LEAVE)
    site.publish("cam", sample(1), dark_sample("dark"))
    wait_for(lambda: "dark" in labels(site, "provisional"), "its provisional label")
    with site.cloud() as cloud:
        [risen] = cloud.answer(1, says(3))
    wait_for(lambda: len(site.finals()) == 2, "both finals")
    left, answered = site.finals()["cam", "s-1"], site.finals()[DARK]
    assert (risen.id, risen.guarded) == ("dark", True)
    assert (left.exit, left.reason, left.in_domain) == (0, "confident", True)
    assert (answered.exit, answered.reason, answered.class_index) == ("cloud", "escalated", 3)
    assert answered.in_domain is False
    assert labels(site, "provisional")["dark"].in_domain is False


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_where_the_guard_is_off_it_leaves_and_its_label_says_so_all_the_same(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(guard=False, thresholds=ALL_LEAVE)
    site.publish("cam", sample(1), dark_sample("dark"))
    wait_for(lambda: len(site.finals()) == 2, "both finals")
    found = {key[1]: (one.exit, one.reason, one.in_domain) for key, one in site.finals().items()}
    assert found == {"s-1": (0, "confident", True), "dark": (0, "confident", False)}


@pytest.mark.parametrize("guard", [True, False])
def test_samples_out_of_domain_are_counted_by_device_whether_they_leave_or_rise(
    site: Site, wait_for: WaitFor, guard: bool
) -> None:
    site.start_edge(guard=guard, thresholds=ALL_LEAVE)
    site.publish("cam", dark_sample("a"), dark_sample("b"), sample(1))
    site.publish("eye", sample(2))
    wait_for(lambda: site.count("samples_received_total", device="eye") == 1, "all of them")
    assert site.count("samples_received_total", device="cam") == 3
    assert site.count("samples_out_of_domain_total", device="cam") == 2
    shown = {"device": "eye"}
    assert site.metrics.registry.get_sample_value("dewpoint_samples_out_of_domain_total", shown) == 0


def test_the_final_label_still_says_so_after_a_restart_and_a_redis_that_lost_everything(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    site.start_edge(guard=True, thresholds=ALL_LEAVE)
    site.publish("cam", dark_sample("dark"))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "it to rise")
    site.stop_edge()
    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    site.start_edge(guard=False, thresholds=ALL_LEAVE)
    with site.cloud() as cloud:
        [again] = cloud.answer(1, says(3))
    wait_for(lambda: DARK in site.finals(), "its final label")
    assert (again.attempt, again.guarded) == (2, True)
    assert site.finals()[DARK].in_domain is False


def test_a_sample_out_of_domain_that_comes_again_gets_the_same_label_byte_for_byte(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(guard=True, thresholds=ALL_LEAVE)
    site.publish("cam", dark_sample("dark"))
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(lambda: site.count("journal_rows", state="done") == 1, "its row to be done")
    site.publish("cam", dark_sample("dark"))
    wait_for(lambda: sum(b'"final"' in one for one in site.raw) == 2, "the label again")
    first, second = (one for one in site.raw if b'"final"' in one)
    assert first == second
    assert json.loads(first)["in_domain"] is False


def test_the_edges_own_label_says_so_where_the_cloud_is_too_late_and_so_does_the_correction(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(guard=True, thresholds=ALL_LEAVE, deadline_s=0.2, correction=True)
    site.publish("cam", dark_sample("dark"))
    wait_for(lambda: DARK in site.finals(), "the edge's label to be final")
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(lambda: "dark" in labels(site, "correction"), "the correction")
    assert (site.finals()[DARK].reason, site.finals()[DARK].in_domain) == ("deadline", False)
    assert labels(site, "correction")["dark"].in_domain is False


def test_a_row_that_an_earlier_version_left_gets_its_answer_and_nothing_is_said_of_its_domain(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(guard=True, thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "it to rise")
    site.stop_edge()
    with closing(journal(site)) as db, db:
        [(label,)] = db.execute("SELECT label FROM samples").fetchall()
        earlier = {name: value for name, value in json.loads(label).items() if name != "in_domain"}
        db.execute("UPDATE samples SET label = ?", (json.dumps(earlier).encode(),))
    site.start_edge(guard=True, thresholds=ALL_RISE)
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(lambda: ("cam", "s-1") in site.finals(), "its final label")
    final = site.finals()["cam", "s-1"]
    assert (final.exit, final.class_index, final.in_domain) == ("cloud", 3, None)


def test_of_too_many_that_wait_those_out_of_domain_are_shed_last_whatever_the_edge_thinks(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    redis_server.stop()
    site.start_edge(guard=True, thresholds=ALL_RISE, waiting_max=3)
    site.publish("cam", *(dark_sample(f"dark-{number}") for number in range(3)), *map(sample, range(20)))
    wait_for(lambda: len(site.finals()) == 20, "what there is no room for")
    assert all(one.in_domain for one in site.finals().values())
    assert site.edge.journal.waiting_keys() == {("cam", f"dark-{number}") for number in range(3)}

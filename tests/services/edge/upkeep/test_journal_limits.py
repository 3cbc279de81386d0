"""A full spool: finished rows are forgotten early, then the hard samples of which the edge is surest are finalised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from hybrid_model.runtime import EdgeEngine
from services.edge.journal import Disk, Journal
from services.edge.journal.records import Batch, NewRow
from services.edge.publish import Finals
from services.edge.upkeep.journal_limits import JournalLimits
from services.metrics import EdgeMetrics
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, pixels, sample, says

BYTES_MAX = 4 << 20


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def surest(site: Site, count: int) -> list[str]:
    """Ids of the samples 0 to `count` - 1, those first of which the edge is surest."""
    arrays = np.stack([pixels(number) for number in range(count)])
    confidence = EdgeEngine(site.bundle).infer(arrays, thresholds=ALL_RISE).confidence
    return [f"s-{number}" for number in np.argsort(-confidence.astype(float), kind="stable")]


def size_of(spool: Path) -> int:
    return sum(file.stat().st_size for file in spool.iterdir() if file.name.startswith("journal"))


def test_when_too_many_wait_the_surest_of_all_are_shed_not_the_newest(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    redis_server.stop()
    site.start_edge(thresholds=ALL_RISE, waiting_max=10, batch_max=8)
    site.publish("cam", *map(sample, range(60)))
    wait_for(lambda: len(site.finals()) == 50, "what there is no room for")
    assert {one.id for one in site.finals().values()} == set(surest(site, 60)[:50])
    assert {(one.reason, one.exit, one.status) for one in site.finals().values()} == {("shed", 0, "final")}
    assert site.edge.journal.counts["waiting"] == 10
    assert site.worker.impediments == [], "an edge without Redis does its work"
    assert site.count("exits_total", device="cam", exit="0", reason="shed") == 50


def test_what_waits_is_answered_after_what_was_shed(site: Site, redis_server: RedisServer, wait_for: WaitFor) -> None:
    redis_server.stop()
    site.start_edge(thresholds=ALL_RISE, waiting_max=5)
    site.publish("cam", *map(sample, range(20)))
    wait_for(lambda: len(site.finals()) == 15, "what there is no room for")
    redis_server.start()
    with site.cloud() as cloud:
        sent = cloud.answer(5, says(3), timeout_s=30)
    assert {one.id for one in sent} == set(surest(site, 20)[15:])
    wait_for(lambda: len(site.finals()) == 20, "the others")
    assert len([one for one in site.heard if one.status == "final"]) == 20


def test_a_journal_full_of_waiting_rows_keeps_its_size_and_sheds_the_surest(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    redis_server.stop()
    count = 5000
    site.start_edge(thresholds=ALL_RISE, journal_bytes_max=BYTES_MAX, provisional=False)
    largest = 0
    for start in range(0, count, 500):
        site.publish("cam", *map(sample, range(start, start + 500)))
        wait_for(lambda: site.count("messages_acknowledged_total") >= start + 500, "all handled", 60)  # noqa: B023
        largest = max(largest, size_of(site.folder / "spool"))
    assert largest <= BYTES_MAX
    journal = site.edge.journal
    wait_for(lambda: len(site.finals()) + journal.counts["waiting"] == count, "every sample is somewhere", 60)
    assert {one.reason for one in site.finals().values()} == {"shed"}
    kept = count - len(site.finals())
    assert {one.id for one in site.finals().values()} == set(surest(site, count)[: count - kept])
    assert kept > 500, "far more was shed than there was need for"
    assert journal.waiting_bytes <= 0.5 * BYTES_MAX


def test_a_journal_full_of_finished_rows_keeps_its_size_by_forgetting_the_oldest_which_is_counted(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE, journal_bytes_max=BYTES_MAX)
    largest, number = 0, 0
    while site.count("journal_done_evicted_total") == 0:
        assert number < 20_000, "nothing was ever evicted"
        site.publish("cam", *map(sample, range(number, number + 500)))
        number += 500
        wait_for(lambda: len(site.finals()) == number, "all labels", 60)  # noqa: B023
        largest = max(largest, size_of(site.folder / "spool"))
    assert largest <= BYTES_MAX
    wait_for(lambda: site.edge.journal.counts["final"] == 0, "all rows done")
    assert site.edge.journal.counts["done"] == number - site.count("journal_done_evicted_total")


def test_what_waits_is_weighed_exactly_over_all_that_happens_to_it(tmp_path: Path) -> None:
    def row(number: int) -> NewRow:
        return NewRow(("cam", str(number)), b"h", b"l" * number, b"e" * 50, "b" * 12, 1, None, 1.0, number / 10)

    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.waiting_bytes == 0
        journal.commit(Batch(rows=[row(number) for number in range(10)]))
        journal.commit(Batch(rows=[row(number) for number in range(10)]))
        full = journal.waiting_bytes
        assert [one.key[1] for one in journal.surest(limit=3)] == ["9", "8", "7"]
        journal.finalise([(("cam", "9"), b"final"), (("cam", "0"), b"final"), (("cam", "9"), b"again")])
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.waiting_bytes == pytest.approx(full * 8 / 10, rel=0.01)
        journal.finalise([(("cam", str(number)), b"final") for number in range(10)])
        assert journal.waiting_bytes == 0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite", bytes_max=BYTES_MAX) as opened:
        yield opened


def finish(journal: Journal, count: int, *, prefix: str = "s", label: bytes = b"l" * 100) -> None:
    """So many samples, decided and published."""
    keys = [("cam", f"{prefix}-{number}") for number in range(count)]
    journal.commit(Batch(rows=[NewRow(key, b"h", label, None, "b" * 12, 1, None, 1.0) for key in keys]))
    journal.mark_done(keys)


def limits(journal: Journal, metrics: EdgeMetrics, dedupe_window_s: float) -> JournalLimits:
    return JournalLimits(
        journal=journal,
        finals=cast(Finals, None),  # nothing waits
        disk=Disk(metrics=metrics),
        metrics=metrics,
        waiting_max=10,
        bytes_max=BYTES_MAX,
        dedupe_window_s=dedupe_window_s,
    )


def test_rows_whose_time_is_over_are_forgotten_as_fast_as_they_come(journal: Journal) -> None:
    """A worker of 5,000 samples a second: in ten seconds a hundred turns, each of which may forget a portion."""
    keeper = limits(journal, EdgeMetrics(), dedupe_window_s=1)
    for _ in range(5):
        finish(journal, 10_000, prefix=f"batch-{journal.counts['done']}")
    keeper.grow_older(10.0)
    finish(journal, 100, prefix="young")
    turns = 0
    while journal.counts["done"] > 100:
        turns += 1
        assert turns <= 100, f"{journal.counts['done']} rows are left after ten seconds"
        keeper.forget()
    assert journal.known([("cam", "young-0")])


def test_rows_whose_time_is_over_make_room_before_younger_ones_are_forgotten_early(journal: Journal) -> None:
    metrics = EdgeMetrics()
    keeper = limits(journal, metrics, dedupe_window_s=1)
    finish(journal, 1_000, label=b"l" * 2_000)
    keeper.grow_older(10.0)
    while journal.over_bytes <= 0:
        finish(journal, 100, prefix=f"young-{journal.counts['done']}", label=b"l" * 2_000)
    keeper.evict()
    assert journal.over_bytes <= 0
    assert journal.known([("cam", "s-0"), ("cam", "s-999")]) == {}
    assert metrics.registry.get_sample_value("dewpoint_journal_done_evicted_total") == 0

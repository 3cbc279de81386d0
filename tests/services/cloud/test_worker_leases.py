"""The cloud worker and its leases: kept while it works, taken over from those that were killed."""

from __future__ import annotations

from functools import partial

from services.metrics import CloudMetrics
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import DEADLY, StandIn, escalation


def test_a_killed_workers_entries_are_run_alone_and_answered(rig: Rig) -> None:
    rig.send(*(escalation(str(number)) for number in range(5)))
    killed = rig.features("killed")
    killed.serve([STREAM])
    assert len(killed.read(10)) == 5
    killed.close()
    network, metrics = StandIn(), CloudMetrics()
    with rig.working(network, metrics):
        assert len(rig.replies(5)) == 5
    assert network.batches == [1] * 5
    assert value(metrics, "redelivered_total") == 5
    assert rig.nothing_left()


def test_an_entry_that_killed_its_workers_is_buried_without_another_run(rig: Rig) -> None:
    rig.send(escalation("deadly", DEADLY))
    for name in ("k1", "k2", "k3"):
        killed = rig.features(name)
        killed.serve([STREAM])
        killed.read(10)
        rig.wait_for(partial(killed.claim, STREAM), "the lease lapses")
        killed.close()
    network = StandIn()
    with rig.working(network):
        replies = rig.replies(1)
    assert network.batches == []
    assert "3 lone runs" in (replies["deadly"].error or "")


def test_leases_are_renewed_while_a_batch_runs(rig: Rig) -> None:
    slow, quick, metrics = StandIn(), StandIn(), CloudMetrics()
    slow.release.clear()
    rig.send(escalation("a"))
    with rig.working(slow, metrics):
        assert slow.entered.wait(90)
        with rig.working(quick, name="other"):
            rig.wait_for(lambda: value(metrics, "leases_renewed_total") >= 10, "leases are renewed")
            assert not rig.edge.read_replies()
            slow.release.set()
            rig.replies(1)
    assert quick.batches == []
    assert value(metrics, "answers_lost_total") == 0


def test_stopping_answers_the_batch_in_hand_and_leaves_no_consumer(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network) as worker:
        assert network.entered.wait(90)
        worker.stop()
        network.release.set()
    assert len(rig.replies(1)) == 1
    assert rig.raw.xinfo_consumers(STREAM.features, "cloud") == []


def test_a_forward_that_outlasts_its_bound_ends_the_worker(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network, batch_timeout_s=0.2):
        assert rig.hung.wait(90)
        network.release.set()

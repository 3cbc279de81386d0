"""The cloud worker and its leases: kept while it works, taken over from those that were killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from services.cloud.leases import LeaseKeeper
from services.feature_stream import CloudFeatures, Delivery
from services.metrics import CloudMetrics
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import DEADLY, StandIn, escalation
from tests.services.feature_stream.stream import answer


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


class OneByOne(StandIn):
    """Computes samples one by one; all but the first wait for `release`."""

    def infer(self, features: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if len(features) > 1:
            raise ValueError("one by one")
        if not self.batches:
            self.batches.append(1)
            return np.zeros(1, dtype=np.int64), np.full(1, 0.5, dtype=np.float32)
        return super().infer(features)


def test_what_is_answered_while_the_rest_of_a_batch_runs_is_not_lost(rig: Rig) -> None:
    network, metrics = OneByOne(), CloudMetrics()
    network.release.clear()
    rig.send(escalation("a"), escalation("b"))
    with capture_logs() as logged, rig.working(network, metrics):
        rig.replies(1)
        assert network.entered.wait(10)
        before = value(metrics, "leases_renewed_total")
        rig.wait_for(lambda: value(metrics, "leases_renewed_total") >= before + 3, "the other lease is renewed")
        network.release.set()
        rig.replies(2)
    assert [line for line in logged if line["event"] == "leases_lost"] == []


class Meddled(CloudFeatures):
    """Something happens between the keeper's look at what it holds and its renewal."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def renew(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        self.meanwhile()
        return super().renew(deliveries)


@pytest.mark.parametrize("who", ["answered, and known", "answered, not known yet", "another worker"])
def test_a_renewal_that_meets_entries_answered_meanwhile_does_not_call_them_lost(rig: Rig, who: str) -> None:
    rig.send(escalation("a"), escalation("b"))
    features = Meddled(rig.settings, consumer="c", lease_s=0.4, max_deliveries=3)
    features.serve([STREAM])
    first, second = features.read(10)
    renewed: list[int] = []
    keeper = LeaseKeeper(features=features, batch_timeout_s=60, on_renewed=renewed.append, on_hang=lambda: None)
    settling = keeper.settling([first])

    def act() -> None:
        features.meanwhile = lambda: None
        if who == "another worker":
            rig.raw.xclaim(STREAM.features, "cloud", "thief", 0, [first.entry_id])
            return
        settling.__enter__()
        assert isinstance(features.answer([answer(first)])[0], float)
        if who == "answered, and known":
            settling.__exit__(None, None, None)

    features.meanwhile = act
    with capture_logs() as logged, keeper.holding([first, second]):
        keeper.start()
        rig.wait_for(lambda: len(renewed) >= 2, "two renewals")
        if who == "answered, not known yet":
            settling.__exit__(None, None, None)
        rig.wait_for(lambda: len(renewed) >= 4, "two more")
        keeper.stop()
    features.close()
    lost = [line["leases"] for line in logged if line["event"] == "leases_lost"]
    assert lost == ([1] if who == "another worker" else [])
    assert renewed[0] == 1

"""A bundle that the cloud's device cannot hold, or that cannot be read: the others are served, and it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from hybrid_model import bundle
from hybrid_model.bundle import BundleError
from services.cloud import Networks
from services.feature_stream import EdgeFeatures
from services.messages import Reply
from services.metrics import CloudMetrics
from tests.services.cloud.rig import Rig, value
from tests.services.cloud.stand_in import BUNDLE, B, StandIn, escalation

LARGE = bundle.load(bundle.resolve("har")).manifest
FAILURES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("CUDA error: device-side assert triggered"),
    MemoryError(),
    OSError(5, "Input/output error"),
    KeyError("a bug of ours"),
]


def loading(failure: Exception, room: list[bool]) -> Callable[[Path], StandIn]:
    """Loads all bundles but the large one, and that one too where there is `room`."""

    def load(path: Path) -> StandIn:
        if path.name == "har.dew" and not room:
            raise failure
        return StandIn()

    return load


@pytest.fixture
def edge_of_large(rig: Rig) -> Iterator[EdgeFeatures]:
    """An edge worker of the network that cannot be loaded; one sample of it waits."""
    edge = EdgeFeatures(rig.settings, network_id=LARGE.network_id, site="s", worker="w")
    edge.register()
    sample = escalation("large", b=LARGE.network_id, features=bytes(LARGE.cut.bytes))
    assert edge.escalate([sample]) == [True]
    yield edge
    edge.close()


def fails(metrics: CloudMetrics, network_id: str = LARGE.network_id) -> float | None:
    return metrics.registry.get_sample_value("dewpoint_cloud_bundle_failing", {"network": network_id})


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_the_others_are_served_and_it_is_said(rig: Rig, edge_of_large: EdgeFeatures, failure: Exception) -> None:
    metrics, networks = CloudMetrics(), Networks(["har", BUNDLE], loading(failure, []))
    with capture_logs() as logged, rig.working(metrics=metrics, networks=networks) as worker:
        rig.wait_for(lambda: fails(metrics) == 1, "it is shown")
        assert not worker.ready, "there is nothing that it could answer"
        rig.send(escalation("a"))
        assert list(rig.replies(1)) == ["a"]
        rig.wait_for(lambda: worker.ready, "there is now")
        rig.wait_for(lambda: value(metrics, "networks") == 1, "one is served")
        rig.wait_for(lambda: fails(metrics, B) == 0, "and shown as well")
    [said] = [line for line in logged if line["event"] == "bundle_not_loaded"]
    assert said["network_id"] == LARGE.network_id
    assert type(failure).__name__ in said["error"]
    assert "cloud.device" in said["remedy"]
    assert [line for line in logged if line["event"] == "network_unknown"] == []
    assert edge_of_large.queue().length == 1, "nothing was counted against its sample"


def test_it_is_tried_again_and_served_once_there_is_room(rig: Rig, edge_of_large: EdgeFeatures) -> None:
    room: list[bool] = []
    metrics = CloudMetrics()
    networks = Networks(["har", BUNDLE], loading(FAILURES[0], room), retry_s=(0.05, 0.1))
    with rig.working(metrics=metrics, networks=networks) as worker:
        rig.wait_for(lambda: fails(metrics) == 1, "it is shown")
        room.append(True)
        rig.wait_for(lambda: len(edge_of_large.read_replies()) == 1, "its sample is answered")
        rig.wait_for(lambda: fails(metrics) == 0, "and that is shown")
        assert worker.ready
    [entry] = edge_of_large.read_replies()
    assert isinstance(entry.reply, Reply)
    assert entry.reply.error is None


def test_of_a_network_that_no_edge_uses_any_more_nothing_is_shown(rig: Rig, edge_of_large: EdgeFeatures) -> None:
    metrics, networks = CloudMetrics(), Networks(["har", BUNDLE], loading(MemoryError(), []))
    with rig.working(metrics=metrics, networks=networks) as worker:
        rig.wait_for(lambda: fails(metrics) == 1, "it is shown")
        rig.raw.zrem("dewpoint:registry", f"{LARGE.network_id}.0")
        rig.wait_for(lambda: fails(metrics) is None, "it is shown no more")
        assert worker.ready


def test_it_is_not_tried_at_every_look() -> None:
    tries: list[Path] = []

    def load(path: Path) -> StandIn:
        tries.append(path)
        raise MemoryError

    networks = Networks(["har"], load, retry_s=(3600.0, 3600.0))
    assert [networks.get(LARGE.network_id) for _ in range(10)] == [None] * 10
    assert len(tries) == 1
    assert networks.failing == {LARGE.network_id}


def test_a_damaged_one_is_shown_too() -> None:
    def refuse(path: Path) -> StandIn:
        raise BundleError(f"{path}: refused")

    networks = Networks(["har"], refuse)
    assert networks.get(LARGE.network_id) is None
    assert networks.failing == {LARGE.network_id}

"""Housekeeping: what is shed between batches is not sent up any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hybrid_model.runtime import EdgeEngine
from services.edge.escalate import EscalationMaker
from services.edge.journal.records import Batch, NewRow
from services.edge.publish import LabelMaker
from services.messages import Escalation
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_RISE, SITE, WORKER, Site, pixels, says


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def hard(site: Site, number: int) -> tuple[NewRow, Escalation]:
    """A hard sample as the pipeline would commit and offer it."""
    manifest, key = site.bundle.manifest, ("cam", f"s-{number}")
    result = EdgeEngine(site.bundle).infer(pixels(number)[np.newaxis], thresholds=ALL_RISE)
    maker = EscalationMaker(site=SITE, worker=WORKER, network_id=manifest.network_id)
    escalation = maker.make(key, 1e9, result, 0)
    confidence = float(result.confidence[0])
    label = LabelMaker(manifest).provisional(key, 1e9, result, 0)
    row = NewRow(
        key, b"h", label.encode(), escalation.encode(), manifest.network_id, 1, None, 1e9, confidence=confidence
    )
    return row, escalation


def test_what_housekeeping_sheds_is_not_sent_up(site: Site, wait_for: WaitFor) -> None:
    """As where the disk had failed when the batch was to be shed, and works again."""
    edge = site.compose_edge(thresholds=ALL_RISE, waiting_max=2)
    rows, escalations = zip(*(hard(site, number) for number in range(6)), strict=True)
    edge.escalations.expect(row.key for row in rows)
    edge.journal.commit(Batch(rows=list(rows)))
    edge.escalations.offer(escalations)
    shed = edge.housekeeping.shed()
    assert len(shed) == 4
    edge.worker.start()
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 2, "the others are sent")
    with site.cloud() as cloud:
        sent = cloud.answer(2, says(3))
    assert {(each.device, each.id) for each in sent} == {row.key for row in rows} - shed
    wait_for(lambda: len(site.finals()) == 6, "every final")
    assert site.edge.escalations.streams.current.queue().length == 0

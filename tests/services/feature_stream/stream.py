"""One stream and what the tests do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.feature_stream import Answer, CloudFeatures, Delivery, EdgeFeatures, Missed, Stream
from services.messages import Escalation, Reply
from tests.conftest import WaitFor

B = "0123456789ab"
STREAM = Stream(B, 0)
LEASE_S = 0.2
RUNS = 3

MakeCloud = Callable[..., CloudFeatures]


def escalation(sample_id: str, *, device: str = "d", attempt: int = 1) -> Escalation:
    return Escalation(sample_id, "s", "w", device, B, attempt, ((1, 0.5),), b"features", 1e9)


def answer(delivery: Delivery, class_index: int = 7) -> Answer:
    assert delivery.payload is not None
    sample = Escalation.decode(delivery.payload)
    return Answer(
        delivery, sample.site, sample.worker, Reply(sample.device, sample.id, sample.attempt, class_index, 0.9, None)
    )


def claim_eventually(cloud: CloudFeatures, wait_for: WaitFor) -> Delivery:
    found: list[Delivery] = []

    def claimed() -> bool:
        delivery = cloud.claim(STREAM)
        if delivery is not None:
            found.append(delivery)
        return bool(found)

    wait_for(claimed, "a lapsed lease is claimed")
    return found[0]


def answered(cloud: CloudFeatures, deliveries: list[Delivery]) -> list[bool]:
    return [not isinstance(age_s, Missed) for age_s in cloud.answer([answer(delivery) for delivery in deliveries])]


def replies(edge: EdgeFeatures) -> list[Reply]:
    read = [entry.reply for entry in edge.read_replies()]
    return [reply for reply in read if isinstance(reply, Reply)]


def nothing_left(raw: Any) -> bool:
    pending = raw.xpending(STREAM.features, "cloud")["pending"]
    return not (raw.xlen(STREAM.features) or raw.hlen(STREAM.notes) or raw.hlen(STREAM.runs) or pending)

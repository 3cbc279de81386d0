"""(d) Dramatiq on Redis: the actor, imported by the edge, which posts, and by `dramatiq`."""

from __future__ import annotations

import base64

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.pipeline.alternatives.broker import Site
from benchmarks.pipeline.alternatives.hard_samples import cloud_side

dramatiq.set_broker(RedisBroker(host="127.0.0.1", port=Site.told().redis_port))


@dramatiq.actor
def classify(topic: str, sample_id: str, features: str) -> None:
    """One hard sample; messages are JSON."""
    cloud_side().answer([(topic, sample_id, base64.b64decode(features))])

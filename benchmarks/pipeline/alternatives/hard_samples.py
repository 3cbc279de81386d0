"""What (c), (d) and (e) share: our two halves, the way between them left to the task queue.

The edge answers what it is sure of and posts a task for each hard sample; a sample is acknowledged at the broker once
its label is published, or its task is in Redis. The cloud publishes labels itself, which spares the queue the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
import paho.mqtt.client as mqtt

from benchmarks.pipeline.alternatives.broker import Site, answer_topic, label
from hybrid_model import bundle as bundle_file
from hybrid_model.runtime import EdgeEngine

#: Topic for the label, sample id, features, and what to call once the task is safe.
Post = Callable[[str, str, bytes, Callable[[], None]], None]


def run_edge(post: Post) -> None:
    """Take samples until it is ended."""
    site = Site.told()
    engine = EdgeEngine(bundle_file.load(bundle_file.resolve(site.net)))
    thresholds = [site.threshold]

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        sample = msgpack.unpackb(message.payload)
        x = np.frombuffer(sample["data"], np.uint8).reshape(1, *sample["shape"])
        found = engine.infer(x, thresholds=thresholds, guard=False)
        topic, done = answer_topic(message.topic), functools.partial(client.ack, message.mid, message.qos)
        features = found.features[0]
        if features is not None:
            post(topic, sample["id"], features, done)
            return
        client.publish(topic, label(sample["id"], int(found.class_index[0]), 0), qos=message.qos)
        done()

    site.subscriber(on_message, manual_ack=True).loop_forever()


class CloudSide:
    """Our cloud half on one thread, and the connection by which its labels are published."""

    def __init__(self) -> None:
        from hybrid_model.cloud_half import CloudHalf

        site = Site.told()
        self._half = CloudHalf(bundle_file.load(bundle_file.resolve(site.net), cloud=True), threads=1)
        self._client = site.client()
        self._client.loop_start()

    def answer(self, tasks: Sequence[tuple[str, str, bytes]]) -> None:
        """Publish the labels of (topic, sample id, features)."""
        classes, _ = self._half.infer([features for _, _, features in tasks])
        for (topic, sample_id, _), class_index in zip(tasks, classes, strict=True):
            self._client.publish(topic, label(sample_id, int(class_index), "cloud"), qos=1)


@functools.cache
def cloud_side() -> CloudSide:
    """One a process, made when the first task comes."""
    return CloudSide()

"""(a) Everything to the cloud: frames by MQTT to one full-precision worker, which answers them in batches."""

from __future__ import annotations

import queue
from typing import Any

import msgpack
import numpy as np
import paho.mqtt.client as mqtt

from benchmarks.pipeline.alternatives.broker import Site, answer_topic, label
from benchmarks.pipeline.alternatives.models import WholeNetwork

_BATCH_MAX = 32


def main() -> None:
    """Until it is ended."""
    site = Site.told()
    network = WholeNetwork(site.net)
    waiting: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()

    def on_message(_: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        waiting.put(message)

    client = site.subscriber(on_message, manual_ack=True)
    client.loop_start()
    while True:
        messages = [waiting.get()]
        while len(messages) < _BATCH_MAX and not waiting.empty():
            messages.append(waiting.get())
        samples = [msgpack.unpackb(message.payload) for message in messages]
        batch = np.stack([np.frombuffer(each["data"], np.uint8).reshape(network.shape) for each in samples])
        for message, sample, class_index in zip(messages, samples, network.answer(batch), strict=True):
            client.publish(answer_topic(message.topic), label(sample["id"], class_index, "cloud"), qos=message.qos)
            client.ack(message.mid, message.qos)


if __name__ == "__main__":
    main()

"""(b) int8 at the edge and no cloud: paho and ONNX Runtime, one sample a call."""

from __future__ import annotations

from typing import Any

import msgpack
import paho.mqtt.client as mqtt

from benchmarks.pipeline.alternatives.broker import Site, answer_topic, label
from benchmarks.pipeline.alternatives.models import Int8Edge


def main() -> None:
    """Until it is ended."""
    site = Site.told()
    network = Int8Edge(site.net)

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        sample = msgpack.unpackb(message.payload)
        client.publish(answer_topic(message.topic), label(sample["id"], network.answer(sample["data"]), 0), message.qos)
        client.ack(message.mid, message.qos)

    site.subscriber(on_message, manual_ack=True).loop_forever()


if __name__ == "__main__":
    main()

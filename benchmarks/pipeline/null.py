"""The null limit: a plain paho subscriber that unpacks each message and publishes a fixed label for it.

What is left of a worker when everything that it is for is taken out of it.
"""

from __future__ import annotations

from typing import Any

import msgpack
import paho.mqtt.client as mqtt

from benchmarks.pipeline.alternatives.broker import Site, answer_topic

#: As long as a label of the edge.
_LABEL = (
    b'{"id":"%s","device":"device-0","class":0,"label":"0","confidence":0.9876543210987654,"exit":0,"status":"final",'
    b'"reason":"confident","corrected":false,"captured_at":1700000000.123456,"decided_at":1700000000.234567,'
    b'"bundle":"digits@0123456789abcdef","energy_j":1.234567890123e-06,"in_domain":true}'
)


def main() -> None:
    """Until it is ended."""
    site = Site.told()

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        fields = msgpack.unpackb(message.payload)
        client.publish(answer_topic(message.topic), _LABEL % fields["id"].encode(), qos=message.qos)

    site.subscriber(on_message).loop_forever()


if __name__ == "__main__":
    main()

"""The console's own connection to the site's broker: what passes there goes to the state, and set-points go out.

Its session ends with it, and labels and inputs are asked for at QoS 0: whatever the console does, nobody waits for it.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from services.common.logs import SparseLog
from services.console.collect.device_inputs import DeviceInput, ReadingTails
from services.messages import (
    Control,
    InputTopics,
    Label,
    MessageError,
    Sample,
    Status,
    control_topic,
    label_topic,
    status_topic,
    without_share,
)
from services.mqtt import Delivery, Filter, MqttError, MqttLink, OnMessage
from services.settings import Settings

__all__ = ["Feed", "Listener"]

_PUBLISH_TIMEOUT_S: Final = 2.0
_CONTROL_BYTES_MAX: Final = 1 << 16
_PICTURE_BYTES_MAX: Final = 1 << 20


class Listener(Protocol):
    """Who is told, in the connection's thread."""

    def take_label(self, label: Label, *, arrived_at: float) -> None:
        """A label has come."""

    def take_input(self, device: str, sample: str, sent: DeviceInput) -> None:
        """A sample has come in."""

    def has_input(self, device: str, sample: str) -> bool:
        """Whether a sample's input is kept already."""

    def take_status(self, status: Status) -> None:
        """A worker told its status."""

    def take_control(self, control: Control | None) -> None:
        """The retained set-point; None where it was taken away."""

    def refuse(self) -> None:
        """Something came that is not what it should be."""


class Feed:
    """Subscribes and publishes. `start`, then `stop`.

    Args:
        settings: All of them; `edge.inputs` says where inputs come in, and in what form.
        listener: Who is told.
        window: Rows of a window and readings a second, where inputs are readings.
    """

    def __init__(self, settings: Settings, listener: Listener, *, window: tuple[int, float | None]) -> None:
        self._listener, self._site = listener, settings.site.name
        self._payload_bytes_max = settings.limits.payload_bytes_max
        self._inputs = settings.edge.inputs
        self._topics = InputTopics([source.topic for source in self._inputs], self._site)
        self._tails = [ReadingTails(source.window.length or window[0], window[1]) for source in self._inputs]
        self._labels_prefix = label_topic(self._site, "x")[:-1]
        self._status_prefix = status_topic(self._site, "x")[:-1]
        self._log = SparseLog("console", burst=3, period_s=60.0)
        # A share of the workers' own subscription would take samples from them: the console listens beside it.
        inputs = [without_share(topic) for topic in self._topics.filters]
        self._link = MqttLink(
            settings.mqtt,
            client_id=f"dewpoint-{self._site}-console-{secrets.token_hex(4)}",
            filters=[
                Filter(self._labels_prefix + "+", 0),
                Filter(self._status_prefix + "+", 1),
                Filter(control_topic(self._site), 1),
                *(Filter(topic, 0) for topic in inputs),
            ],
            listener=OnMessage(self._receive),
            persistent=False,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""
        return self._link.connected

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return self._link.address

    def start(self) -> None:
        """Connect and subscribe. Raises MqttError where the broker cannot be reached or refuses."""
        self._link.start()

    def stop(self) -> None:
        """Disconnect."""
        self._link.stop()

    def publish_control(self, control: Control | None) -> None:
        """Leave a set-point for the site's workers, retained, or take it away. Raises MqttError where that fails."""
        if not self._link.connected:
            raise MqttError(f"MQTT broker at {self._link.address} is not connected: the set-point was not sent")
        topic, payload = control_topic(self._site), b"" if control is None else control.encode()
        if not self._link.publish(topic, payload, qos=1, retain=True, timeout_s=_PUBLISH_TIMEOUT_S):
            raise MqttError(f"MQTT broker at {self._link.address} takes nothing: the set-point was not sent")

    def _receive(self, delivery: Delivery) -> None:
        try:
            self._understand(delivery)
        except MessageError as error:
            self._refuse(delivery.topic, error.reason)
        except Exception as error:  # nothing that anyone publishes ends the connection
            self._refuse(delivery.topic, f"{type(error).__name__}: {error}"[:200])
        if delivery.qos:
            self._link.acknowledge([delivery])

    def _refuse(self, topic: str, reason: str) -> None:
        self._listener.refuse()
        self._log.warning("message_not_understood", kind=reason[:40], topic=topic[:200], reason=reason)

    def _understand(self, delivery: Delivery) -> None:
        topic, payload = delivery.topic, delivery.payload
        if topic.startswith(self._labels_prefix):
            self._label(_bounded(payload, _CONTROL_BYTES_MAX), delivery.received_at)
        elif topic.startswith(self._status_prefix):
            if payload:
                self._listener.take_status(Status.decode(_bounded(payload, _CONTROL_BYTES_MAX)))
        elif topic == control_topic(self._site):
            bounded = _bounded(payload, _CONTROL_BYTES_MAX)
            self._listener.take_control(Control.decode(bounded) if bounded else None)
        else:
            self._input(topic, _bounded(payload, self._payload_bytes_max))

    def _label(self, payload: bytes, arrived_at: float) -> None:
        label = Label.decode(payload)
        if label.status != "correction" and not self._listener.has_input(label.device, label.id):
            windows = (tails.window(label.device, label.captured_at) for tails in self._tails)
            if (window := next((cut for cut in windows if cut is not None), None)) is not None:
                self._listener.take_input(label.device, label.id, window)
        self._listener.take_label(label, arrived_at=arrived_at)

    def _input(self, topic: str, payload: bytes) -> None:
        index, device = self._topics.find(topic)
        source = self._inputs[index]
        kind = source.kind
        if kind == "sensor":
            if not source.fields.mapped and source.join is None:  # of other JSON the page shows labels alone
                self._tails[index].take(device, payload)
        elif kind == "sample":
            sample = Sample.decode(payload)
            if len(sample.data) <= _PICTURE_BYTES_MAX:
                self._listener.take_input(
                    device, sample.id, DeviceInput(sample.kind, sample.data, sample.shape, sample.dtype)
                )
        # Foreign payloads carry no id: nobody can tell which label is theirs.


def _bounded(payload: bytes, bytes_max: int) -> bytes:
    if len(payload) > bytes_max:
        raise MessageError("oversized", f"{len(payload)} bytes, {bytes_max} are allowed")
    return payload

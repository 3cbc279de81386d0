"""What Home Assistant is told of a device, so that its entities appear there by themselves: MQTT discovery.

One retained message a device holds all of its entities: device-based discovery, which Home Assistant knows from 2024.11
on. What is said here of Home Assistant is from its documentation:

- https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload: `device`, `origin` and `components` are
  mandatory; each component has a `platform` and a `unique_id`; an empty retained payload removes the device.
- https://www.home-assistant.io/integrations/mqtt/#discovery-topic: the topic's id is of letters, digits, `_` and `-`.
- https://www.home-assistant.io/integrations/sensor.mqtt: `default_entity_id` names the entity when it is added first;
  a numeric sensor keeps its value where a template gives nothing.
- https://www.home-assistant.io/integrations/binary_sensor.mqtt: so does a binary sensor.
- https://www.home-assistant.io/docs/configuration/templating/#using-value-templates-with-mqtt: a template may look at
  `value_json`, the message, and at `this`, the entity's present state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.messages.fields import encode_json
from services.messages.labels import LabelStatus
from services.messages.names import label_topic, status_topic

__all__ = ["DeviceAnnouncement", "announcement_id", "announcement_topic", "home_assistant_status_topic"]

#: An entity's id may have 255 characters; the rest of it is short.
_SLUG_CHARS_MAX: Final = 128


def announcement_id(site: str, device: str) -> str:
    """A device's id at Home Assistant, another for every pair of site and device.

    Letters, digits and `-` stand for themselves, everything else is `_` and two hex digits for each byte of UTF-8. So
    `__` separates, and stands nowhere else.
    """
    return "__".join(("dewpoint", _escaped(site), _escaped(device)))


def announcement_topic(prefix: str, site: str, device: str) -> str:
    """Where a device is announced."""
    return f"{prefix}/device/{announcement_id(site, device)}/config"


def home_assistant_status_topic(prefix: str) -> str:
    """Where Home Assistant says `online` when it has started, if nobody has set it otherwise."""
    return f"{prefix}/status"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAnnouncement:
    """A device and its entities: class, confidence and exit of its labels, and where they are asked for, `corrected`.

    `shown`: labels of these statuses; an entity keeps its state at any other. `worker`: whose status says whether the
    entities are available. `corrected`: whether there is an entity that tells of it. `version`: ours, "" if unknown.
    """

    site: str
    device: str
    worker: str
    shown: Sequence[LabelStatus] = ("final",)
    corrected: bool = False
    version: str = ""

    def encode(self) -> bytes:
        """The JSON object; the same announcement always gives the same bytes."""
        own_id = announcement_id(self.site, self.device)
        components = self._components()
        for key, component in components.items():
            component |= {"unique_id": f"{own_id}__{key}", "qos": 1, **self._entity_id(component["platform"], key)}
        return encode_json(
            {
                "device": {
                    "identifiers": [own_id],
                    "name": self.device,
                    "manufacturer": "Dewpoint",
                    "model": f"Device of site {self.site}",
                },
                "origin": {"name": "Dewpoint", **({"sw_version": self.version} if self.version else {})},
                "state_topic": label_topic(self.site, self.device),
                "availability_topic": status_topic(self.site, self.worker),
                # A status may be neither of the two payloads: a worker that was stopped in order.
                "availability_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
                "payload_available": "online",
                "payload_not_available": "offline",
                "components": components,
            }
        )

    def _components(self) -> dict[str, dict[str, Any]]:
        shown = " or ".join(f"value_json.status == '{status}'" for status in self.shown)
        # A text sensor shows whatever a template gives, nothing too. So it is given its own state again; "None" is
        # how a template says that there is none.
        kept = "none if this.state in ('unknown', 'unavailable') else this.state"
        confidence = "none if value_json.confidence is none else (value_json.confidence * 100) | round(2)"
        components: dict[str, dict[str, Any]] = {
            "class": {
                "platform": "sensor",
                "name": "Class",
                "icon": "mdi:label-outline",
                "value_template": f"{{{{ value_json.label if {shown} else ({kept}) }}}}",
            },
            "confidence": {
                "platform": "sensor",
                "name": "Confidence",
                "icon": "mdi:percent-outline",
                "state_class": "measurement",
                "unit_of_measurement": "%",
                "suggested_display_precision": 1,
                "value_template": f"{{% if {shown} %}}{{{{ {confidence} }}}}{{% endif %}}",
            },
            "exit": {
                "platform": "sensor",
                "name": "Exit",
                "icon": "mdi:exit-run",
                "entity_category": "diagnostic",
                "value_template": f"{{{{ value_json.exit if {shown} else ({kept}) }}}}",
            },
        }
        if self.corrected:
            components["corrected"] = {
                "platform": "binary_sensor",
                "name": "Corrected",
                "icon": "mdi:pencil-outline",
                "entity_category": "diagnostic",
                "value_template": f"{{% if {shown} %}}{{{{ 'ON' if value_json.corrected else 'OFF' }}}}{{% endif %}}",
            }
        return components

    def _entity_id(self, platform: str, key: str) -> dict[str, str]:
        """The id to begin with; none where nothing of the device's name is left: then Home Assistant makes one."""
        if not _slug(self.device):
            return {}
        return {"default_entity_id": f"{platform}.{_slug(f'{self.site} {self.device}')}_{key}"}


def _escaped(name: str) -> str:
    return re.sub(rb"[^A-Za-z0-9-]", lambda found: b"_%02X" % found[0][0], name.encode()).decode()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())[:_SLUG_CHARS_MAX].strip("_")

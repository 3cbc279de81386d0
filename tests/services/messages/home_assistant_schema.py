"""What Home Assistant takes for a device's discovery message, as a JSON Schema.

Written down from `DEVICE_DISCOVERY_SCHEMA` and `MQTT_ENTITY_DEVICE_INFO_SCHEMA` of Home Assistant's own
homeassistant/components/mqtt/schemas.py, from sensor.py and binary_sensor.py beside it, and from
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. An option that this schema does not name is
an error here: the root and `device` refuse it there too, a component would ignore it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

_TEXT: Final = {"type": "string"}
_TOPIC: Final = {"type": "string", "pattern": "^[^#+\\u0000]+$"}
_TEMPLATE: Final = {"type": "string", "pattern": r"\{[{%].*[}%]\}"}
_QOS: Final = {"enum": [0, 1, 2]}
_ENTITY: Final = {
    "unique_id": {"type": "string", "minLength": 1},
    "name": {"type": ["string", "null"]},
    "icon": {"type": "string", "pattern": "^mdi:[a-z0-9-]+$"},
    "entity_category": {"enum": ["config", "diagnostic"]},
    "qos": _QOS,
    "value_template": _TEMPLATE,
}


def _component(platform: str, **options: Any) -> dict[str, Any]:
    entity_id = {"type": "string", "pattern": rf"^{platform}\.[a-z0-9]+(_[a-z0-9]+)*$", "maxLength": 255}
    return {
        "type": "object",
        "properties": {"platform": {"const": platform}, "default_entity_id": entity_id, **_ENTITY, **options},
        "required": ["platform", "unique_id"],
        "additionalProperties": False,
    }


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "device": {
            "type": "object",
            "properties": {
                "identifiers": {"type": "array", "items": _TEXT, "minItems": 1},
                **dict.fromkeys(("name", "manufacturer", "model", "model_id", "sw_version", "hw_version"), _TEXT),
                **dict.fromkeys(("serial_number", "suggested_area", "via_device", "configuration_url"), _TEXT),
            },
            "required": ["identifiers"],
            "additionalProperties": False,
        },
        "origin": {
            "type": "object",
            "properties": dict.fromkeys(("name", "sw_version", "support_url"), _TEXT),
            "required": ["name"],
            "additionalProperties": False,
        },
        "components": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "oneOf": [
                    _component(
                        "sensor",
                        state_class={"enum": ["measurement", "total", "total_increasing"]},
                        unit_of_measurement=_TEXT,
                        suggested_display_precision={"type": "integer", "minimum": 0},
                    ),
                    _component("binary_sensor", payload_on=_TEXT, payload_off=_TEXT),
                ]
            },
        },
        "state_topic": _TOPIC,
        "availability_topic": _TOPIC,
        "availability_template": _TEMPLATE,
        "payload_available": _TEXT,
        "payload_not_available": _TEXT,
        "qos": _QOS,
        "encoding": _TEXT,
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}

#: `TOPIC_MATCHER` of homeassistant/components/mqtt/discovery.py, for the component `device` and without a node's id.
TOPIC: Final = re.compile(r"(?P<prefix>.+)/device/[a-zA-Z0-9_-]+/config")


def discovered(topic: str, payload: bytes) -> dict[str, Any]:
    """The message, as Home Assistant would take it. Raises where it would not."""
    jsonschema = pytest.importorskip("jsonschema", reason="pip install check-jsonschema")
    assert TOPIC.fullmatch(topic), topic
    message: dict[str, Any] = json.loads(payload)
    jsonschema.validate(message, SCHEMA)
    return message


class Entity:
    """One entity as Home Assistant keeps it: a template's answer changes its state, or leaves it as it is.

    What leaves it, from the same sources: for a binary sensor and for a sensor with a unit nothing but blanks; a
    sensor without a unit shows even those. "None" stands for no state: `unknown`.
    """

    def __init__(self, component: dict[str, Any]) -> None:
        self._environment = pytest.importorskip("jinja2").Environment(autoescape=False)
        self._template = self._environment.from_string(component["value_template"])
        self._ignores_nothing = component["platform"] == "binary_sensor" or "unit_of_measurement" in component
        self.state = "unknown"

    def take(self, payload: bytes) -> str:
        """A message on its state topic; the state after it."""
        given = self._template.render(value_json=json.loads(payload), this={"state": self.state})
        if given.strip() or not self._ignores_nothing:
            self.state = "unknown" if given == "None" else given
        return self.state


def availability(message: dict[str, Any], status: bytes) -> bool | None:
    """Whether the device's entities are available after this status; none where the status says neither."""
    environment = pytest.importorskip("jinja2").Environment(autoescape=False)
    given = environment.from_string(message["availability_template"]).render(value_json=json.loads(status))
    return {message["payload_available"]: True, message["payload_not_available"]: False}.get(given)

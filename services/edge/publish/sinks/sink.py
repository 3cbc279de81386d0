"""Where labels go: what a label sink is asked to do, and what it is made from."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from services.messages import LabelStatus
from services.metrics import EdgeMetrics
from services.mqtt import MqttLink
from services.settings import Settings

__all__ = ["LabelSink", "OutgoingLabel", "SinkContext"]


@dataclass(frozen=True, slots=True, eq=False)
class OutgoingLabel:
    """A label on its way out: `payload` is its JSON; `properties` are user properties, where a sink can carry them."""

    device: str
    payload: bytes
    status: LabelStatus
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """What a sink may be made from: the worker's settings, MQTT connection and metrics, and its spool's folder."""

    settings: Settings
    link: MqttLink
    metrics: EdgeMetrics
    folder: Path


class LabelSink(abc.ABC):
    """Takes labels without waiting. Any thread may call it, one at a time.

    A final label counts as published once every sink has taken it. One that a sink refuses is offered again to all of
    them, byte for byte: a sink may see a final label more than once, and never two that differ.
    """

    #: What `edge.label_sinks` calls it.
    name: ClassVar[str]

    @abc.abstractmethod
    def __init__(self, context: SinkContext) -> None:
        """Raises EdgeError where it cannot work."""

    @abc.abstractmethod
    def put(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> bool:
        """Take a label; False where there is no room now: it is offered again.

        `on_done` is called once for a label that was taken, from any thread and perhaps before `put` returns: True when
        it has arrived for good, False when it was refused. Must not block, and raises nothing.
        """

    def close(self) -> None:  # noqa: B027 - most sinks hold nothing
        """Let go of what it holds; no label comes any more."""

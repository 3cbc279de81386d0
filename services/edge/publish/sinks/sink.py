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
    """What a sink may be made from: the worker's settings, MQTT connection and metrics, and its spool's folder.

    `published`: told of the device whenever a label of it has arrived at the broker; in any thread, and it returns at
    once.
    """

    settings: Settings
    link: MqttLink
    metrics: EdgeMetrics
    folder: Path
    published: Callable[[str], None] = lambda device: None


class LabelSink(abc.ABC):
    """Takes labels without waiting. Any thread may call it, one at a time.

    Final labels are committed before they come, and count as published once every sink has taken them; provisional
    labels and corrections come once. A final that a sink refuses is offered to that sink again after 5 s; after a
    restart those that some sink has not taken are offered to all of them. So a sink may see a final more than once, and
    never two that differ. One that has no room for long holds up the others, once 4,096 labels wait for it.
    """

    #: What `edge.label_sinks` calls it.
    name: ClassVar[str]

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Raise EdgeError where the settings lack what it needs; `dewpoint doctor` asks this too."""

    @abc.abstractmethod
    def __init__(self, context: SinkContext) -> None:
        """Raises EdgeError where it cannot work."""

    @abc.abstractmethod
    def put(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> bool:
        """Take a label; False where there is no room now, as while what it writes to is away: it is offered again.

        `on_done` is called once for a label that was taken, from any thread and perhaps before `put` returns: True when
        it has arrived for good, False when it was refused. Must not block (what may wait, a disk or a network, belongs
        into a thread of the sink), and raises nothing.
        """

    def close(self) -> None:
        """Let go of what it holds, within seconds; no label comes any more. Finals not taken by then come again."""

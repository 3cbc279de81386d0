"""Label sinks, one file each.

A new sink is a file beside these with a subclass of `LabelSink`, and its line in `SINKS`; `edge.label_sinks` of the
settings chooses among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.edge.errors import EdgeError
from services.edge.publish.sinks.mqtt import MqttSink
from services.edge.publish.sinks.plain import PlainSink
from services.edge.publish.sinks.sink import LabelSink, OutgoingLabel, SinkContext
from services.settings import Settings

__all__ = ["SINKS", "LabelSink", "OutgoingLabel", "SinkContext", "check_sink", "label_sinks"]

#: Every label sink, by the name that settings call it.
SINKS: Final[dict[str, type[LabelSink]]] = {sink.name: sink for sink in (MqttSink, PlainSink)}


def label_sinks(names: Sequence[str], context: SinkContext) -> list[LabelSink]:
    """The sinks of these names, each once. Raises EdgeError where there is no such sink, or one cannot work."""
    for name in names:
        check_sink(name, context.settings)
    return [SINKS[name](context) for name in dict.fromkeys(names)]


def check_sink(name: str, settings: Settings) -> None:
    """Raise EdgeError where there is no sink of this name, or the settings lack what it needs."""
    if name not in SINKS:
        raise EdgeError(f"edge.label_sinks: {name!r} is unknown; take some of {', '.join(SINKS)}")
    SINKS[name].check(settings)

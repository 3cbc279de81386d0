"""Tells what the exits are held at: an acknowledgement of every set-point, and how a budget fares."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from services.edge.exits.set_points import SetPoints
from services.mqtt import Message, MqttLink, Outcome

__all__ = ["ControlStatus"]

_PERIOD_S: Final = 2.0


class ControlStatus:
    """Publishes the worker's status, retained: at once after a set-point, else every 2 s at most, and where it changed.

    One is under way at a time, so that nothing piles up while the broker is away. One that outlived its connection is
    followed by another: it may have overtaken the newer one that each connection begins with.

    Args:
        link: Publishes.
        set_points: What is told.
        present: The message as it is now.
    """

    def __init__(self, link: MqttLink, set_points: SetPoints, present: Callable[[], Message]) -> None:
        self._link, self._set_points, self._present = link, set_points, present
        self._told: list[dict[str, Any]] | None = None
        self._told_at = 0.0
        self._heard = 0
        self._under_way: int | None = None
        self._stale = False

    def tell(self) -> None:
        """Publish what is due."""
        if self._under_way is not None or not self._link.connected:
            return
        heard, now = self._set_points.heard, time.monotonic()
        answering = heard != self._heard or self._stale
        if not answering and now - self._told_at < _PERIOD_S:
            return
        self._told_at = now
        control = self._set_points.status()
        if not answering and control == self._told:
            return
        message, generation = self._present(), self._link.generation
        self._under_way, self._told, self._heard, self._stale = generation, control, heard, False
        if not self._link.publish(message.topic, message.payload, qos=1, retain=True, on_done=self._done):
            self._under_way, self._stale = None, True  # there is no room: another time

    def _done(self, outcome: Outcome) -> None:
        """In the link's thread."""
        self._stale = not outcome.taken or self._under_way != self._link.generation
        self._under_way = None

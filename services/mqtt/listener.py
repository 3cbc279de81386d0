"""Whom a connection tells what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from services.mqtt.messages import Delivery, Message

__all__ = ["Listener", "OnMessage"]


class Listener:
    """What a connection calls, in the link's thread: nothing here may block. By default nothing happens."""

    def received(self, delivery: Delivery) -> None:
        """A message has come."""

    def may_read(self) -> bool:
        """Asked before each read; while false the broker's messages stay in the socket.

        Call `MqttLink.wake` when it turns true.
        """
        return True

    def birth(self) -> Message | None:
        """What to publish after each subscription."""
        return None

    def opened(self, session_present: bool) -> None:
        """A connection is usable: subscribed. `session_present`: the broker has kept our session."""

    def closed(self) -> None:
        """A connection was lost."""

    def contested(self, sign: str) -> None:
        """Another client seems to use our client id; `sign` says by what that was noticed. Told at each sign."""


class OnMessage(Listener):
    """For whoever only wants the messages."""

    def __init__(self, take: Callable[[Delivery], None]) -> None:
        self._take = take

    def received(self, delivery: Delivery) -> None:
        """A message has come."""
        self._take(delivery)

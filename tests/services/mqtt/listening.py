"""A listener made of functions."""

from __future__ import annotations

from collections.abc import Callable

from services.mqtt import Delivery, Listener, Message


class Listening(Listener):
    """What is not given does nothing."""

    def __init__(
        self,
        *,
        on_message: Callable[[Delivery], object] | None = None,
        on_open: Callable[[bool], object] | None = None,
        on_close: Callable[[], object] | None = None,
        on_contested: Callable[[str], object] | None = None,
        may_read: Callable[[], bool] | None = None,
        birth: Message | Callable[[], Message] | None = None,
    ) -> None:
        self._on_message, self._on_open = on_message, on_open
        self._on_close, self._on_contested = on_close, on_contested
        self._may_read, self._birth = may_read, birth

    def received(self, delivery: Delivery) -> None:
        if self._on_message is not None:
            self._on_message(delivery)

    def opened(self, session_present: bool) -> None:
        if self._on_open is not None:
            self._on_open(session_present)

    def closed(self) -> None:
        if self._on_close is not None:
            self._on_close()

    def contested(self, sign: str) -> None:
        if self._on_contested is not None:
            self._on_contested(sign)

    def may_read(self) -> bool:
        return self._may_read is None or self._may_read()

    def birth(self) -> Message | None:
        return self._birth() if callable(self._birth) else self._birth

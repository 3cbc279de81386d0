"""What every stream does around its samples: connection, traces, a progress bar, and waiting for the last word."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.mqtt import MqttLink
from services.settings import Settings
from services.sources.replay import Captured, Outgoing
from services.sources.sender import Sender, Sent
from services.traces import PublisherTraces, publisher_traces

_FLUSH_TIMEOUT_S = 30.0

S = TypeVar("S", bound=Captured)


class Delivery(Generic[S]):
    """What a source is given while its messages are sent.

    Attributes:
        sender: Who sends them.
        say: Shows a line for people above the progress bar.
        describe: Shows a text in it.
        advance: Moves it, where messages complete no samples that would.
    """

    def __init__(
        self,
        sender: Sender[S],
        *,
        say: Callable[[str], None],
        describe: Callable[[str], None],
        advance: Callable[[], None],
    ) -> None:
        self.sender, self.say, self.describe, self.advance = sender, say, describe, advance


Messages = Callable[[Delivery[S]], Iterator[Outgoing[S]]]


def deliver(
    messages: Messages[S],
    settings: Settings,
    *,
    title: str,
    console: Console,
    total: int | None = None,
    rate_hz: float | None = None,
) -> Sent:
    """Send what `messages` makes, wait for the acknowledgements and return what became of it.

    Args:
        messages: Makes the messages one by one; called once the connection stands. It is closed at the end.
        settings: Broker, site, traces.
        title: What the progress bar says is sent.
        console: Where progress is shown.
        total: Samples that are to come; none if unknown.
        rate_hz: Samples per second over all devices; none for as fast as they are made and taken.

    Ctrl-C ends the stream early; what is then unacknowledged stays so. Raises MqttError, TracesError, and what
    `messages` raises.
    """
    traces = publisher_traces(settings.traces, site=settings.site.name)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    client_id = f"dewpoint-stream-{os.getpid()}"
    with (
        _stopped(traces),
        MqttLink(settings.mqtt, client_id=client_id, persistent=False) as link,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        task = bar.add_task(escape(f"{title} to {link.address}"), total=total)

        def advance(samples: tuple[S, ...]) -> None:
            bar.advance(task, len(samples))

        def describe(text: str) -> None:
            bar.update(task, description=escape(f"{title} to {link.address}: {text}"))

        def say(text: str) -> None:
            console.print(text, markup=False, highlight=False)

        sender = Sender[S](link, site=settings.site.name, rate_hz=rate_hz, on_acknowledged=advance, traces=traces)
        delivery = Delivery(sender, say=say, describe=describe, advance=lambda: bar.advance(task))
        with contextlib.closing(_closable(messages(delivery))) as outgoing:
            try:
                sender.send(outgoing)
            except KeyboardInterrupt:
                say("interrupted; waiting for what is under way")
        link.flush(timeout_s=_FLUSH_TIMEOUT_S)
    return sender.sent


def _closable(messages: Iterator[Outgoing[S]]) -> Generator[Outgoing[S], None, None]:
    yield from messages


@contextlib.contextmanager
def _stopped(traces: PublisherTraces) -> Iterator[None]:
    """Send what is due of traces at the end of the block, also where its start fails."""
    try:
        yield
    finally:
        traces.stop()

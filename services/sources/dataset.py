"""`dewpoint stream dataset`: a data set to a broker, as several devices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from hybrid_model import data
from services.settings import Settings
from services.sources.catalog import devices_for, replay_for
from services.sources.delivery import deliver
from services.sources.encodings import encoding_of
from services.sources.errors import SourceError
from services.sources.replay import Outgoing, Replay, Replayed


@dataclass(frozen=True)
class StreamOptions:
    """What is sent. `frames`: samples, the whole split if none; `rate_hz`: samples per second, unlimited if none."""

    dataset: str
    frames: int | None = None
    rate_hz: float | None = None
    devices: int = 3
    degraded: tuple[str, ...] = ()
    split: str = "test"
    encoding: str = "png"
    rows_per_message: int = 32
    raw: bool = False
    endless: bool = False


def run_stream(options: StreamOptions, settings: Settings, *, console: Console) -> dict[str, Any]:
    """Send all, wait for the acknowledgements and return what became of the samples.

    Ctrl-C ends the stream early; what is then unacknowledged stays so. Raises DataError, SourceError, MqttError or
    TracesError.
    """
    rounds = _Rounds(options)
    sent = deliver(
        lambda _: iter(rounds),
        settings,
        title=options.dataset,
        console=console,
        total=None if options.endless else rounds.frames,
        rate_hz=options.rate_hz,
    )
    return {"dataset": options.dataset, **asdict(sent)}


class _Rounds:
    """The messages of one replay, or of one after the other without end."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._dataset = data.load(options.dataset)
        if options.split not in data.SPLITS:
            raise SourceError(f"no split {options.split!r}; there are {', '.join(data.SPLITS)}")
        self._devices = devices_for(self._dataset, options.devices, options.degraded)
        self.frames = options.frames or len(self._dataset.split(options.split))
        self._next = self._replay()

    def __iter__(self) -> Iterator[Outgoing[Replayed]]:
        yield from self._next
        while self._options.endless:
            self._next = self._replay()
            yield from self._next

    def _replay(self) -> Replay:
        options = self._options
        # Microseconds: a device that starts again goes on above the marks that it has used.
        marks: dict[str, Any] = {"first_seq": int(time.time() * 1e6)} if self._dataset.kind == "sensor" else {}
        return replay_for(
            self._dataset,
            devices=self._devices,
            frames=self.frames,
            split=options.split,
            encoding=encoding_of(options.encoding),
            rows_per_message=options.rows_per_message,
            raw=options.raw,
            **marks,
        )

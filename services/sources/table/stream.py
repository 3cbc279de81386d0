"""`dewpoint stream csv`: the rows of a table to a broker, as readings of the devices that it names."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console

from services.settings import Settings
from services.sources.delivery import Delivery, deliver
from services.sources.errors import SourceError
from services.sources.replay import Captured, Outgoing
from services.sources.table.columns import Wanted
from services.sources.table.rows import Reading, Refusal, read_rows

__all__ = ["TableOptions", "run_table"]

_TOLD_MAX: Final = 5


@dataclass(frozen=True)
class TableOptions:
    """What is sent, and how fast.

    name: What the table is called in lines for people.
    device: Whose the readings are, where no column says so.
    wanted: Which columns are used.
    header: Names of the columns, where the first line holds none.
    rate_hz: Rows per second; if none, as their times say.
    live: Rows come in now, so that they are not held back by their times; without times, they are of when they came.
    fast: As fast as the broker takes them.
    from_now: Times are shifted so that the first row is now.
    """

    name: str
    device: str = "sensor-1"
    wanted: Wanted = field(default_factory=Wanted)
    header: tuple[str, ...] | None = None
    rate_hz: float | None = None
    live: bool = False
    fast: bool = False
    from_now: bool = False


def run_table(options: TableOptions, lines: Iterable[str], settings: Settings, *, console: Console) -> dict[str, Any]:
    """Send all rows, or until Ctrl-C, and return what became of them.

    Raises SourceError for columns that are not there and for a file without times that no rate is given for; OSError,
    MqttError, TracesError.
    """
    rows = _Rows(options, lines)
    sent = deliver(rows.messages, settings, title=options.name, console=console, rate_hz=options.rate_hz)
    return {"table": options.name, **rows.figures(), **asdict(sent)}


class _Rows:
    """The rows of one command, as messages; and the books of those that are no readings."""

    def __init__(self, options: TableOptions, lines: Iterable[str]) -> None:
        self._options = options
        self._lines = lines
        self._sent = 0
        self._refused: Counter[str] = Counter()
        self._devices: set[str] = set()
        self._shift_s: float | None = None
        self._start_s: float | None = None
        self._first_s = 0.0

    def messages(self, delivery: Delivery[Captured]) -> Iterator[Outgoing[Captured]]:
        options = self._options
        try:
            for row in read_rows(self._lines, options.wanted, header=options.header):
                if isinstance(row, Refusal):
                    self._refuse(row, delivery)
                    continue
                time_s = self._time_of(row)
                self._keep_pace(row)
                self._sent += 1
                yield self._message(row, time_s)
                delivery.advance()
        except SourceError as error:
            raise SourceError(f"{options.name} {error}") from None

    def figures(self) -> dict[str, Any]:
        return {"rows_sent": self._sent, "rows_refused": dict(self._refused), "devices": len(self._devices)}

    def _time_of(self, row: Reading) -> float:
        """Epoch seconds that go into the message."""
        options = self._options
        if row.time_s is None:
            if options.live:
                return round(time.time(), 6)
            if options.rate_hz is None:
                raise SourceError(
                    "has no column of times: --time-column names it, or --rate says how many rows a second"
                )
            if self._shift_s is None:
                self._shift_s = time.time()
            return round(self._shift_s + self._sent / options.rate_hz, 6)
        if not options.from_now:
            return row.time_s
        if self._shift_s is None:
            self._shift_s = time.time() - row.time_s
        return round(row.time_s + self._shift_s, 6)

    def _keep_pace(self, row: Reading) -> None:
        """Wait until the row is due by its own time, counted from the first row."""
        options = self._options
        if row.time_s is None or options.live or options.fast or options.rate_hz is not None:
            return
        if self._start_s is None:
            self._start_s, self._first_s = time.monotonic(), row.time_s
        due_s = self._start_s + (row.time_s - self._first_s)
        time.sleep(max(0.0, due_s - time.monotonic()))

    def _message(self, row: Reading, time_s: float) -> Outgoing[Captured]:
        device = self._options.device if row.device is None else row.device
        self._devices.add(device)
        payload = json.dumps({"t": time_s, "values": list(row.values)}).encode()
        return Outgoing(device, payload, completes=(), share=1.0)  # the edge worker knows what windows rows complete

    def _refuse(self, row: Refusal, delivery: Delivery[Captured]) -> None:
        self._refused[row.reason] += 1
        told = self._refused.total()
        if told <= _TOLD_MAX:
            more = "; further ones are only counted" if told == _TOLD_MAX else ""
            delivery.say(f"{self._options.name}, line {row.line}: {row.told}; left out{more}")

"""The windows of all devices within one micro-batch: drafted in memory, true once the journal has committed them."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from hybrid_model.bundle import Input
from services.edge.channels import ChannelState, JoinRule, TooManyPendingError, held, joined
from services.edge.errors import EdgeError, StorageError
from services.edge.journal.records import Batch
from services.edge.journal.windows import StoredWindows
from services.edge.window import Readings, Window, WindowRule, WindowState, advance, restarted
from services.messages import MessageError, window_stream
from services.metrics import DeviceNames, EdgeMetrics
from services.settings import InputSettings

__all__ = ["ChannelRule", "WindowAssembly", "channel_rule", "window_rule"]

_DEVICES_MAX: Final = 2048
_BYTES_MAX: Final = 64 << 20
_FORGET_EVERY: Final = 1024
#: How far a value's own time may be ahead of our clock: beyond, it would make all others late.
_AHEAD_MAX_S: Final = 300.0
_HELD_PERIODS: Final = 10
_PERIOD_SLACK: Final = 0.01


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What is done with channels by themselves: `hold_s` of a message's missing values, `join` of topics, or neither.

    `names`: what the channels are called, in order.
    """

    names: tuple[str, ...] = ()
    hold_s: float | None = None
    join: JoinRule | None = None

    @property
    def needed(self) -> bool:
        """Whether anything is."""
        return self.hold_s is not None or self.join is not None


@dataclass(slots=True)
class _Committed:
    """What the journal holds of a device, without the marks themselves."""

    state: WindowState
    marks: int
    channels: ChannelState | None = None


class WindowAssembly:
    """Windows of one input's devices. For the worker's thread only.

    `feed`, `feed_value` and `reset` draft; `write` puts the draft into a batch; `committed` makes it true after the
    commit. Memory holds the states of the devices heard last.

    Args:
        stored: What the journal holds of them.
        rule: How readings become windows.
        metrics: Counts what is cut off and begun anew.
        devices: Names of devices in metrics.
        channels: Of a reading.
        network_id: Of the network that they are for, where they are stored apart from those of other networks: one
            device may send readings to two.
        by_channel: How holes are filled, and single channels joined to rows.
    """

    def __init__(
        self,
        *,
        stored: StoredWindows,
        rule: WindowRule,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        channels: int,
        network_id: str | None = None,
        by_channel: ChannelRule | None = None,
    ) -> None:
        self._stored, self._rule, self._metrics, self._devices = stored, rule, metrics, devices
        self._channels, self._by_channel = channels, by_channel or ChannelRule()
        self._network_id = network_id
        self._devices_max = min(_DEVICES_MAX, 1 + _BYTES_MAX // self.state_bytes_max)
        self._recent: OrderedDict[str, _Committed] = OrderedDict()
        self._draft: dict[str, WindowState] = {}
        self._channel_draft: dict[str, ChannelState] = {}
        self._marks: dict[tuple[str, int, bytes], None] = {}

    @property
    def state_bytes_max(self) -> int:
        """What the state of a device takes at most."""
        beside = ChannelState.bytes_max(self._channels) if self._by_channel.needed else 0
        return self._rule.state_bytes_max(self._channels) + beside

    def stream(self, device: str) -> str:
        """By what name a device's readings are stored, and its windows called."""
        return window_stream(device, self._network_id)

    def feed(
        self, device: str, readings: Readings, payload_hash: bytes, *, received_at: float = 0.0
    ) -> list[Window] | None:
        """Take in a message's readings: the windows that they fill, or None where they are a redelivery.

        Holes are filled with the channels' last values, by the readings' time or else `received_at` (epoch seconds).
        Raises MessageError (missing_value) where the last value is too old; nothing is drafted then.
        """
        mark, stream = readings.mark, self.stream(device)
        if mark is not None and (
            (stream, mark, payload_hash) in self._marks or self._stored.knows(stream, mark, payload_hash)
        ):
            return None
        if self._by_channel.hold_s is not None:
            readings = self._filled(stream, readings, received_at, self._by_channel.hold_s)
        windows = self._advanced(device, readings)
        if mark is not None:
            self._marks[stream, mark, payload_hash] = None
        return windows

    def feed_value(
        self, device: str, channel: int, t: float | None, value: float, *, received_at: float
    ) -> list[Window] | None:
        """Take in one channel's value, of the time `t` or of its arrival: the windows that are full with it.

        None where it is a redelivery. Raises MessageError (late, from_the_future, too_many_values).
        """
        rule, names = self._by_channel.join, self._by_channel.names
        assert rule is not None
        if t is not None and t > received_at + _AHEAD_MAX_S:
            detail = f"its time is {t - received_at:.0f} s ahead of this machine's clock; see fields.time_unit"
            raise MessageError("from_the_future", detail)
        stream = self.stream(device)
        before, at = self._channel_state(stream), received_at if t is None else t
        try:
            step = joined(before, channel, at, value, rule, by_arrival=t is None)
        except TooManyPendingError:
            detail = f"{len(before.pending)} values of the device wait for their rows; lower join.late_s"
            raise MessageError("too_many_values", detail) from None
        if step.outcome == "late":
            detail = f"{names[channel]} of {at:.3f} s, and a newer value is in use; see join.late_s"
            raise MessageError("late", detail)
        if step.outcome == "known":
            return None
        self._channel_draft[stream] = step.state
        self._put(stream, self._state(stream))  # also without rows: whoever is heard is the last to be forgotten
        return [window for run in step.runs for window in self._advanced(device, run)]

    def _filled(self, stream: str, readings: Readings, received_at: float, hold_s: float) -> Readings:
        t = received_at if readings.t is None else readings.t
        filled = held(self._channel_state(stream), readings.rows, t, period_s=self._rule.period_s or 0.0, hold_s=hold_s)
        if filled.missing is not None:
            channel, age_s = filled.missing
            since = "it never had a value" if age_s is None else f"its last value is {age_s:.1f} s old"
            detail = f"{self._by_channel.names[channel]} is missing, and {since}; see fields.hold_s"
            raise MessageError("missing_value", detail)
        self._channel_draft[stream] = filled.state
        return replace(readings, rows=filled.rows)

    def _advanced(self, device: str, readings: Readings) -> list[Window]:
        stream = self.stream(device)
        before = self._state(stream)
        step = advance(before, readings, self._rule)
        self._put(stream, step.state)
        if step.cut is not None:
            self._metrics.window_tails.labels(cause=step.cut).inc()
        if step.state.epoch != before.epoch:
            self._metrics.window_epochs.labels(device=self._devices(device)).inc()
        return step.windows

    def reset(self, device: str) -> None:
        """A reading of this device was rejected: its next window starts afresh."""
        before = self._state(self.stream(device))
        if len(before.rows):
            self._put(self.stream(device), restarted(before))
            self._metrics.window_tails.labels(cause="rejected").inc()

    def write(self, batch: Batch) -> None:
        """Put the draft into the batch's transaction."""
        batch.windows.update(self._draft)
        batch.channels.update(self._channel_draft)
        batch.marks.extend(self._marks)

    def committed(self) -> None:
        """The batch is committed."""
        for device, state in self._draft.items():
            self._of(device).state = state
        for device, channels in self._channel_draft.items():
            self._of(device).channels = channels
        for device, _, _ in self._marks:
            self._of(device).marks += 1
        for device in self._draft:
            committed = self._of(device)
            if committed.marks >= self._rule.marks_kept + _FORGET_EVERY:
                with contextlib.suppress(StorageError):  # the batch is committed all the same; next time, then
                    self._stored.forget_marks(device, kept=self._rule.marks_kept)
                    committed.marks = self._rule.marks_kept
        self._draft.clear()
        self._channel_draft.clear()
        self._marks.clear()
        while len(self._recent) > self._devices_max:
            self._recent.popitem(last=False)

    def forget(self, devices: Iterable[str]) -> None:
        """Nothing is stored of these devices any more."""
        for device in devices:
            self._recent.pop(device, None)

    def _put(self, device: str, state: WindowState) -> None:
        """Draft it behind all others: in this order they are stored, and whoever is stored first is forgotten first."""
        self._draft.pop(device, None)
        self._draft[device] = state

    def _state(self, device: str) -> WindowState:
        return self._draft.get(device) or self._of(device).state

    def _channel_state(self, device: str) -> ChannelState:
        drafted = self._channel_draft.get(device)
        if drafted is not None:
            return drafted
        committed = self._of(device)
        if committed.channels is None:
            committed.channels = self._stored.channels_of(device, names=self._by_channel.names)
        return committed.channels

    def _of(self, device: str) -> _Committed:
        committed = self._recent.get(device)
        if committed is None:
            state = self._stored.of(device, channels=self._channels)
            committed = self._recent[device] = _Committed(state, self._stored.marks_of(device))
        self._recent.move_to_end(device)
        return committed


def window_rule(settings: InputSettings, expected: Input) -> WindowRule:
    """How the readings of an input become samples of the bundle. Raises EdgeError where they cannot."""
    length = settings.window.length or expected.shape[1]
    if length != expected.shape[1]:
        raise EdgeError(f"input {settings.topic}: window.length {length} is not the bundle's {expected.shape[1]}")
    hop = settings.window.hop or length
    if hop > length:
        raise EdgeError(f"input {settings.topic}: window.hop {hop} is greater than the length {length}")
    period_s = None if expected.rate_hz is None else 1.0 / expected.rate_hz
    return WindowRule(
        length=length,
        hop=hop,
        period_s=period_s if settings.join is None else _join_period_s(settings, expected),
        max_gap_s=settings.window.max_gap_s,
        marks_kept=settings.window.marks_kept,
    )


def channel_rule(settings: InputSettings, expected: Input, names: tuple[str, ...], *, rows_max: int) -> ChannelRule:
    """What is done with an input's channels by themselves. Raises EdgeError where `join` does not fit the bundle."""
    hold_s = settings.fields.hold_s if settings.fields.holds and settings.fields.mapped else None
    if settings.join is None:
        return ChannelRule(names, hold_s)
    if len(names) != expected.shape[2]:
        raise EdgeError(
            f"input {settings.topic}: join.channels has {len(names)} names, and the bundle takes {expected.shape[2]} "
            "channels"
        )
    period_s = _join_period_s(settings, expected)
    join = JoinRule(period_s, settings.join.late_s, settings.join.hold_s or _HELD_PERIODS * period_s)
    if join.rows_max > rows_max:
        raise EdgeError(
            f"input {settings.topic}: join.late_s and join.hold_s let one value lead to {join.rows_max} rows, and "
            f"limits.reading_rows_max is {rows_max}"
        )
    return ChannelRule(names, None, join)


def _join_period_s(settings: InputSettings, expected: Input) -> float:
    assert settings.join is not None
    period_s = settings.join.period_s
    if expected.rate_hz is None:
        if period_s is None:
            raise EdgeError(f"input {settings.topic}: join.period_s is needed, for the bundle knows no rate")
        return period_s
    if period_s is not None and abs(period_s * expected.rate_hz - 1) > _PERIOD_SLACK:
        raise EdgeError(
            f"input {settings.topic}: join.period_s {period_s:g} is not the bundle's {1 / expected.rate_hz:g}"
        )
    return period_s or 1 / expected.rate_hz

"""The thread that reads a camera: at its pace, again after a loss, leaving only the newest frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.common.backoff import BackOff
from services.sources.camera.address import Address
from services.sources.camera.capture import Capture, Frame
from services.sources.camera.failures import LostError
from services.sources.camera.handover import Handover
from services.sources.camera.thinning import Thinning
from services.sources.errors import SourceError

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["Playback", "Reader"]

_LATE_MAX_S: Final = 0.25
_JOIN_S: Final = 2.0
#: A wall clock may tell the same time for so long; beyond, it was set back.
_TICK_MAX_S: Final = 0.05


@dataclass(frozen=True)
class Playback:
    """How a source is read.

    rate_hz: Frames a second that are of interest; all if none.
    fast: A recording as fast as its frames are taken, none left out, not at its own pace.
    loop: A recording begins again at its end.
    silent_s: Seconds without a frame after which a camera is opened anew.
    backoff_max_s: The longest pause before that.
    """

    rate_hz: float | None = None
    fast: bool = False
    loop: bool = False
    silent_s: float = 10.0
    backoff_max_s: float = 30.0


class Reader:
    """Reads in a thread of its own, from `start` to `stop` or the end.

    Args:
        address: What is read.
        playback: How.
        handover: Where frames are left. Closed at the end, with the error that ended it, if any.
        say: Told in a line when the camera is lost and when it is back; in the thread.

    Attributes:
        frames: Frames read so far.
        thinned: Of these, those left out to keep the rate.
        damaged: Packets of which no frame could be made.
        losses: How often the camera was lost, or could not be reached.
    """

    def __init__(
        self, address: Address, playback: Playback, handover: Handover[Frame], *, say: Callable[[str], None]
    ) -> None:
        self.frames = self.thinned = self.damaged = self.losses = 0
        self._address, self._playback, self._handover, self._say = address, playback, handover, say
        self._thinning = Thinning(playback.rate_hz)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._due_s: float | None = None
        self._captured_at = 0.0

    def start(self) -> None:
        """Begin. Once only."""
        self._thread.start()

    def stop(self) -> None:
        """End soon. What FFmpeg waits for is not waited for: the thread ends when that does."""
        self._stop.set()
        self._handover.close()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # whatever it is, the sending thread tells of it
            self._handover.close(error)
        else:
            self._handover.close()

    def _read(self) -> None:
        backoff = BackOff(first_s=0.5, most_s=self._playback.backoff_max_s)
        offset_s = 0.0  # rounds of a recording follow each other
        while not self._stop.is_set():
            capture = Capture(self._address, silent_s=self._playback.silent_s, seen=self.frames > 0)
            before, damaged = self.frames, self.damaged
            last_s = offset_s
            try:
                for time_s, picture in capture:
                    if self.frames == before and backoff.failures:
                        self._say(f"{self._address.shown}: back again")
                        backoff.reset()
                    self.damaged = damaged + capture.damaged
                    last_s = offset_s + time_s
                    self._frame(last_s, picture, live=capture.live)
                    if self._stop.is_set():
                        return
            except LostError as lost:
                self._wait(backoff, lost)
                continue
            finally:
                self.damaged = damaged + capture.damaged
            if self.frames == before:
                raise SourceError(f"{self._address.shown}: holds no frame that can be read")
            if not self._playback.loop:
                return
            offset_s = last_s + (last_s - offset_s) / max(1, self.frames - before - 1)

    def _wait(self, backoff: BackOff, lost: LostError) -> None:
        self.losses += 1
        first = not backoff.failures
        pause_s = backoff.next_s()
        if first:
            self._say(f"{lost}; trying again, at most every {self._playback.backoff_max_s:g} s")
        self._stop.wait(pause_s)

    def _frame(self, time_s: float, picture: VideoFrame, *, live: bool) -> None:
        self.frames += 1
        paced = not live and not self._playback.fast
        if paced:
            self._keep_pace(time_s)
        if not self._thinning.due(time_s):
            self.thinned += 1
            return
        frame = Frame(time_s, self._now(), picture)
        if live or paced:
            self._handover.put(frame)
        else:
            self._handover.put_when_free(frame)

    def _now(self) -> float:
        """Epoch seconds, to the microsecond. No two frames have the same, for ids are made of them."""
        now = round(time.time(), 6)
        if 0 <= self._captured_at - now < _TICK_MAX_S:
            now = round(self._captured_at + 1e-6, 6)
        self._captured_at = now
        return now

    def _keep_pace(self, time_s: float) -> None:
        """Wait until a recording's frame is due; a reader that was held up catches up for a moment at most."""
        now_s = time.monotonic()
        if self._due_s is None or now_s - (self._due_s + time_s) > _LATE_MAX_S:
            self._due_s = now_s - time_s
        self._stop.wait(max(0.0, self._due_s + time_s - now_s))

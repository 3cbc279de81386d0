"""`dewpoint stream camera`: the frames of a camera or a video to a broker, the newest first of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from services.messages import frame_id
from services.settings import Settings
from services.sources.camera.address import Address
from services.sources.camera.capture import Frame, require
from services.sources.camera.handover import Handover
from services.sources.camera.motion import MotionGate
from services.sources.camera.reader import Playback, Reader
from services.sources.delivery import Delivery, deliver
from services.sources.errors import SourceError
from services.sources.frames.packing import Packing
from services.sources.replay import Captured, Outgoing

__all__ = ["CameraOptions", "run_camera"]


@dataclass(frozen=True)
class CameraOptions:
    """What is sent. `frames`: end after so many were sent; never, if none.

    `motion`: the share of changed pixels from which on a frame is sent; all are, if none. `still_s`: with `motion`,
    seconds after which one is sent even so. `in_flight`: messages that may await the broker's acknowledgement: beyond
    that, frames wait to be replaced by newer ones.
    """

    address: Address
    device: str = "camera-1"
    frames: int | None = None
    motion: float | None = None
    still_s: float = 60.0
    in_flight: int = 2
    playback: Playback = field(default_factory=Playback)
    packing: Packing = field(default_factory=Packing)


def run_camera(options: CameraOptions, settings: Settings, *, console: Console) -> dict[str, Any]:
    """Send until the end of the video or Ctrl-C, and return what became of the frames.

    Raises SourceError for what cannot be read and will not be by waiting; MqttError, TracesError.
    """
    require()
    if options.playback.loop and options.address.kind != "file":
        raise SourceError("--loop is for video files; a camera has no end")
    frames = _Frames(options)
    title = f"{options.address.shown} as {options.device}"
    sent = deliver(frames.messages, settings, title=title, console=console, total=options.frames)
    return {"source": options.address.shown, "device": options.device, **frames.figures(), **asdict(sent)}


class _Frames:
    """The frames of one command, as messages; and the books of those that were read."""

    def __init__(self, options: CameraOptions) -> None:
        self._options = options
        self._sent = self._still = 0
        self._handover = Handover[Frame]()
        self._gate = None if options.motion is None else MotionGate(options.motion, options.still_s)
        self._reader: Reader | None = None

    def messages(self, delivery: Delivery[Captured]) -> Iterator[Outgoing[Captured]]:
        options = self._options
        reader = Reader(options.address, options.playback, self._handover, say=delivery.say)
        self._reader = reader
        reader.start()
        try:
            while options.frames is None or self._sent < options.frames:
                # First there is room, then a frame is chosen: so none grows old on the way.
                delivery.sender.wait_for_room(options.in_flight)
                frame = self._handover.take()
                if frame is None:
                    return
                message = self._message(frame)
                if message is not None:
                    self._sent += 1
                    yield message
                delivery.describe(f"{reader.frames} read, {self._still} still, {self._handover.late} too late")
        finally:
            reader.stop()

    def figures(self) -> dict[str, int]:
        """What became of the frames that were read; the first is the sum of those that follow, but for the last two."""
        assert self._reader is not None
        read, thinned, late = self._reader.frames, self._reader.thinned, self._handover.late
        return {
            "frames_read": read,
            "frames_sent": self._sent,
            "frames_still": self._still,
            "frames_late": late,
            "frames_beyond_rate": thinned,
            "frames_left": read - thinned - late - self._still - self._sent,
            "packets_damaged": self._reader.damaged,
            "losses": self._reader.losses,
        }

    def _message(self, frame: Frame) -> Outgoing[Captured] | None:
        options = self._options
        part = options.packing.part(frame.pixels())
        if self._gate is not None and not self._gate.passes(part, frame.time_s):
            self._still += 1
            return None
        sample = Captured(
            device=options.device, id=frame_id(options.device, frame.captured_at), captured_at=frame.captured_at
        )
        payload = options.packing.payload(part, id=sample.id, captured_at=sample.captured_at)
        return Outgoing(options.device, payload, completes=(sample,), share=1.0)

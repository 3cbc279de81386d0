"""One opening of a camera or video: its frames as they come, by PyAV."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from services.sources.camera.address import Address
from services.sources.camera.failures import LostError, judged
from services.sources.errors import SourceError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

__all__ = ["Capture", "Frame", "require"]

_RATE_UNKNOWN_HZ: Final = 25.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: its time in seconds, of a clock that only grows, and when it was captured (epoch seconds)."""

    time_s: float
    captured_at: float
    picture: VideoFrame

    def pixels(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright as the video's metadata say."""
        quarters = round(self.picture.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(self.picture.to_ndarray(format="rgb24"), quarters), dtype=np.uint8)


def require() -> None:
    """Raise SourceError where PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise SourceError("cameras need PyAV: pip install 'dewpoint[camera]'") from None


class Capture:
    """Opens an address and yields its pictures, with their times in it.

    Args:
        address: What to open.
        silent_s: What gives nothing for so long, also while it is opened, counts as lost.
        seen: Whether it has given frames before.

    Attributes:
        live: Whether it has no end of its own, so that an end is a loss.
        damaged: Packets so far that no frame could be made of.
    """

    def __init__(self, address: Address, *, silent_s: float, seen: bool) -> None:
        self._address, self._silent_s, self._seen = address, silent_s, seen
        self.live, self.damaged = address.kind != "file", 0

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds, picture): in a recording since its start, else of the monotonic clock.

        Raises LostError where another try may help, SourceError where none will.
        """
        import av.error

        try:
            with contextlib.closing(self._opened()) as container:
                yield from self._frames(container)
        except av.error.FFmpegError as error:
            raise judged(error, self._address, seen=self._seen) from None
        if self.live:
            raise LostError(f"{self._address.shown}: the stream has ended")

    def _opened(self) -> InputContainer:
        import av

        address = self._address
        # What UDP loses comes out as smeared pictures.
        options = {"rtsp_flags": "prefer_tcp"} if address.opened.startswith("rtsp") else {}
        device = "v4l2" if address.kind == "device" else None
        container: InputContainer = av.open(address.opened, format=device, options=options, timeout=self._silent_s)
        if not container.streams.video:
            container.close()
            raise SourceError(f"{address.shown}: has no pictures, only sound or data")
        self.live = address.kind != "file" and not container.duration
        return container

    def _frames(self, container: InputContainer) -> Iterator[tuple[float, VideoFrame]]:
        import av.error

        stream = container.streams.video[0]
        if not self.live:
            stream.thread_type = "AUTO"  # frames side by side: faster, and later by some frames
        rate_hz = float(stream.average_rate or _RATE_UNKNOWN_HZ)
        first_s: float | None = None
        next_s = 0.0
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except (av.error.InvalidDataError, av.error.PatchWelcomeError):
                self.damaged += 1
                continue
            for picture in pictures:
                at_s = next_s if picture.time is None else picture.time
                first_s = at_s if first_s is None else first_s
                next_s = at_s + 1 / rate_hz
                yield (time.monotonic() if self.live else max(0.0, at_s - first_s)), picture

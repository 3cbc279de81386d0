"""Videos and streams of real pictures, made for tests: handwritten digits, and cameras that serve them."""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model import data

Pixels = npt.NDArray[np.uint8]


@functools.cache
def pictures(count: int, side_px: int = 64) -> tuple[Pixels, ...]:
    """Digits that people have written, (side, side, 3) uint8, no two neighbours alike."""
    drawn = data.load("digits").test.x[:count, :, :, 0]
    scaled = (Image.fromarray(digit).resize((side_px, side_px), Image.Resampling.NEAREST) for digit in drawn)
    return tuple(np.asarray(digit.convert("RGB")) for digit in scaled)


def write_video(path: Path, frames: Sequence[Pixels], *, rate_hz: int = 10, rotation: int = 0) -> Path:
    """A video of these frames, MPEG-4; every frame is a key frame, so that each is like its picture."""
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate_hz, options={"g": "1", "qscale": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def jpeg(frame: Pixels) -> bytes:
    """A frame as a camera would send it."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95)
    return file.getvalue()


def seen(payload: bytes) -> Pixels:
    """The pixels (H, W, 3) of a picture file."""
    with Image.open(io.BytesIO(payload)) as image:
        return np.asarray(image.convert("RGB"))


def nearest(pixels: Pixels, among: Sequence[Pixels]) -> int:
    """Which of these pictures it shows, by the mean difference."""
    return int(np.argmin([np.abs(pixels.astype(int) - other.astype(int)).mean() for other in among]))


class FakeCamera:
    """A TCP server on a port of its own that talks to each connection by `talk`, a camera as far as a client sees."""

    def __init__(self, port: int = 0) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def talk(self, connection: socket.socket, number: int) -> None:
        """Serve the connection of this number, from 1."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            self.talk(connection, number)


class RtspCamera(FakeCamera):
    """Speaks as much RTSP as it takes to refuse everybody with this status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status
        self.asked: list[str] = []

    def talk(self, connection: socket.socket, number: int) -> None:
        """Answer requests until the client goes."""
        for request in _requests(connection):
            self.asked.append(request)
            head = request.splitlines()
            cseq = next(line for line in head if line.lower().startswith("cseq"))
            status, more = (200, "Public: DESCRIBE\r\n") if head[0].startswith("OPTIONS") else (self.status, "")
            if status == 401:
                more = 'WWW-Authenticate: Basic realm="camera"\r\n'
            connection.sendall(f"RTSP/1.0 {status} -\r\n{cseq}\r\n{more}\r\n".encode())


class MjpegCamera(FakeCamera):
    """Serves frames over HTTP as motion JPEG; `rounds` says how many frames each connection gets before it is cut.

    After the last round a connection gets frames without end. `pause_s`: between two frames.
    """

    def __init__(
        self, frames: Sequence[Pixels], *, rounds: Sequence[int] = (), pause_s: float = 0.02, port: int = 0
    ) -> None:
        super().__init__(port)
        self._frames = [jpeg(frame) for frame in frames]
        self._rounds, self._pause_s = rounds, pause_s
        self.served = 0

    def talk(self, connection: socket.socket, number: int) -> None:
        """Serve frames to whoever asks."""
        next(_requests(connection))
        head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        connection.sendall(head.encode())
        left = self._rounds[number - 1] if number <= len(self._rounds) else None
        while left is None or left > 0:
            frame = self._frames[self.served % len(self._frames)]
            part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n".encode()
            connection.sendall(part + frame + b"\r\n")
            self.served += 1
            left = None if left is None else left - 1
            if self._closing.wait(self._pause_s):
                return


def _requests(connection: socket.socket) -> Iterator[str]:
    waiting = b""
    while True:
        received = connection.recv(4096)
        if not received:
            return
        waiting += received
        while b"\r\n\r\n" in waiting:
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            yield request.decode()

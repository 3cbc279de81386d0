"""A TCP proxy between a worker and a server: a link that can be cut, or become slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Self

from services.servers import free_port

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65536
_CHUNKS_HELD = 256


class Proxy:
    """Forwards `port`, a free one of loopback, to `target_port`, from `start` to `stop`. Any thread may call it."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._cut_until = 0.0
        self._delay_s, self._delay_until = 0.0, 0.0
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy {self.port}", daemon=True)
        self._listening = threading.Event()

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        if not self._listening.wait(30):
            raise RuntimeError(f"proxy on port {self.port}: does not listen")
        return self

    def stop(self) -> None:
        """Drop everything and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self, seconds: float) -> None:
        """Drop every connection with what is on its way, and refuse new ones for `seconds`."""
        self._cut_until = time.monotonic() + seconds
        self._loop.call_soon_threadsafe(self._drop_all)

    def delay(self, delay_s: float, seconds: float) -> None:
        """For `seconds`, let whatever comes arrive `delay_s` later, in both directions."""
        self._delay_s, self._delay_until = delay_s, time.monotonic() + seconds

    def heal(self) -> None:
        """An undisturbed link again."""
        self._cut_until = self._delay_until = 0.0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, _HOST, self.port))
        self._listening.set()
        self._loop.run_forever()
        server.close()
        for task in (left := asyncio.all_tasks(self._loop)):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _drop_all(self) -> None:
        for task in self._connections:
            task.cancel()

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        to_far: asyncio.StreamWriter | None = None
        try:
            if time.monotonic() >= self._cut_until:
                far, to_far = await asyncio.open_connection(_HOST, self._target_port)
                directions = [
                    asyncio.ensure_future(one) for one in (self._forward(near, to_far), self._forward(far, to_near))
                ]
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in directions:
                        one.cancel()
                    await asyncio.gather(*directions, return_exceptions=True)
        except OSError:
            pass
        except asyncio.CancelledError:  # cut: both ends hear of it at once
            to_near.transport.abort()
        finally:
            self._connections.discard(task)
            for writer in (to_near, to_far):
                if writer is not None:
                    writer.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Until the source ends. What was read waits for its time in a queue, so that a delay costs no throughput."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_HELD)
        reading = asyncio.ensure_future(self._read(source, held))
        try:
            with contextlib.suppress(OSError):
                while True:
                    due, data = await held.get()
                    if not data:
                        return
                    if (early_s := due - time.monotonic()) > 0:
                        await asyncio.sleep(early_s)
                    sink.write(data)
                    await sink.drain()
        finally:
            reading.cancel()

    async def _read(self, source: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = await source.read(_CHUNK_BYTES)
            except OSError:
                data = b""
            now = time.monotonic()
            await held.put((now + self._delay_s if now < self._delay_until else now, data))

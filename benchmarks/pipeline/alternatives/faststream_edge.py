"""(e) FastStream on Redis: the edge. Its publisher is asynchronous: it has a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable

from benchmarks.pipeline.alternatives.faststream_app import STREAM, Task, broker
from benchmarks.pipeline.alternatives.hard_samples import run_edge

_loop = asyncio.new_event_loop()


def post(topic: str, sample_id: str, features: bytes, done: Callable[[], None]) -> None:
    """A message of the stream."""
    task = Task(topic=topic, id=sample_id, features=base64.b64encode(features).decode())
    sent = asyncio.run_coroutine_threadsafe(broker.publish(task, stream=STREAM), _loop)
    sent.add_done_callback(lambda future: done() if future.exception() is None else None)


if __name__ == "__main__":
    threading.Thread(target=_loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(broker.connect(), _loop).result()
    run_edge(post)

"""(e) FastStream on Redis: the edge. Its publisher is asynchronous: it has a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import traceback
from collections.abc import Callable

from benchmarks.pipeline.alternatives.faststream_app import STREAM, Task, broker
from benchmarks.pipeline.alternatives.hard_samples import run_edge

#: Each publish under way takes a connection, and redis-py's pool refuses more than a hundred.
_AT_ONCE = 32

_loop = asyncio.new_event_loop()
_at_once = asyncio.Semaphore(_AT_ONCE)


def post(topic: str, sample_id: str, features: bytes, done: Callable[[], None]) -> None:
    """A message of the stream."""
    task = Task(topic=topic, id=sample_id, features=base64.b64encode(features).decode())
    asyncio.run_coroutine_threadsafe(_publish(task, done), _loop)


async def _publish(task: Task, done: Callable[[], None]) -> None:
    async with _at_once:
        try:
            await broker.publish(task, stream=STREAM)
        except Exception:
            traceback.print_exc()
            os._exit(1)  # a sample that is lost in silence would make the others faster
    done()


if __name__ == "__main__":
    threading.Thread(target=_loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(broker.connect(), _loop).result()
    run_edge(post)

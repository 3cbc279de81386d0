"""(e) FastStream on Redis: a stream with a consumer group, read in batches; run by `faststream run`."""

from __future__ import annotations

import base64

from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel

from benchmarks.pipeline.alternatives.broker import Site
from benchmarks.pipeline.alternatives.hard_samples import cloud_side

STREAM = "hard"
_BATCH_MAX = 32


class Task(BaseModel):
    """One hard sample; `features` in base64, since messages of a batch are JSON."""

    topic: str
    id: str
    features: str


broker = RedisBroker(f"redis://127.0.0.1:{Site.told().redis_port}")
app = FastStream(broker)


@app.on_startup
async def load() -> None:
    """Load the network before the first message."""
    cloud_side()


@broker.subscriber(
    stream=StreamSub(
        STREAM, group="cloud", consumer="worker-1", batch=True, max_records=_BATCH_MAX, polling_interval=100
    )
)
async def classify(tasks: list[Task]) -> None:
    """A batch of hard samples."""
    cloud_side().answer([(task.topic, task.id, base64.b64decode(task.features)) for task in tasks])

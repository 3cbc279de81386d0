"""(c) Celery on Redis: the application, imported by the edge, which posts, and by `celery worker`."""

from __future__ import annotations

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.pipeline.alternatives.broker import Site
from benchmarks.pipeline.alternatives.hard_samples import cloud_side

app = Celery("benchmark", broker=f"redis://127.0.0.1:{Site.told().redis_port}/0")
# Late acknowledgement and a lost worker's tasks run again: what our own stream promises. Bytes need no base64.
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="msgpack",
    accept_content=["msgpack"],
    worker_prefetch_multiplier=32,
    broker_connection_retry_on_startup=True,
)


@worker_process_init.connect
def load(**_: object) -> None:
    """Load the network before the first task."""
    cloud_side()


@app.task(name="classify")
def classify(topic: str, sample_id: str, features: bytes) -> None:
    """One hard sample."""
    cloud_side().answer([(topic, sample_id, features)])

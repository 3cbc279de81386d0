"""(c) Celery on Redis: the edge."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.pipeline.alternatives.celery_app import classify
from benchmarks.pipeline.alternatives.hard_samples import run_edge


def post(topic: str, sample_id: str, features: bytes, done: Callable[[], None]) -> None:
    """A task."""
    classify.delay(topic, sample_id, features)
    done()


if __name__ == "__main__":
    run_edge(post)

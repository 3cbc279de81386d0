"""(d) Dramatiq on Redis: the edge."""

from __future__ import annotations

import base64
from collections.abc import Callable

from benchmarks.pipeline.alternatives.dramatiq_app import classify
from benchmarks.pipeline.alternatives.hard_samples import run_edge


def post(topic: str, sample_id: str, features: bytes, done: Callable[[], None]) -> None:
    """A message."""
    classify.send(topic, sample_id, base64.b64encode(features).decode())
    done()


if __name__ == "__main__":
    run_edge(post)

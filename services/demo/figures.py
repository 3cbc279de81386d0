"""The figures with which a demonstration ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_model import energy
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.data import Dataset
from services.demo.books import Books, Entry, percentile
from services.sources.replay import Replay

_BATCH = 250


@dataclass(frozen=True)
class HalvesAlone:
    """Accuracy over the streamed samples if one half had answered all of them: the deepest exit, or the cloud half."""

    edge: float
    cloud: float


def halves_alone(
    bundle: Bundle, replay: Replay, entries: Sequence[Entry], *, advance: Callable[[int], None] = lambda count: None
) -> HalvesAlone:
    """Run both halves, without brokers, over what the devices sent. `bundle` is loaded with its cloud tensors.

    `advance` is called with the number of samples that are done.
    """
    from hybrid_model.cloud_half import CloudHalf
    from hybrid_model.runtime import EdgeEngine

    engine, cloud = EdgeEngine(bundle), CloudHalf(bundle)
    never = [-np.inf if e.score == "entropy" else np.inf for e in bundle.manifest.exits]
    right = np.zeros(2)
    for start in range(0, len(entries), _BATCH):
        part = entries[start : start + _BATCH]
        truth = np.array([entry.class_index for entry in part])
        passed = engine.infer(replay.inputs([entry.number for entry in part]), thresholds=never, force_cut=True)
        answered, _ = cloud.infer([features for features in passed.features if features is not None])
        right += [(passed.class_index == truth).sum(), (answered == truth).sum()]
        advance(len(part))
    edge_share, cloud_share = (right / max(len(entries), 1)).tolist()
    return HalvesAlone(edge_share, cloud_share)


def summary(books: Books, manifest: Manifest, *, dataset: str, input_bytes: int, alone: HalvesAlone) -> dict[str, Any]:
    """The figures as plain data. Latencies run from the moment a sample was whole to its final label's arrival.

    `input_bytes`: all payloads together. A figure that nothing was measured for is None.
    """
    tally = books.tally()
    finals = max(tally.finals, 1)
    twin_j = energy.twin_energy_j(manifest.layers) * tally.finals
    return {
        "bundle": manifest.name,
        "dataset": dataset,
        "samples": tally.acknowledged,
        "labels_final": tally.finals,
        "lost": len(books.lost),
        "duplicates": tally.duplicates,
        "edge_share": tally.confident / finals,
        "reused": tally.reasons.get("reused", 0),
        "rate_limited": tally.reasons.get("rate_limited", 0),
        "out_of_domain": tally.out_of_domain,
        "accuracy": tally.right / finals,
        "accuracy_edge_only": alone.edge,
        "accuracy_cloud_only": alone.cloud,
        "energy_reduction_mac": twin_j / tally.energy_j if tally.energy_j else None,
        "feature_bytes_mean": float(manifest.cut.bytes),
        "input_bytes_mean": input_bytes / max(tally.sent, 1),
        "latency_ms": {
            path: {name: _milliseconds(percentile(values, share)) for name, share in (("p50", 0.5), ("p99", 0.99))}
            for path, values in tally.latencies_s.items()
        },
        "throughput_hz": tally.throughput_hz,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def comfortable_rate_hz(bundle: Bundle, dataset: Dataset, *, most_hz: float = 250.0) -> float:
    """Samples per second that this machine's edge engine does with ease: a quarter of its speed, at most `most_hz`."""
    from hybrid_model.runtime import EdgeEngine

    engine, batch = EdgeEngine(bundle), dataset.test.x[:16]
    engine.infer(batch, force_cut=True)
    started = time.perf_counter()
    engine.infer(batch, force_cut=True)
    return min(most_hz, 0.25 * len(batch) / (time.perf_counter() - started))

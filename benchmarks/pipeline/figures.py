"""From raw rounds to medians with their spread, and to ratios within a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

Spread = dict[str, float]


def spread(values: Iterable[float]) -> Spread | None:
    """Median, least and most; none of no values."""
    known = sorted(values)
    if not known:
        return None
    return {name: round(value, 4) for name, value in zip(("median", "least", "most"), _three(known), strict=True)}


def _three(known: list[float]) -> tuple[float, float, float]:
    return statistics.median(known), known[0], known[-1]


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One a stand and cell: medians over the rounds, and ratios to the null limit beside it."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in result["cells"]:
        grouped.setdefault((entry["stand"], entry["cell"]), []).append(entry)
    return [_row(stand, cell, entries, result["model_us"]) for (stand, cell), entries in grouped.items()]


def _row(stand: str, cell: str, entries: list[dict[str, Any]], model_us: dict[str, float]) -> dict[str, Any]:
    of, null = [entry["of"] for entry in entries], [entry["null"] for entry in entries]
    pairs = list(zip(of, null, strict=True))
    # Dewpoint alone tells what its model takes; for others all that the edge does counts.
    name, net = stand.split()[:2]
    model = model_us[net] if name == "dewpoint" else 0.0
    return {
        "stand": stand,
        "cell": cell,
        "labels_per_s": spread(one["labels_per_s"] for one in of),
        "null_labels_per_s": spread(one["labels_per_s"] for one in null),
        "cpu_us": {role: spread(one["cpu_us"][role] for one in of) for role in of[0]["cpu_us"]},
        "null_cpu_us": spread(one["cpu_us"]["edge"] for one in null),
        "device_bytes": spread(one["device_bytes"] for one in of),
        "redis_bytes": spread(one["redis_bytes"] for one in of),
        "rss_bytes": {role: spread(one["rss_bytes"][role] for one in of) for role in of[0]["rss_bytes"]},
        "latency_ms": {q: spread(_known(one["latency_ms"][q] for one in of)) for q in of[0]["latency_ms"]},
        "cloud": spread(one["cloud"] for one in of),
        "unanswered": sum(lost(entry) for entry in entries),
        "over_null": {
            "labels": spread(a["labels_per_s"] / b["labels_per_s"] for a, b in pairs if b["labels_per_s"]),
            "edge_cpu": spread(
                (a["cpu_us"]["edge"] - model) / b["cpu_us"]["edge"]
                for a, b in pairs
                if "edge" in a["cpu_us"] and b["cpu_us"]["edge"]
            ),
            "workers_cpu": spread(
                sum(a["cpu_us"].get(role, 0.0) for role in ("edge", "cloud")) / b["cpu_us"]["edge"]
                for a, b in pairs
                if b["cpu_us"]["edge"]
            ),
            "edge_p99": spread(
                a["edge_latency_ms"]["p99"] / b["latency_ms"]["p99"]
                for a, b in pairs
                if a["edge_latency_ms"]["p99"] and b["latency_ms"]["p99"]
            ),
        },
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def lost(entry: dict[str, Any]) -> int:
    """Samples of a round's cell that either side left unanswered."""
    return int(entry["of"]["unanswered"]) + int(entry["null"]["unanswered"])


def against(result: dict[str, Any], ours: str, theirs: str, cell: str) -> Spread | None:
    """Labels of one stand over those of another, each as its share of the null limit, round by round.

    None where one of them left samples unanswered: who drops work is no faster.
    """
    if any(entry["stand"] in (ours, theirs) and entry["cell"] == cell and lost(entry) for entry in result["cells"]):
        return None
    shares: dict[str, dict[int, float]] = {ours: {}, theirs: {}}
    for entry in result["cells"]:
        if entry["stand"] in shares and entry["cell"] == cell and entry["null"]["labels_per_s"]:
            share = entry["of"]["labels_per_s"] / entry["null"]["labels_per_s"]
            shares[entry["stand"]][entry["round"]] = share
    return spread(
        shares[ours][number] / shares[theirs][number] for number in shares[ours] if shares[theirs].get(number)
    )


def starts(result: dict[str, Any]) -> dict[str, dict[str, Spread | None]]:
    """Of each stand, seconds from the start of its processes to the first label of the edge and of the cloud."""
    found: dict[str, dict[str, Spread | None]] = {}
    for stand in dict.fromkeys(entry["stand"] for entry in result["starts"]):
        own = [entry for entry in result["starts"] if entry["stand"] == stand]
        kinds = [kind for kind in ("edge_first_label_s", "cloud_first_label_s") if kind in own[0]]
        found[stand] = {kind: spread(entry[kind] for entry in own) for kind in kinds}
    return found

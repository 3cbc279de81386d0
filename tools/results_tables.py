"""The tables of docs/reference/results.md, from the files that `python -m benchmarks.results` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[1] / "docs" / "results"
Row = dict[str, Any]


def results_tables() -> str:
    """Every data set's rows: accuracy, energy and bytes, how trained; and its picture."""
    rows = [json.loads(path.read_text()) for path in sorted(FILES.glob("*.json"))]
    rows.sort(key=lambda row: (row["name"].endswith("-paper"), row["name"], row["seed"]))
    parts: list[str] = []
    for dataset in ("cifar10", "cifar100", "har", "digits"):
        chosen = [row for row in rows if row["evaluation"]["dataset"] == dataset]
        if chosen:
            parts += _section(dataset, chosen)
    return "\n".join(parts)


def _section(dataset: str, rows: list[Row]) -> Iterator[str]:
    samples = rows[0]["evaluation"]["samples"]
    yield f"## {dataset}, {samples:,} test samples\n"
    yield f"![Accuracy against edge share on {dataset}](../results/{dataset}.svg)\n"
    yield from _head("edge share", "hybrid", "edge alone", "cloud alone", "twin", "hybrid over twin", "errors at exits")
    for row in rows:
        yield _accuracy(row)
    yield ""
    reduced = ("`mac`: twin", "`mac`: ResNet-32", "`full`, cloud: twin", "`full`, sensor: twin")
    yield from _head(*reduced, "features", "PNG", "JPEG 75")
    for row in rows:
        yield _energy(row)
    yield ""
    yield from _head("epochs", "trained on", "precision", "minutes")
    for row in rows:
        epochs = (
            str(row["epochs"])
            if row["epochs"] == row["epochs_planned"]
            else f"{row['epochs']} of {row['epochs_planned']}"
        )
        minutes = f"{row['train_seconds'] / 60:,.0f}"
        yield _line(row, epochs, row["machine"], row["precision"], minutes)
    yield ""


def _head(*columns: str) -> Iterator[str]:
    yield f"| recipe | seed | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 2) + "|"


def _line(row: Row, *cells: str) -> str:
    return f"| {' | '.join([row['name'], str(row['seed']), *cells])} |"


def _accuracy(row: Row) -> str:
    told = row["evaluation"]
    accuracy = told["accuracy"]
    low, high = told["accuracy_interval"]["hybrid"]
    hybrid = f"**{accuracy['hybrid']:.2%}** ({100 * low:.2f}–{100 * high:.2f})"
    if told["accuracy_strict"] is not None:
        hybrid += f"; {told['accuracy_strict']:.2%} on {told['samples_strict']:,}"
    over = "–"
    if told["accuracy_over_twin"] is not None:
        low, high = told["accuracy_over_twin_interval"]
        over = f"{100 * told['accuracy_over_twin']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    bound = told["exit_error_bound"]
    errors = "–" if bound["observed"] is None else f"{bound['observed']:.2%}"
    if bound["alpha"] is not None:
        errors += f" (at most {bound['alpha']:.0%} promised)"
    twin = _share(accuracy["full_precision_twin"])
    return _line(
        row,
        f"{told['edge_share']:.1%}",
        hybrid,
        _share(accuracy["edge"]),
        _share(accuracy["cloud"]),
        twin,
        over,
        errors,
    )


def _energy(row: Row) -> str:
    told = row["evaluation"]
    sizes = told["hard_sample_bytes"] or {}
    return _line(
        row,
        f"**{_times(told['energy_reduction_mac'])}**",
        _times(told["energy_reduction_mac_standard"]),
        _times(told["energy_reduction_full"]),
        _times(told["energy_reduction_full_at_sensor"]),
        f"{told['feature_bytes_mean']:,.0f} B",
        _size(sizes.get("png")),
        _size(sizes.get("jpeg_75")),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}x"


def _size(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} B"

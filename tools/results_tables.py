"""The tables of docs/reference/results.md, from the files that `python -m benchmarks.results` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[1] / "docs" / "results"
#: How the names of files end that hold figures on corrupted pictures.
CORRUPTED = "-corruptions.json"
Row = dict[str, Any]


def results_tables() -> str:
    """Every data set's rows: accuracy, energy and bytes, how trained; its picture; and what corrupted pictures cost."""
    paths = sorted(FILES.glob("*.json"))
    rows = [json.loads(path.read_text()) for path in paths if not path.name.endswith(CORRUPTED)]
    corrupted = [json.loads(path.read_text()) for path in paths if path.name.endswith(CORRUPTED)]
    rows.sort(key=lambda row: (row["name"].endswith("-paper"), row["name"], row["seed"]))
    parts: list[str] = []
    for dataset in ("cifar10", "cifar100", "har", "digits"):
        chosen = [row for row in rows if row["evaluation"]["dataset"] == dataset]
        if chosen:
            parts += _section(dataset, chosen)
        for row in corrupted:
            if row["dataset"] == dataset:
                parts += corruption_table(row)
    return "\n".join(parts)


def _section(dataset: str, rows: list[Row]) -> Iterator[str]:
    samples = rows[0]["evaluation"]["samples"]
    yield f"## {dataset}, {samples:,} test samples\n"
    yield f"![Accuracy against edge share on {dataset}](../results/{dataset}.svg)\n"
    yield from _head(
        "edge share",
        "hybrid",
        "edge alone",
        "cloud alone",
        "twin",
        "hybrid over twin",
        "over taught twin",
        "errors at exits",
    )
    for row in rows:
        yield _accuracy(row)
    yield ""
    reduced = ("`mac`: twin", "`mac`: ResNet-32", "`full`, cloud: twin", "`full`, sensor: twin")
    yield from _head(*reduced, "features", "PNG", "JPEG 75")
    for row in rows:
        yield _energy(row)
    yield ""
    sure = [row for row in rows if "reliability" in row]
    if sure:
        yield from _head(
            "error of confidences: edge",
            "by chance",
            "cloud",
            "by chance",
            "rise",
            "held back by guards",
            "in the domain",
        )
        for row in sure:
            yield _confidence(row)
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


def corruption_table(row: Row) -> Iterator[str]:
    """A bundle's figures on corrupted pictures, as `python -m benchmarks.results BUNDLE --corruptions` writes them."""
    samples = row["samples_corrupted"]
    yield f"### {row['bundle']}, seed {row['seed']}, on corrupted pictures of the first {samples:,} test samples\n"
    yield "| % | edge share | right where sure | hybrid | wrong but sure |"
    yield "|---|---|---|---|---|"
    together = {"uncorrupted": row["uncorrupted"], **row["camera"], "mean of all below": row["corruptions"]["mean"]}
    for name, told in together.items():
        shares = (told["edge_share"], told["confident_accuracy"], told["hybrid"], told["wrong_but_sure"])
        yield f"| {name.replace('_', ' ')} | {' | '.join(_percent(share) for share in shares)} |"
    yield ""
    severities = " | ".join(str(severity) for severity in range(1, 6))
    yield f"| %, by severity | hybrid: {severities} | wrong but sure: {severities} |"
    yield "|---" * 11 + "|"
    for kind, at in row["corruptions"].items():
        if kind != "mean":
            told = [_percent(one[figure]) for figure in ("hybrid", "wrong_but_sure") for one in at]
            yield f"| {kind.replace('_', ' ')} | {' | '.join(told)} |"
    yield ""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


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
        _over(told, "accuracy_over_twin"),
        _over(told, "accuracy_over_taught_twin"),
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


def _over(told: Row, name: str) -> str:
    if told.get(name) is None:
        return "–"
    low, high = told[f"{name}_interval"]
    return f"{100 * told[name]:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _confidence(row: Row) -> str:
    told, guard = row["reliability"], row["evaluation"]["guard"]
    errors = [told[who][name] for who in ("edge", "escalated") for name in ("error", "by_chance")]
    return _line(
        row,
        *("–" if error is None else f"{error:.3f}" for error in errors),
        f"{told['escalated']['samples']:,}",
        _share(guard["clean_share_lost"]),
        _share(guard["in_domain_share"]),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}x"


def _size(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} B"

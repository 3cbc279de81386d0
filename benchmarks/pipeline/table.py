"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.pipeline import figures, footprint, goals

_MIB = 1 << 20


def tables(result: dict[str, Any]) -> str:
    """All of them, with what was not measured."""
    parts = [
        f"Broker {result['broker']}, {result['cores']} cores, load average {result['load_average'][0]} before and "
        f"{result['load_average'][1]} after; medians of {result['rounds']} rounds of {result['seconds']:g} s a cell, "
        "with the least and the most.",
        _cells(result),
        _starts(result),
        _footprint(result),
        ratios(goals.ratios(result)),
    ]
    lacking = [*result["missing"].items(), *((key, text.splitlines()[0]) for key, text in result["failed"].items())]
    lost = [f"{row['stand']}, {row['cell']}: {row['unanswered']}" for row in figures.rows(result) if row["unanswered"]]
    parts += [f"Unanswered samples, so that no ratio is told: {'; '.join(lost)}."] if lost else []
    parts += ["\n".join(f"Not measured: {title}: {why}." for title, why in lacking)] if lacking else []
    return "\n\n".join(part for part in parts if part)


def _cells(result: dict[str, Any]) -> str:
    lines = [
        "| who | cell | labels/s over null | edge CPU outside the model over null | CPU of all workers over null "
        "| p99 over null | bytes at the device | bytes at Redis | RSS, MiB | unanswered |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in figures.rows(result):
        over = row["over_null"]
        memory = [f"{role} {row['rss_bytes'][role]['median'] / _MIB:.0f}" for role in _workers(row["rss_bytes"])]
        cells = [
            row["stand"],
            row["cell"],
            *(ratio(over[kind]) for kind in ("labels", "edge_cpu", "workers_cpu", "edge_p99")),
            f"{row['device_bytes']['median']:.0f}",
            f"{row['redis_bytes']['median']:.0f}",
            ", ".join(memory),
            str(row["unanswered"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _workers(roles: Iterable[str]) -> list[str]:
    return [role for role in ("edge", "cloud") if role in roles]


def _starts(result: dict[str, Any]) -> str:
    lines = ["| who | first label of the edge, s | first label of the cloud, s |", "|---|---|---|"]
    for stand, found in figures.starts(result).items():
        cells = [ratio(found.get(kind)) for kind in ("edge_first_label_s", "cloud_first_label_s")]
        lines.append(f"| {stand} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _footprint(result: dict[str, Any]) -> str:
    lines = ["| installed | packages | MB |", "|---|---|---|"]
    for what, found in result["footprint"].items():
        megabytes = footprint.text(found)
        lines.append(f"| {what} | {found['packages']} | {megabytes} |")
    return "\n".join(lines) if result["footprint"] else ""


def ratios(found: list[dict[str, Any]]) -> str:
    """One table of ratios with their floors and goals; a row where the other side wins says so."""
    if not found:
        return ""
    lines = ["| ratio | median, least to most | floor | goal | |", "|---|---|---|---|---|"]
    for row in found:
        bounds = [("" if row[name] is None else f"{row[name]:g}x") for name in ("floor", "goal")]
        lines.append(f"| {row['what']} | {ratio(row['ratio'])} | {bounds[0]} | {bounds[1]} | {verdict(row)} |")
    return "\n".join(lines)


def verdict(row: dict[str, Any]) -> str:
    """In words: whether floor and goal are met, and whether the other side wins."""
    median, sign = row["ratio"]["median"], 1 if row["more_is_better"] else -1
    said = []
    if " over (" in row["what"]:
        if row["ratio"]["most"] < 1:
            said.append("the alternative wins")
        elif row["ratio"]["least"] < 1:
            said.append("no winner within the spread")
    if row["goal"] is not None and sign * median >= sign * row["goal"]:
        said.append("goal met")
    elif row["floor"] is not None:
        said.append("floor met" if sign * median >= sign * row["floor"] else "below the floor")
    return ", ".join(said)


def ratio(found: figures.Spread | None) -> str:
    """`0.63 (0.58 to 0.70)`; nothing where there is none."""
    return "" if found is None else f"{found['median']:.2f} ({found['least']:.2f} to {found['most']:.2f})"

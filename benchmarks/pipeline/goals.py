"""The ratios that are told in one table, with their floors and goals."""

from __future__ import annotations

from typing import Any

from benchmarks.pipeline import figures
from benchmarks.pipeline.cells import DEEP, MAIN, OPEN, Cell

_QUEUES = {"celery": "(c) Celery", "dramatiq": "(d) Dramatiq", "faststream": "(e) FastStream"}
_QOS_0 = Cell(qos=0, in_flight=32)


def ratios(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows `{what, ratio: {median, least, most}, floor, goal, more_is_better}`; only those that were measured."""
    found = {(row["stand"], row["cell"]): row["over_null"] for row in figures.rows(result) if not row["unanswered"]}
    made: list[dict[str, Any]] = []

    def add(what: str, ratio: Any, floor: float | None, goal: float | None, *, more: bool = True) -> None:
        if ratio is not None:
            made.append({"what": what, "ratio": ratio, "floor": floor, "goal": goal, "more_is_better": more})

    def of(stand: str, cell: Cell, kind: str) -> Any:
        return found.get((stand, cell.name), {}).get(kind)

    for net in dict.fromkeys(row["stand"].split()[1] for row in result["cells"]):
        wanted = net == "digits"  # floors and goals are set for it

        def bound(value: float, wanted: bool = wanted) -> float | None:
            return value if wanted else None

        exits, all_rise, fifth = f"dewpoint {net} 0%", f"dewpoint {net} 100%", f"dewpoint {net} 20%"
        add(
            f"{net}: labels, all exit, QoS 1, 32 in flight, over null",
            of(exits, MAIN, "labels"),
            bound(0.85),
            bound(1.15),
        )
        add(
            f"{net}: labels, all exit, QoS 0, 32 in flight, over null",
            of(exits, _QOS_0, "labels"),
            bound(0.75),
            bound(1.1),
        )
        add(f"{net}: worker CPU outside the model over null", of(exits, MAIN, "edge_cpu"), 1.5, 1.0, more=False)
        add(f"{net}: labels, all rise, 256 in flight, over null", of(all_rise, DEEP, "labels"), bound(0.45), bound(0.7))
        add(f"{net}: p99 at half capacity over null", of(exits, OPEN, "edge_p99"), 2.0, 1.2, more=False)
        add(
            f"{net}: labels, a fifth rises, over (a) all to the cloud",
            figures.against(result, fifth, f"to_cloud {net}", DEEP.name),
            5.0,
            15.0,
        )
        add(
            f"{net}: labels, all exit, over (b) int8 edge without cloud",
            figures.against(result, exits, f"int8_edge {net}", MAIN.name),
            None,
            None,
        )
        for name, title in _QUEUES.items():
            theirs = f"{name} {net} 100%"
            add(
                f"{net}: labels, all rise, over {title}", figures.against(result, all_rise, theirs, DEEP.name), 3.0, 6.0
            )
        theirs = f"sedna {net} 20%"
        add(
            f"{net}: labels, a fifth rises, over (f) joint inference",
            figures.against(result, fifth, theirs, DEEP.name),
            5.0,
            20.0,
        )
    return made

"""A calibration for a person: the path as a picture in the terminal, and the points that matter as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybrid_model.bundle import Manifest
from hybrid_model.bundle.calibration import Calibration
from services.cli.views import reuse_view

_ROWS = 12
_COLUMNS = 56
_PASSED, _OTHER, _WORKING = "●", "·", "◆"


def view(manifest: Manifest) -> RenderableType:
    """What `dewpoint calibrate` shows of a manifest that has been calibrated."""
    found = manifest.calibration
    assert found is not None
    return Group(
        _heading(manifest, found),
        _picture(found),
        _legend(),
        _points(found),
        _promise(found),
        Text(reuse_view.sentence(manifest)),
    )


def figures(manifest: Manifest) -> dict[str, Any]:
    """The same as plain data: name, network id, exits, `calibration` and `reuse` as the manifest has them."""
    told = manifest.model_dump(mode="json", include={"name", "network_id", "exits", "calibration"})
    return told | reuse_view.figures(manifest)


def verdict(found: Calibration) -> str:
    """What was tested and what came of it, in a sentence."""
    samples = f"{found.calibration.samples:,} calibration samples"
    if found.start is None:
        return f"Nothing was tested: no point of the path has enough of the {samples} for alpha {found.alpha:.2%}."
    if found.passed is None:
        return f"No point passed the test at alpha {found.alpha:.2%} on {samples}: nothing is promised."
    first, last = found.path[found.start], found.path[found.passed]
    return (
        f"Points {found.start} to {found.passed}, edge shares {first.edge_share:.1%} to {last.edge_share:.1%}, passed: "
        f"an error rate of at most {found.alpha:.2%} at every exit, with probability {1 - found.delta:.0%}."
    )


def _heading(manifest: Manifest, found: Calibration) -> Text:
    splits = f"path from {found.tuning.samples:,} tuning samples, test on {found.calibration.samples:,} others"
    return Text(f"{manifest.name} ({manifest.network_id}): {splits}", style="bold")


def _picture(found: Calibration) -> Text:
    """Accuracy upwards, edge share to the right, one mark a point."""
    values = [one.accuracy for one in found.path]
    low, high = min(values), max(values)
    span = high - low or 1.0
    grid = [[(" ", "")] * (_COLUMNS + 1) for _ in range(_ROWS)]
    order = sorted(range(len(found.path)), key=lambda number: number == found.point)
    for number in order:
        one = found.path[number]
        below = round((high - one.accuracy) / span * (_ROWS - 1))
        grid[below][round(one.edge_share * _COLUMNS)] = _mark(found, number)
    text = Text("accuracy (tuning split)\n", style="dim")
    for number, row in enumerate(grid):
        level = high - span * number / (_ROWS - 1)
        shown = f"{level:7.2%} " if number in (0, _ROWS - 1) and (number == 0 or low < high) else " " * 8
        text.append(shown + "│", style="dim")
        for mark, style in row:
            text.append(mark, style=style)
        text.append("\n")
    quarters = "".join(f"{share:<{_COLUMNS // 4}.0%}" for share in (0.0, 0.25, 0.5, 0.75)) + "100%"
    text.append(" " * 8 + "└" + "─" * (_COLUMNS + 1) + "\n" + " " * 9 + quarters + " edge share", style="dim")
    return text


def _mark(found: Calibration, number: int) -> tuple[str, str]:
    if number == found.point:
        return _WORKING, "bold cyan" if found.guaranteed else "bold yellow"
    return (_PASSED, "green") if _has_passed(found, number) else (_OTHER, "")


def _has_passed(found: Calibration, number: int) -> bool:
    return found.start is not None and found.passed is not None and found.start <= number <= found.passed


def _legend() -> Text:
    marks = f"{_WORKING} working point   {_PASSED} passed the test   {_OTHER} failed or not tested"
    return Text(f"{marks}\n", style="dim")


def _points(found: Calibration) -> Table:
    failed = None if found.start is None else (found.start if found.passed is None else found.passed + 1)
    wanted = {
        "nobody leaves": 0,
        "test begins": found.start,
        "last that passed": found.passed,
        "first that failed": failed if failed is not None and failed < len(found.path) else None,
        "working point": found.point,
        "loosest": len(found.path) - 1,
    }
    table = Table(title_justify="left")
    for heading in ("point", "", "edge share", "accuracy", "errors", "p-value"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for number in sorted({one for one in wanted.values() if one is not None}):
        one = found.path[number]
        table.add_row(
            str(number),
            ", ".join(name for name, there in wanted.items() if there == number),
            f"{one.edge_share:.1%}",
            f"{one.accuracy:.2%}",
            " ".join("-" if rate is None else f"{rate:.2%}" for rate in one.error_rate),
            "-" if one.p_value is None else f"{one.p_value:.2g}",
            style="bold" if number == found.point else "",
        )
    return table


def _promise(found: Calibration) -> Text:
    text = Text(verdict(found))
    if found.passed is not None and not found.guaranteed:
        text.append(" The working point is not among them.", style="yellow")
    if found.passed is None and "guarantee" in found.chosen_by:
        text.append(" So nobody leaves: every sample goes to the cloud.", style="yellow")
    if found.calibration.note:
        text.append(f" ({found.calibration.note}.)", style="yellow")
    return text

"""Devices and workers."""

from __future__ import annotations

from typing import Any, Final

from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import panel
from services.console.page.wording import NOTHING, THIN, ago, count, percent
from services.console.state.workers import control_text

__all__ = ["ROWS", "DeviceTable", "WorkerTable", "column", "show_rows"]

ROWS: Final = 10


def column(name: str, label: str, *, number: bool = False, classes: str = "", roomy: bool = False) -> dict[str, Any]:
    """A column; a `roomy` one is left out on a phone."""
    look = f"{classes} {'roomy' if roomy else ''}"
    return {
        "name": name, "field": name, "label": label, "align": "right" if number else "left",
        "classes": look, "headerClasses": "roomy" if roomy else "",
    }  # fmt: skip


def show_rows(table: ui.table, rows: list[dict[str, Any]]) -> None:
    """Show these; the line that turns pages only where there are several."""
    if rows != table.rows:
        table.rows = rows
        table.props.set_bool("hide-bottom", 0 < len(rows) <= ROWS)


class DeviceTable:
    """Built within a page; `refresh` every two seconds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with panel("Devices", "half", note="since the workers began"):
            self._table = ui.table(
                columns=[
                    column("device", "device", classes="name"),
                    column("seen", "last seen", roomy=True),
                    column("finals", "labels", number=True),
                    column("edge", "at the edge", number=True),
                    column("corrected", "corrected", number=True, roomy=True),
                    column("confidence", "confidence", number=True),
                    column("drift", "drift", number=True),
                ],
                rows=[],
                row_key="device",
                pagination=ROWS,
            ).props("flat dense wrap-cells :rows-per-page-options=[10] no-data-label='No devices yet'")
            self._table.classes("w-full")
            self._table.props["data-testid"] = "devices"
            self._table.add_slot(
                "body-cell-drift",
                "<q-td :props='props'><span :class=\"{above: props.row.drifted}\">{{ props.value }}</span></q-td>",
            )

    def refresh(self) -> None:
        """Show the last round of scrapes."""
        state = self._desk.state
        rows = [
            {
                "device": device.name,
                "seen": ago(device.last_seen),
                "finals": count(device.finals),
                "edge": percent(device.edge_share),
                "corrected": count(device.corrected),
                "confidence": percent(state.device_labels.confidence(device.name)),
                "drift": NOTHING
                if device.drift is None
                else f"{device.drift:.2f}{THIN + '!' if device.drifted else ''}",
                "drifted": device.drifted,
            }
            for device in state.snapshot.devices
        ]
        show_rows(self._table, rows)


class WorkerTable:
    """Built within a page; `refresh` every two seconds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with panel("Workers", "half"):
            self._table = ui.table(
                columns=[
                    column("worker", "worker", classes="name"),
                    column("role", "role", roomy=True),
                    column("state", "state"),
                    column("kernel", "kernel", roomy=True),
                    column("bundle", "bundle", classes="text"),
                    column("control", "control", classes="text"),
                ],
                rows=[],
                row_key="worker",
                pagination=ROWS,
            ).props("flat dense wrap-cells :rows-per-page-options=[10] no-data-label='No workers known'")
            self._table.classes("w-full")
            self._table.props["data-testid"] = "workers"
            self._table.add_slot(
                "body-cell-state",
                "<q-td :props='props'><span :class=\"'state-' + props.row.look\">{{ props.value }}</span></q-td>",
            )

    def refresh(self) -> None:
        """Show what is known of each."""
        rows = [
            {
                "worker": view.name,
                "role": view.role,
                "state": view.state if view.error is None else f"{view.state}: {view.error}",
                "look": view.state if view.error is None else "silent",
                "kernel": view.kernel or NOTHING,
                "bundle": view.bundle or NOTHING,
                "control": control_text(view.control) or NOTHING,
            }
            for view in self._desk.state.workers
        ]
        show_rows(self._table, rows)

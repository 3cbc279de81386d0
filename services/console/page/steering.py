"""Where the exits are set: a point by the slider or a budget, and what each worker makes of it."""

from __future__ import annotations

import time
from typing import Final

from nicegui import ui

from hybrid_model.intervals import wilson_interval
from services.budgets import BUDGETS
from services.console.page.desk import Desk
from services.console.page.elements import Text, box, panel
from services.console.page.path_chart import PathChart
from services.console.page.wording import THIN, count, percent
from services.console.state.site_figures import SiteFigures
from services.messages import Budget, Control
from services.mqtt import MqttError

__all__ = ["Steering"]

_BIASED_BELOW: Final = 0.95
_SETTLED_S: Final = 0.5
_HANDS_OFF_S: Final = 2.0
_BUDGETS: Final = {name: kind.title for name, kind in BUDGETS.items()}


class _Slider(ui.slider):
    """Moves at once in the browser: an answer of the server's, come late, would set it back between two keys."""

    LOOPBACK = False


class Steering:
    """Built within a page; `refresh` each second."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._curve = desk, desk.state.curve
        self._chart: PathChart | None = None
        self._seen: Control | None = None
        self._shown: object = None
        self._moved_at, self._moves = 0.0, 0
        with panel("Exit control", "third"), box("div", "steer"):
            if self._curve is None:
                Text("p", "The bundle's path is not known here: set edge.bundle to a calibrated one.", "notice")
            else:
                self._chart = PathChart(desk, self._curve)
                self._told = Text("div", "", "small", name="point")
                own = self._curve.working_point
                with box("div", "steer-row slide"):
                    self._slider = _Slider(min=0, max=self._curve.last, step=1, value=own)
                    back = ui.button("Clear", on_click=lambda: self._send(None)).props("flat dense no-caps size=sm")
                    back.props["title"] = "Take the set-point away: each worker follows its settings again"
                self._slider.props["aria-label"] = (
                    "Point on the path: from nobody leaves to everybody leaves at the edge"
                )
                self._slider.props["data-testid"] = "slider"
                self._slider.on_value_change(self._tell_point)
                self._slider.on("change", lambda event: self._settle(round(event.args)))
                self._tell_point()
            with box("form", "steer-row", label="Budget") as form:
                self._budget = ui.select(_BUDGETS, value="escalated_share", label="Keep a budget").props(
                    "dense outlined"
                )
                self._value = ui.number(label="Value", value=0.2, min=0, format="%.6g").props("dense outlined")
                self._value.props["data-testid"] = "budget-value"
                ui.button("Send", on_click=self._send_budget).props("unelevated no-caps color=primary type=button")
            form.on("submit.prevent", self._send_budget)
            self._audit = Text("p", "", "small", name="audit")
            self._present = Text("p", "", "small muted", name="set-point")
            self._acks = box("ul", "acks", name="acknowledgements", label="What the workers make of it")
            self._acks.props["aria-live"] = "polite"

    def refresh(self) -> None:
        """Follow the retained set-point and the workers' answers."""
        if self._chart is not None:
            self._chart.refresh()
        state = self._desk.state
        control, acknowledgements = state.control, state.acknowledgements
        if time.monotonic() > self._moved_at + _HANDS_OFF_S:
            self._follow(control, state.position)
        self._audit.text = _audit_told(state.snapshot.figures)
        self._present.text = f"Set-point of the site: {_worded(control)}"
        if acknowledgements == self._shown:
            return
        self._shown = acknowledgements
        self._acks.clear()
        with self._acks:
            for one in acknowledgements:
                with box("li", f"ack {one.outcome}"):
                    Text("span", one.worker)
                    Text("span", one.outcome, "outcome")
                    Text("span", one.told, "muted")

    def _follow(self, control: Control | None, position: float | None) -> None:
        """The slider goes where the set-point is, or, where none names a point, where the workers are."""
        if self._curve is None:
            return
        named = None if control is None else control.point
        if named is not None and control != self._seen:
            self._slider.value = min(named, self._curve.last)
        elif named is None and position is not None:
            self._slider.value = round(position)
        self._seen, self._moved_at = control, 0.0

    def _tell_point(self) -> None:
        assert self._curve is not None
        self._moved_at = time.monotonic()
        point = round(self._slider.value or 0)
        share, accuracy = self._curve.at(point)
        calibrated = "passed calibration" if self._curve.has_passed(point) else "did not pass calibration"
        told = f"{percent(share, 0)} at the edge, {percent(accuracy)} accurate on the tuning split"
        self._told.text = f"Point {point}: {told}; {calibrated}"

    def _settle(self, point: int) -> None:
        """The slider was let go, or moved by a key: the last of several movements is sent."""
        self._moved_at = time.monotonic()
        self._moves += 1
        move = self._moves
        ui.timer(_SETTLED_S, lambda: self._send_point(point) if move == self._moves else None, once=True)

    def _send_point(self, point: int) -> None:
        self._send(Control("fixed", point=point))
        if self._curve is not None:
            self._slider.value = point

    def _send_budget(self) -> None:
        value = self._value.value
        if value is None or not value >= 0:
            ui.notify("A budget is a number of 0 or more", type="warning")
            return
        self._send(Control("budget", budget=Budget(str(self._budget.value), float(value))))

    def _send(self, control: Control | None) -> None:
        state, before = self._desk.state, self._desk.state.control
        state.sending(control)
        self._seen = control
        try:
            self._desk.feed.publish_control(control)
        except MqttError as error:
            state.take_control(before)
            ui.notify(str(error), type="negative")
        else:
            ui.notify(f"Sent: {_worded(control)}")


def _audit_told(found: SiteFigures) -> str:
    """What the audits say of the labels that left at the edge. No error rate: the cloud has no labels either."""
    if not found.audited:
        return "Audited: none of the edge's labels yet"
    share = found.disagreed / found.audited
    low, high = wilson_interval(share, found.audited)
    told = f"Audited: {count(found.audited)} of the edge's labels; {percent(share)} differ from the cloud"
    told += f" (95{THIN}% interval {percent(low)} to {percent(high)})"
    return told + (", biased: many were dropped" if found.audited < _BIASED_BELOW * found.selected else "")


def _worded(control: Control | None) -> str:
    if control is None:
        return "none, each worker follows its settings"
    if control.budget is not None:
        return f"{control.budget.name} {control.budget.value:g}"
    return f"point {control.point}"

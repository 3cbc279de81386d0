"""Which workers there are: what their metrics say, and for edge workers what they say of themselves by MQTT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from services.console.collect.scraping import Scrape
from services.messages import Control, Status

__all__ = ["Acknowledgement", "WorkerView", "acknowledgement", "control_text", "figure", "worker_views"]

Role = Literal["edge", "cloud", "?"]
_TOLD_CHARS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker.

    Attributes:
        name: Its name, or its address where it has not told one.
        role: edge or cloud.
        state: online, stopped, offline; cloud workers answer or are `silent`.
        bundle, kernel: As it tells; empty where it does not.
        control: What its status says of control; nothing for cloud workers.
        url: Where its metrics are; None where they are not known.
        error: Why its metrics could not be read; None where they could.
    """

    name: str
    role: Role
    state: str
    bundle: str = ""
    kernel: str = ""
    control: Mapping[str, Any] | None = None
    url: str | None = None
    error: str | None = None

    @property
    def working(self) -> bool:
        """Whether it is there, by all that is known."""
        return self.state == "online" and self.error is None


def worker_views(statuses: Mapping[str, Status], scrapes: Iterable[Scrape]) -> list[WorkerView]:
    """Edge workers by name, then cloud workers."""
    views: dict[str, WorkerView] = {}
    for status in statuses.values():
        views[status.worker] = WorkerView(
            status.worker, "edge", status.state, status.bundle, status.kernel or "", control=status.control
        )
    for scrape in scrapes:
        view = _scraped(scrape)
        by_mqtt = views.get(view.name)
        if by_mqtt is not None and view.role == "edge":
            view = replace(
                view, state=by_mqtt.state, bundle=by_mqtt.bundle or view.bundle,
                kernel=by_mqtt.kernel or view.kernel,
                control=by_mqtt.control,
            )  # fmt: skip
        views[view.name] = view
    return sorted(views.values(), key=lambda view: ({"edge": 0, "cloud": 1}.get(view.role, 2), view.name))


def _scraped(scrape: Scrape) -> WorkerView:
    state = "silent" if scrape.error is not None else "online" if scrape.page is not None else "unknown"
    if scrape.page is None:
        return WorkerView(urlsplit(scrape.url).netloc, "?", state, url=scrape.url, error=scrape.error)
    info = scrape.page.info
    role: Role = "edge" if scrape.page.has("mqtt_connected") or info.get("role") == "edge" else "cloud"
    name = info.get("worker") or urlsplit(scrape.url).netloc
    return WorkerView(
        name, role, state, info.get("bundle", ""), info.get("kernel", ""), url=scrape.url, error=scrape.error
    )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a worker makes of the set-point. `outcome`: follows, waiting, refused, away; `told` says more."""

    worker: str
    outcome: Literal["follows", "waiting", "refused", "away"]
    told: str = ""


def acknowledgement(view: WorkerView, wanted: Control, *, heard_before: int | None = None) -> Acknowledgement:
    """Compare an edge worker's status with the set-point.

    `heard_before`: set-points that it had heard when this one was sent from here; what it told then is no answer.
    """
    if view.state != "online":
        return Acknowledgement(view.name, "away", view.state)
    control = view.control
    if control is None:
        return Acknowledgement(view.name, "waiting", "it tells of no control")
    if heard_before is not None and control.get("set_points") == heard_before:
        return Acknowledgement(view.name, "waiting", control_text(control))
    refused = control.get("refused")
    if refused is not None:
        return Acknowledgement(view.name, "refused", str(refused)[:_TOLD_CHARS_MAX])
    error = str(control.get("error") or "")[:_TOLD_CHARS_MAX]
    if control.get("source") == "setpoint" and _same(control, wanted):
        return Acknowledgement(view.name, "follows", error or control_text(control))
    return Acknowledgement(view.name, "waiting", control_text(control))


def control_text(control: Mapping[str, Any] | None) -> str:
    """What a worker follows, in a phrase."""
    if control is None:
        return ""
    position, budget = figure(control.get("position")), control.get("budget")
    at = "" if position is None else f"at {position:.1f}"
    if control.get("mode") == "budget" and isinstance(budget, Mapping):
        measured = figure(control.get("measured"))
        now = "" if measured is None else f", now {measured:.4g}"
        return f"{str(budget.get('name'))[:40]} {_number(budget.get('value'))}{now}, {at}".rstrip(", ")
    if control.get("mode") == "fixed":
        return f"point {str(control['point'])[:20]}" if control.get("point") is not None else "pinned thresholds"
    return str(control.get("mode", ""))[:40]


def _same(control: Mapping[str, Any], wanted: Control) -> bool:
    if control.get("mode") != wanted.mode:
        return False
    if wanted.mode == "fixed":
        return bool(control.get("point") == wanted.point)
    budget = control.get("budget")
    if not isinstance(budget, Mapping) or wanted.budget is None:
        return False
    return bool(budget.get("name") == wanted.budget.name and budget.get("value") == wanted.budget.value)


def figure(value: object) -> float | None:
    """A number that a status tells; None for anything else, and for one that no float holds."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None


def _number(value: object) -> str:
    number = figure(value)
    return "?" if number is None else f"{number:.4g}"

"""One sample in full: its labels, and why it left or rose."""

from __future__ import annotations

import time
from typing import Any, Final

from nicegui import run, ui

from services.console.collect.explanation_request import ExplanationMissingError, explanation
from services.console.page.desk import Desk
from services.console.page.elements import Text, box, picture_box
from services.console.page.input_picture import input_picture
from services.console.page.occlusion_picture import LESS_SURE, SURER, occlusion_picture
from services.console.page.wording import NOTHING, joules, milliseconds, percent, place
from services.console.state.recent import RecentSample
from services.messages import Label

__all__ = ["SampleDialog"]

_CLASSES_SHOWN: Final = 5


class SampleDialog:
    """Built once within a page; `show` opens it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with ui.dialog() as self._dialog:
            self._body = box("div", "dialog", name="sample-dialog")
            self._body.props["role"] = "document"

    async def show(self, sample: RecentSample) -> None:
        """Open it for a sample, and ask its worker for an explanation."""
        self._body.clear()
        final = sample.final
        with self._body:
            with box("div", "panel-head"):
                Text("h2", "Sample" if final is None else final.label)
                Text("span", f"{sample.key[0]}, {sample.key[1]}", "muted small")
                box("div", "push")
                ui.button("Close", on_click=self._dialog.close).props("flat dense no-caps autofocus")
            with box("div", "dialog-grid"):
                with box() as pictures:
                    self._picture(None if sample.input is None else input_picture(sample.input), "The input")
                with box():
                    with box("dl", "facts"):
                        for title, told in _facts(sample):
                            Text("dt", title)
                            Text("dd", told)
                    with box("div", name="explanation").style("margin-top: 16px") as below:
                        Text("p", "Asking the worker for an explanation …", "muted small")
        self._dialog.open()
        workers = [view.url for view in self._desk.state.workers if view.role == "edge" and view.url is not None]
        reason = "the console is about to end"
        try:
            found = await run.io_bound(explanation, workers, *sample.key)
        except ExplanationMissingError as missing:
            found, reason = None, str(missing)
        if below.is_deleted:
            return
        below.clear()
        with below:
            if found is None:
                Text("p", f"No explanation: {reason}", "notice")
                return
            try:
                _explained(found)
                shown = occlusion_picture(found)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError, OSError):
                Text("p", "No explanation: the worker's answer cannot be read", "notice")
                return
        if shown is not None:
            with pictures:
                Text("h3", f"Where exit {found['occlusion']['exit']} looks").style("margin: 12px 0 4px")
                self._picture(shown, "The input, coloured by what covering each part of it changes")
                with box("div", "legend").style("margin-top: 6px"):
                    Text("span", "less sure when covered", "dot").style(f"--key: {LESS_SURE}")
                    Text("span", "surer", "dot").style(f"--key: {SURER}")

    def _picture(self, url: str | None, alt: str) -> None:
        if url is None:
            Text("p", "The input was not seen, or is kept no longer.", "notice")
            return
        picture_box(url, alt)


def _facts(sample: RecentSample) -> list[tuple[str, str]]:
    found = []
    for title, label in (
        ("Edge, provisional", sample.provisional), ("Final", sample.final), ("Correction", sample.correction),
    ):  # fmt: skip
        if label is not None:
            found.append((title, _answer(label)))
    final = sample.final
    if final is not None:
        found += [("Corrected", "yes, by the cloud" if sample.corrected else "no"), ("Reason", final.reason)]
        if final.reused_from is not None:
            found.append(("Answer to", f"{final.reused_from}, a sample like it"))
        if final.in_domain is not None:
            found.append(("In domain", "yes" if final.in_domain else "no: unlike what the network was trained on"))
        if sample.latency_s is not None:
            found.append(("Latency", f"{milliseconds(1000 * sample.latency_s)} from capture to label"))
        found += [
            ("Energy", f"{joules(final.energy_j)} of computing, estimated"),
            ("Captured", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(final.captured_at))),
            ("Bundle", final.bundle),
        ]
    return found


def _answer(label: Label) -> str:
    return f"{label.label} ({percent(label.confidence)}, {place(label)})"


def _explained(found: dict[str, Any]) -> None:
    """The exits' scores against their thresholds, and the classes that the last exit thought of."""
    exits = found["exits"]
    Text("h3", f"Decision: {found['decision']}")
    with box("table", "exits"):
        with box("thead"), box("tr"):
            for heading in ("exit", "answer", "score", "threshold", "leaves"):
                Text("th", heading)
        with box("tbody"):
            for one in exits:
                kind = str(one.get("score_kind", "")).replace("_", " ")
                with box("tr"):
                    Text("td", str(one["exit"]))
                    Text("td", f"{one['label']} ({percent(one['confidence'])})")
                    Text("td", f"{kind} {_number(one['score'])}")
                    Text("td", f"{'at most' if kind == 'entropy' else 'at least'} {_number(one['threshold'])}")
                    Text("td", "yes" if one["leaves"] else "no")
    last = exits[-1]
    ranked = sorted(enumerate(last["probabilities"]), key=lambda pair: -(pair[1] or 0.0))[:_CLASSES_SHOWN]
    Text("h3", f"Exit {last['exit']}: likeliest classes").style("margin-bottom: 4px")
    with box("div", "bars"):
        for index, share in ranked:
            Text("span", _class(found, index))
            with box("div"):
                box("div", "fill").style(f"width: {100 * min(1.0, max(0.0, share or 0.0)):.1f}%")
            Text("span", percent(share))


def _class(found: dict[str, Any], index: int) -> str:
    names = found.get("classes")
    return str(names[index]) if isinstance(names, list) and index < len(names) else f"class {index}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"

"""The latest samples as cards: newest first, a few at a time, held still while somebody points at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, cast

from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import Text, box, panel, picture_box
from services.console.page.input_picture import input_picture
from services.console.page.wording import milliseconds, percent, place
from services.console.state.recent import RecentSample, Which

__all__ = ["SampleCards"]

_SHOWN: Final = 14
_AT_ONCE: Final = 4
_SELECTIONS: Final = {"all": "All", "edge": "Edge", "cloud": "Cloud", "corrected": "Corrected"}


class SampleCards:
    """Built within a page; `refresh` every two seconds.

    Args:
        desk: What the page works with.
        on_open: Called with the sample whose card was chosen, by pointer or keyboard.
    """

    def __init__(self, desk: Desk, on_open: Callable[[RecentSample], Awaitable[None]]) -> None:
        self._desk, self._on_open = desk, on_open
        self._which: Which = "all"
        self._cards: deque[ui.element] = deque()
        self._after, self._held = 0, False
        with panel("Recent samples", "two-thirds") as head:
            with head:
                box("div", "push")
                self._pause = ui.switch("Pause").props("dense")
                choice = ui.toggle(_SELECTIONS, value="all", on_change=lambda event: self._choose(event.value))
                choice.props("dense no-caps unelevated size=sm padding='2px 8px' toggle-color=primary")
                choice.props["aria-label"] = "Which samples"
            self._grid = box("div", "samples", name="samples")
            self._grid.on("mouseenter", lambda: self._hold(True)).on("mouseleave", lambda: self._hold(False))
            self._grid.on("focusin", lambda: self._hold(True)).on("focusout", lambda: self._hold(False))
            self._empty = Text("p", "No labels yet.", "muted small")

    def refresh(self) -> None:
        """Put the newest in front."""
        if self._pause.value or self._held:
            return
        found = self._desk.state.recent.newest(_AT_ONCE if self._cards else _SHOWN, self._which, after=self._after)
        if not found:
            return
        self._empty.set_visibility(False)
        self._after = max(sample.number for sample in found)
        for sample in reversed(found):
            with self._grid:
                card = self._card(sample)
            card.move(self._grid, 0)
            self._cards.appendleft(card)
        while len(self._cards) > _SHOWN:
            self._cards.pop().delete()

    def _hold(self, held: bool) -> None:
        self._held = held

    def _choose(self, which: str) -> None:
        self._which, self._after = cast(Which, which), 0
        while self._cards:
            self._cards.pop().delete()
        self._empty.set_visibility(True)
        self.refresh()

    def _card(self, sample: RecentSample) -> ui.element:
        final = sample.final
        assert final is not None
        device = sample.key[0]
        shown = None if sample.input is None else input_picture(sample.input)
        where = place(final)
        card = box("button", f"sample {'corrected' if sample.corrected else ''}", name="sample")
        card.props["type"] = "button"
        card.props["aria-label"] = f"{final.label}, {device}, {where}: details"
        card.on("click", lambda: self._on_open(sample))
        with card:
            if shown is None:
                Text("span", "input not seen", "blank")
            else:
                picture_box(shown)
            with box("span", "told"):
                with box("span", "label"):
                    if sample.corrected and sample.provisional is not None and final.corrected:
                        Text("span", sample.provisional.label, "was")
                    Text("span", final.label)
                Text("span", device, "line")
                with box("span", "line"):
                    Text("span", where, f"path {'cloud' if final.answered_by_cloud else 'edge'}")
                    Text("span", f" {percent(final.confidence, 0)}")
                waited = None if sample.latency_s is None else 1000 * sample.latency_s
                plain = final.reason in ("confident", "escalated", "reused")
                reason = "" if plain else f", {final.reason.replace('_', ' ')}"
                domain = ", out of domain" if final.in_domain is False else ""
                Text("span", f"{milliseconds(waited)}{reason}{domain}", "line")
        return card

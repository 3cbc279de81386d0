"""The bar at the top: site, connection, workers, and the switch between light and dark."""

from __future__ import annotations

import time
from typing import Final

from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import Text, box

__all__ = ["Header"]

_STALE_S: Final = 5.0
_KEY: Final = "dewpoint-theme"
_THEMES: Final[dict[str, bool | None]] = {"System": None, "Light": False, "Dark": True}


class Header:
    """Built within a page; `refresh` each second."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._dark = ui.dark_mode(None)
        with box("header", "bar"), box("div", "bar-inner"):
            Text("h1", "Dewpoint")
            Text("span", f"site {desk.site}", "site", name="site")
            box("div", "push")
            self._chips = box("div", "chips", label="State of connections and workers")
            self._chips.props["role"] = "status"
            self._theme = ui.toggle(list(_THEMES), value="System", on_change=lambda event: self._choose(event.value))
            self._theme.props("dense no-caps unelevated size=sm padding='2px 8px' toggle-color=primary")
            self._theme.props["aria-label"] = "Light or dark"
        self._shown: tuple[tuple[str, str], ...] = ()

    async def remember(self) -> None:
        """Take what this browser was set to the last time. Once the browser is connected."""
        kept = await ui.run_javascript(f"localStorage.getItem('{_KEY}')", timeout=5.0)
        if kept in _THEMES:
            self._theme.value = kept

    def refresh(self) -> None:
        """Show how things are."""
        chips = tuple(self._states())
        if chips == self._shown:
            return
        self._shown = chips
        self._chips.clear()
        with self._chips:
            for text, classes in chips:
                Text("span", text, f"chip {classes}")

    def _states(self) -> list[tuple[str, str]]:
        state = self._desk.state
        connected = self._desk.feed.connected
        found = [("MQTT connected", "good") if connected else (f"MQTT {self._desk.feed.address} away", "bad")]
        at = state.snapshot.at
        if at is not None and time.time() - at > _STALE_S:
            found.append(("metrics are stale", "bad"))
        workers = state.workers
        for worker in workers[:8]:
            look = "good" if worker.working else "warn" if worker.state in ("stopped", "unknown") else "bad"
            found.append((f"{worker.name} {worker.state}", f"{look} worker" if worker.working else look))
        if not workers:
            found.append(("no workers known", "warn"))
        elif len(workers) > 8:
            found.append((f"and {len(workers) - 8} more", "plain"))
        return found

    def _choose(self, theme: str) -> None:
        self._dark.value = _THEMES[theme]
        ui.run_javascript(f"localStorage.setItem('{_KEY}', '{theme}')")

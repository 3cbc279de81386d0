"""A whole site that runs, with its console, and a real browser before it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright
from rich.console import Console

from services.demo import Demo, DemoOptions
from services.demo.configuration import SITE
from services.messages import input_topic, label_topic
from services.mqtt import MqttLink
from services.settings import MqttSettings
from services.sources.catalog import replay_for
from services.sources.sender import Sender
from tests.metrics_page import MetricsPage

CHROMIUM = Path("/usr/bin/chromium")
SLOW_MS = 60_000


class LiveSite:
    """Servers, an edge worker, a cloud worker and the console, as processes; and devices that send when asked."""

    def __init__(self, demo: Demo) -> None:
        assert demo.live_page is not None
        self.demo, self.url = demo, demo.live_page.url

    def send(self, frames: int, *, wait_for: Callable[..., None]) -> None:
        """Send samples and wait until each has its final label."""
        before = self.total("exits_total")
        replay = replay_for(self.demo.dataset, devices=self.demo.devices, frames=frames)
        with self.device() as link:
            Sender(link, site=SITE, rate_hz=100).send(replay, stop=threading.Event())
            assert link.flush(timeout_s=60)
        wait_for(lambda: self.total("exits_total") == before + frames, f"{frames} final labels", timeout_s=120)

    def metrics(self) -> list[MetricsPage]:
        """What each worker shows now."""
        pages = [MetricsPage.fetch(port) for port in self.demo.metrics_ports.values()]
        assert all(page is not None for page in pages)
        return [page for page in pages if page is not None]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a counter over all workers and all other labels."""
        return sum(page.total(name, **labels) for page in self.metrics())

    @contextmanager
    def device(self) -> Iterator[MqttLink]:
        """A connection to the broker."""
        with MqttLink(MqttSettings(port=self.demo.servers.mqtt.port), client_id="other", persistent=False) as link:
            yield link

    @staticmethod
    def input_topic(device: str) -> str:
        """Where a device sends."""
        return input_topic(SITE, device)

    @staticmethod
    def label_topic(device: str) -> str:
        """Where its labels are."""
        return label_topic(SITE, device)


@contextmanager
def live_site() -> Iterator[LiveSite]:
    """Start everything, on handwritten digits."""
    options = DemoOptions(workers=1, devices=3, rate_hz=100, console=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)  # NiceGUI behaves differently where it is set
        demo = Demo(options, Console(file=io.StringIO()))
        started = demo.__enter__()
    try:
        yield LiveSite(started)
    finally:
        demo.__exit__(None, None, None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. A test that asks for it is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One browser tab at the console: what it complained of, and whom it asked."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SLOW_MS)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda told: self._hear(told.type, told.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.goto(url)
        self.page.wait_for_selector("[data-testid=finals]")

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def text(self, name: str) -> str:
        """The text of an element by its name for tests."""
        return self.page.inner_text(f"[data-testid={name}]")

    def until(self, name: str, expected: str) -> None:
        """Wait until an element's text is, or holds, what is expected."""
        try:
            self.page.wait_for_function(
                "([name, expected]) => document.querySelector(`[data-testid=${name}]`)?.innerText.includes(expected)",
                arg=[name, expected],
            )
        except Error:
            pytest.fail(f"{name} shows {self.text(name)!r}, not {expected!r}")

    def close(self) -> None:
        """Leave."""
        self.context.close()

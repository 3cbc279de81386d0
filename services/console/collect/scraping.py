"""The workers' metrics, read once a second. A worker that does not answer keeps what it showed last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from services.common.http_asker import AskError, ask
from services.common.logs import SparseLog, get_logger
from services.console.collect.metrics_page import MetricsPage

__all__ = ["Scrape", "Scraper"]

_PERIOD_S: Final = 1.0
_TIMEOUT_S: Final = 1.0
_PAGE_BYTES_MAX: Final = 8 << 20
_AT_ONCE: Final = 16
_REASON_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one worker showed last.

    Attributes:
        url: Its address, without `/metrics`.
        page: What it showed; None before its first answer.
        at: When that was, epoch seconds.
        error: Why it did not answer the last time; None where it did.
    """

    url: str
    page: MetricsPage | None = None
    at: float | None = None
    error: str | None = None


class Scraper:
    """Asks all workers, each second, in threads of its own. `start`, then `stop`.

    Args:
        urls: Their addresses, without `/metrics`.
        on_round: Called with all scrapes, by address, after each round.
    """

    def __init__(self, urls: Sequence[str], on_round: Callable[[Mapping[str, Scrape]], None]) -> None:
        self._scrapes = {url: Scrape(url) for url in urls}
        self._on_round = on_round
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self._log, self._sparse_log = get_logger("console"), SparseLog("console", burst=1, period_s=60.0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(self._scrapes))), thread_name_prefix="scrape") as pool:
            while not self._stop.is_set():
                began = time.monotonic()
                for scrape in pool.map(self._asked, tuple(self._scrapes.values())):
                    self._scrapes[scrape.url] = scrape
                try:
                    self._on_round(dict(self._scrapes))
                except Exception:  # a worker may show anything; the page goes on with what it had
                    self._log.exception("scrapes_not_understood")
                self._stop.wait(max(0.05, _PERIOD_S - (time.monotonic() - began)))

    def _asked(self, before: Scrape) -> Scrape:
        try:
            raw = ask(f"{before.url}/metrics", timeout_s=_TIMEOUT_S, bytes_max=_PAGE_BYTES_MAX)
            return Scrape(before.url, MetricsPage(raw.decode()), time.time())
        except AskError as error:
            reason = str(error)
        except Exception as error:  # a worker may show anything; the others are asked all the same
            reason = (str(error) or type(error).__name__)[:_REASON_CHARS_MAX]
        self._sparse_log.warning("worker_does_not_answer", kind=before.url, worker=before.url, reason=reason)
        return Scrape(before.url, before.page, before.at, reason)

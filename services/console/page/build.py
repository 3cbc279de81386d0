"""The page put together from its parts, anew for each browser."""

from __future__ import annotations

import logging
from typing import Final

from fastapi import FastAPI
from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import box
from services.console.page.header import Header
from services.console.page.history_charts import HistoryCharts
from services.console.page.letter_table import LetterTable
from services.console.page.sample_cards import SampleCards
from services.console.page.sample_dialog import SampleDialog
from services.console.page.steering import Steering
from services.console.page.style import style_sheet
from services.console.page.tables import DeviceTable, WorkerTable
from services.console.page.tiles import Tiles

__all__ = ["page_app"]

_FAST_S: Final = 1.0
_SLOW_S: Final = 2.0
_LETTERS_S: Final = 10.0


def page_app(desk: Desk) -> FastAPI:
    """The application that serves the page at `/`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_page(desk)
    ui.run_with(
        app, title="Dewpoint", dark=None, tailwind=False, reconnect_timeout=10.0, show_welcome_message=False,
        message_history_length=200, binding_refresh_interval=None,
    )  # fmt: skip
    logging.getLogger("nicegui").setLevel(logging.WARNING)
    return app


def _add_page(desk: Desk) -> None:
    @ui.page("/", title=f"Dewpoint, {desk.site}", language="en-US", response_timeout=30.0)
    async def console() -> None:
        ui.add_css(style_sheet())
        ui.colors(primary="#1f6fb2")
        header = Header(desk)
        dialog = SampleDialog(desk)
        with box("main", "page") as main:
            tiles = Tiles(desk)
            cards = SampleCards(desk, dialog.show)
            steering = Steering(desk)
            charts = HistoryCharts(desk)
            devices = DeviceTable(desk)
            workers = WorkerTable(desk)
            letters = LetterTable(desk)
        ui.skip_link("Skip to the figures", target=main)

        def fast() -> None:
            header.refresh()
            tiles.refresh()
            steering.refresh()
            charts.refresh()

        def slow() -> None:
            cards.refresh()
            devices.refresh()
            workers.refresh()

        fast()
        slow()
        ui.timer(_FAST_S, fast)
        ui.timer(_SLOW_S, slow)
        ui.timer(_LETTERS_S, letters.refresh)
        await ui.context.client.connected(timeout=30.0)
        await header.remember()

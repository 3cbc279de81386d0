"""The page put together from its parts, anew for each browser."""

from __future__ import annotations

from typing import Final

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

__all__ = ["add_page"]

_FAST_S: Final = 1.0
_SLOW_S: Final = 2.0
_LETTERS_S: Final = 10.0


def add_page(desk: Desk) -> None:
    """Serve the page at `/`."""

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

"""The dead letters: listed, looked at, and sent again after a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import run, ui

from services.console.collect.letters import FINAL_BEFORE, LetterList, LettersError
from services.console.page.desk import Desk
from services.console.page.elements import Text, box, panel
from services.console.page.tables import ROWS, column, show_rows
from services.console.page.wording import NOTHING, ago, count

__all__ = ["LetterTable"]


class LetterTable:
    """Built within a page; `refresh` every few seconds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._letters: dict[str, dict[str, Any]] = {}
        with panel("Dead letters", "wide", note="hard samples that no cloud worker could answer") as head:
            with head:
                box("div", "push")
                self._replay = ui.button("Replay selected", on_click=self._ask).props("flat dense no-caps")
                self._replay.props["data-testid"] = "replay"
            self._problem = Text("p", "", "notice")
            self._empty = Text("p", "None.", "muted small", name="no-letters")
            self._table = ui.table(
                columns=[
                    column("id", "id", classes="text", roomy=True),
                    column("device", "device", classes="name"),
                    column("sample", "sample", classes="text", roomy=True),
                    column("age", "age"),
                    column("error", "error", classes="text"),
                    column("show", ""),
                ],
                rows=[],
                row_key="id",
                selection="multiple",
                pagination=ROWS,
            ).props("flat dense wrap-cells :rows-per-page-options=[10]")
            self._table.classes("w-full")
            self._table.props["data-testid"] = "letters-table"
            self._table.add_slot(
                "body-cell-show",
                "<q-td :props='props' auto-width><q-btn flat dense no-caps label='Details'"
                " @click=\"$parent.$emit('details', props.row.id)\" /></q-td>",
            )
            self._table.on("details", lambda event: self._show(str(event.args)))
        with ui.dialog() as self._details:
            self._facts = box("div", "dialog", name="letter-dialog")
        with ui.dialog() as self._question, box("div", "dialog", name="replay-dialog"):
            self._asked = Text("h2")
            Text("p", FINAL_BEFORE, "muted")
            with box("div", "steer-row").style("justify-content: flex-end"):
                ui.button("Cancel", on_click=self._question.close).props("flat no-caps")
                ui.button("Replay", on_click=self._send).props("unelevated no-caps color=primary")
        self._fill(LetterList((), False), "")

    async def refresh(self) -> None:
        """List them anew."""
        try:
            found = await run.io_bound(self._desk.letters.listed)
        except LettersError as failed:
            self._fill(LetterList((), False), str(failed))
            return
        if found is not None and not self._table.is_deleted:
            self._fill(found, "")

    def _fill(self, found: LetterList, problem: str) -> None:
        self._letters = {one["id"]: one for one in found.letters}
        rows = [
            {
                "id": one["id"],
                "device": one["device"] or NOTHING,
                "sample": one["sample"] or NOTHING,
                "age": ago(one["at"]),
                "error": one["error"],
            }
            for one in found.letters
        ]
        show_rows(self._table, rows)
        self._table.selected = [row for row in self._table.selected if row["id"] in self._letters]
        self._problem.text = problem or (f"The oldest {count(len(rows))} are shown." if found.more else "")
        self._problem.set_visibility(bool(self._problem.text))
        self._empty.set_visibility(not rows and not problem)
        self._table.set_visibility(bool(rows))
        self._replay.set_visibility(bool(rows))

    def _chosen(self) -> Sequence[str]:
        return [str(row["id"]) for row in self._table.selected]

    def _show(self, letter: str) -> None:
        found = self._letters.get(letter)
        if found is None:
            return
        self._facts.clear()
        with self._facts:
            with box("div", "panel-head"):
                Text("h2", "Dead letter")
                box("div", "push")
                ui.button("Close", on_click=self._details.close).props("flat dense no-caps autofocus")
            with box("dl", "facts"):
                for name, value in found.items():
                    Text("dt", name.replace("_", " "))
                    told = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
                    Text("dd", told if value not in (None, "", []) else NOTHING).style("white-space: pre-wrap")
        self._details.open()

    def _ask(self) -> None:
        chosen = self._chosen()
        if not chosen:
            ui.notify("Select dead letters first")
            return
        self._asked.text = f"Send {count(len(chosen))} to the cloud workers again?"
        self._question.open()

    async def _send(self) -> None:
        self._question.close()
        chosen, refused = self._chosen(), []
        for letter in chosen:
            try:
                told = await run.io_bound(self._desk.letters.replay, letter)
            except LettersError as failed:
                told = str(failed)
            if told is not None:
                refused.append(told)
        self._table.selected = []
        sent = f"{count(len(chosen) - len(refused))} sent again"
        ui.notify(
            f"{sent}; {len(refused)} not: {refused[0]}" if refused else sent, type="warning" if refused else "info"
        )
        await self.refresh()

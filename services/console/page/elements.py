"""Plain HTML elements that hold text. Text is set as text: nothing in it is ever taken for HTML."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

__all__ = ["Text", "box", "panel", "picture_box"]


class Text(TextElement):
    """`<tag>text</tag>`, with classes and, for tests, a name."""

    def __init__(self, tag: str, text: str = "", classes: str = "", *, name: str | None = None) -> None:
        super().__init__(tag=tag, text=text)
        self.classes(classes)
        if name is not None:
            self.props["data-testid"] = name


def box(tag: str = "div", classes: str = "", *, name: str | None = None, label: str | None = None) -> ui.element:
    """An element for others; `label` is what a screen reader calls it."""
    made = ui.element(tag).classes(classes)
    if name is not None:
        made.props["data-testid"] = name
    if label is not None:
        made.props["aria-label"] = label
    return made


def picture_box(url: str, alt: str = "") -> None:
    """A picture, or a window's lines, of a data URL; without `alt` a screen reader passes it by."""
    box("img", "window" if url.startswith("data:image/svg") else "").props.update(src=url, alt=alt)


@contextmanager
def panel(title: str, classes: str, *, note: str = "") -> Iterator[ui.element]:
    """A section of the page under a heading; yields the heading's line, for what stands beside the title."""
    with box("section", f"panel {classes}", label=title):
        with box("div", "panel-head") as head:
            Text("h2", title)
            if note:
                Text("span", note, "muted small")
        yield head

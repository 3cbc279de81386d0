"""A bar on stderr for what goes over thousands of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["bar"]


@contextmanager
def bar(text: str, total: int, *, progress: bool) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps, gone at the end; what it gives is called after each step."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress) as shown:
        task = shown.add_task(text, total=total)
        yield lambda: shown.advance(task)

"""A bar on stderr for what goes over thousands of files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["bar"]


@contextmanager
def bar(text: str, total: int, *, progress: bool) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps, gone at the end; what it gives is called after each step.

    Warnings are silent meanwhile: decoders have one for every file that is a little out of order.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (
        warnings.catch_warnings(),
        Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress) as shown,
    ):
        warnings.simplefilter("ignore")
        task = shown.add_task(text, total=total)
        yield lambda: shown.advance(task)

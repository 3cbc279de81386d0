"""Answers to files, as a table for a person."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hybrid_model.bundle import Manifest
from services.cli.trial import TrialAnswer

__all__ = ["plain", "scaled_note", "table"]


def table(manifest: Manifest, answers: Sequence[TrialAnswer]) -> Table:
    """One row an answer."""
    found = Table(title=f"{manifest.name}, network id {manifest.network_id}", title_justify="left")
    found.add_column("source", overflow="fold")
    found.add_column("class", justify="right")
    found.add_column("label", overflow="fold")
    found.add_column("confidence", justify="right")
    found.add_column("by")
    found.add_column("in domain")
    for one in answers:
        found.add_row(
            Text(plain(one.source)),
            str(one.class_index),
            Text(plain(one.label), style="bold"),
            f"{one.confidence:.1%}",
            _by(one),
            "-" if one.in_domain is None else "yes" if one.in_domain else Text("no", style="yellow"),
        )
    return found


def scaled_note(manifest: Manifest) -> str:
    """What is told where pictures of any size are taken."""
    height, width, _ = manifest.input.shape
    return (
        f"pictures of another size were scaled to {width} x {height}, as in training; an edge worker does so where its "
        'input says fit = "resize"'
    )


def plain(text: str) -> str:
    """Names of files and classes without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _by(one: TrialAnswer) -> Text:
    if one.provisional:
        return Text("edge; would rise", style="yellow")
    return Text("cloud" if one.exit is None else f"exit {one.exit}")

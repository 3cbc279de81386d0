"""The report as a file: answers of both halves to every sample, figures of them, one page."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hybrid_model.bundle import Bundle
from hybrid_model.data import SPLITS
from hybrid_model.data.own import OwnData
from hybrid_model.energy import WIFI, Radio
from hybrid_model.evaluation import answers_on
from hybrid_model.planning import Choice
from hybrid_model.report.figures import figures_of
from hybrid_model.report.page import render
from hybrid_model.report.wrong import surest_mistakes
from hybrid_model.training import TrainingRun

__all__ = ["samples_to_run", "write_report"]


def samples_to_run(own: OwnData) -> int:
    """How many samples `write_report` runs in all: those of every split."""
    return sum(len(own.dataset.split(name)) for name in SPLITS)


def write_report(
    path: Path,
    bundle: Bundle,
    own: OwnData,
    run: TrainingRun,
    choices: Sequence[Choice],
    *,
    radio: Radio = WIFI,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Write the report of `bundle` (loaded with its cloud tensors) to `path`, and return its figures as plain data.

    Both halves run over every split: figures are of the test split, mistakes are looked for in all of them. The page is
    one file, without scripts, and asks for nothing from elsewhere; it appears whole or not at all.

    Args:
        path: The page, NAME.html.
        bundle: The network.
        own: What it was trained on.
        run: How it was trained.
        choices: What was chosen, in the order in which they are shown.
        radio: What features are sent by, for energies.
        advance: Called with the number of samples that are done, of `samples_to_run`.

    Raises:
        EvaluationError: the classes or the input's shape are not the data set's.
        OSError: the page cannot be written.
    """
    said = {
        name: answers_on(
            bundle,
            own.dataset,
            split=name,
            with_scores=name == "test" and bundle.manifest.calibration is not None,
            advance=advance,
        )
        for name in SPLITS
        if len(own.dataset.split(name))
    }
    mistakes = surest_mistakes(own, said)
    figures = figures_of(bundle, own, run, choices, said["test"], mistakes, radio)
    _write(path, render(figures, own, mistakes))
    return figures


def _write(path: Path, page: str) -> None:
    # Names of files may hold bytes that are no text; they are shown as escapes.
    content = page.encode("utf-8", "backslashreplace")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)

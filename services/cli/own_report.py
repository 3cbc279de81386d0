"""The report of a network of somebody's own data, beside its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.common import err, out

if TYPE_CHECKING:
    from hybrid_model.data.own import OwnData
    from hybrid_model.planning import Choice
    from hybrid_model.training import TrainingRun

__all__ = ["report_beside", "report_path"]


def report_path(bundle: Path) -> Path:
    """Where the report of a bundle lies: NAME.html beside NAME.dew."""
    return bundle.with_suffix(".html")


def report_beside(bundle: Path, own: OwnData, run: TrainingRun, choices: Sequence[Choice]) -> dict[str, Any]:
    """Write the report of a bundle file beside it, with a progress bar, and tell where; its figures as plain data."""
    from rich.progress import Progress

    from hybrid_model import bundle as bundle_file
    from hybrid_model.report import samples_to_run, write_report

    path = report_path(bundle)
    loaded = bundle_file.load(bundle, cloud=True)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"report of {loaded.manifest.name}", total=samples_to_run(own))
        figures = write_report(path, loaded, own, run, choices, advance=lambda count: bar.advance(task, count))
    out.print(f"{path}: the report; open it in a browser", highlight=False, markup=False)
    return figures

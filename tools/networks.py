"""Every network that ships, and those that they are compared with, trained in the order of their worth.

python -m tools.networks                      # all of them; hours to days on a CPU
python -m tools.networks --minutes 20         # a slice that ends cleanly; the same command goes on
python -m tools.networks --only cifar10 har   # some of them
python -m tools.networks --list               # how far each has come
python -m tools.networks --try                # all of it on a thousandth of the data, to see that it works

Ctrl-C and SIGTERM end a slice early and as cleanly. Bundles of what is finished lie in build/networks/NAME-sSEED.dew;
`python -m benchmarks.results` takes them from there.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hybrid_model import data
from hybrid_model.data import Dataset
from hybrid_model.data.splits import stratified
from hybrid_model.export import export_bundle
from hybrid_model.training import Baseline, Recipe, TrainingError, load_recipe, stored_run, train

_out = Console()
_TRIED_SAMPLES = 48


@dataclass(frozen=True)
class Job:
    """A network of one seed, and what is trained beside it."""

    recipe: str
    seed: int = 0
    baselines: tuple[Baseline, ...] = ()

    @property
    def name(self) -> str:
        """As it is listed."""
        beside = "".join(f" + {name.replace('_', ' ')}" for name in self.baselines)
        return f"{self.recipe}, seed {self.seed}{beside}"


#: The order of their worth: what ships, more seeds where they are cheap, then what they are compared with.
PLAN: tuple[Job, ...] = (
    Job("cifar10"),
    *(Job(name, seed, ("twin",)) for name in ("digits", "har") for seed in range(3)),
    Job("cifar100"),
    Job("cifar10", 0, ("twin",)),
    Job("cifar100", 0, ("twin",)),
    Job("cifar10", 0, ("twin", "taught_twin")),
    Job("cifar100", 0, ("twin", "taught_twin")),
    Job("cifar10-paper", 0, ("twin",)),
    Job("cifar100-paper", 0, ("twin",)),
)


def run(jobs: list[Job], *, checkpoints: Path, bundles: Path, device: str | None, stop: Callable[[], bool]) -> bool:
    """Train until all is finished (True) or `stop` says so (False)."""
    for job in jobs:
        recipe = load_recipe(job.recipe).model_copy(update={"seed": job.seed})
        if not _one(recipe, data.load(recipe.dataset), job, checkpoints, bundles, device, stop):
            return False
    return True


def _one(
    recipe: Recipe,
    dataset: Dataset,
    job: Job,
    checkpoints: Path,
    bundles: Path,
    device: str | None,
    stop: Callable[[], bool],
) -> bool:
    began = time.monotonic()
    trained = train(recipe, dataset, folder=checkpoints, device=device, baselines=job.baselines, stop=stop)
    minutes = (time.monotonic() - began) / 60
    if not trained.finished:
        _out.print(f"{job.name}: stopped after {minutes:.1f} min, at epoch {len(trained.history)}")
        return False
    bundles.mkdir(parents=True, exist_ok=True)
    path = bundles / f"{recipe.name}-s{job.seed}.dew"
    network_id = export_bundle(trained, dataset, path)
    _out.print(f"{job.name}: {path}, network {network_id}, {minutes:.1f} min")
    return True


def tried(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, Dataset]:
    """A recipe's run, so small that it takes seconds: one epoch over a few samples, not compiled."""
    schedule = recipe.schedule.model_copy(update={"epochs": 1, "twin_epochs": 1, "batch_size": 16})
    few = {}
    for name in data.SPLITS:
        split = dataset.split(name)
        few[name] = split.take(np.flatnonzero(stratified(split.y, count=min(len(split), _TRIED_SAMPLES))))
    return (
        recipe.model_copy(update={"schedule": schedule, "compile": False}),
        replace(dataset, **few, approx_test=np.empty(0, dtype=np.int64)),  # type: ignore[arg-type]
    )


def try_all(jobs: list[Job], *, device: str | None) -> None:
    """The whole way of every job, on few samples, in a folder that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for job in jobs:
            whole = load_recipe(job.recipe).model_copy(update={"seed": job.seed})
            recipe, dataset = tried(whole, data.load(whole.dataset))
            teacher = whole.teacher()
            if teacher is not None:
                path = place / f"{teacher.name}.json"
                path.write_text(tried(teacher, dataset)[0].model_dump_json(exclude_none=True))
                recipe = recipe.model_copy(update={"losses": recipe.losses.model_copy(update={"teacher": str(path)})})
            _one(recipe, dataset, job, place, place, device, lambda: False)


def told(jobs: list[Job], checkpoints: Path) -> Iterator[tuple[str, int, int, float | None, float]]:
    """Name, epochs done and planned, last accuracy on the tuning split, and minutes of every run of the jobs."""
    seen = set()
    for job in jobs:
        recipe = load_recipe(job.recipe).model_copy(update={"seed": job.seed})
        others = {"twin": recipe.twin, "taught_twin": recipe.taught_twin}
        for one in (recipe.teacher(), recipe, *(others[name]() for name in job.baselines)):
            if one is None or (one.name, one.seed) in seen:
                continue
            seen.add((one.name, one.seed))
            path = checkpoints / f"{one.name}-s{one.seed}.pt"
            try:
                stored = stored_run(one, path) if path.is_file() else None
            except TrainingError:
                stored = None  # of the recipe as it was before
            done = [] if stored is None else stored.history
            yield (
                f"{one.name}-s{one.seed}", len(done), one.schedule.epochs, done[-1]["tuning_final"] if done else None,
                0.0 if stored is None else stored.seconds / 60,
            )  # fmt: skip


def _list(jobs: list[Job], checkpoints: Path) -> None:
    table = Table("run", "epochs", "tuning", "minutes")
    for name, done, planned, accuracy, minutes in told(jobs, checkpoints):
        table.add_row(name, f"{done} of {planned}", "" if accuracy is None else f"{accuracy:.2%}", f"{minutes:.0f}")
    _out.print(table)


def main() -> int:
    """Train, list or try."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m tools.networks"
    )
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="recipes to train, of those of the plan")
    parser.add_argument("--minutes", type=float, help="end after so long")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"), help="where runs keep their state")
    parser.add_argument("--bundles", type=Path, default=Path("build/networks"), help="where bundles are written")
    parser.add_argument("--device", help="cuda or cpu; without it, a GPU where there is one")
    parser.add_argument("--list", action="store_true", help="how far each has come; trains nothing")
    parser.add_argument("--try", dest="tries", action="store_true", help="everything on a thousandth of the data")
    chosen = parser.parse_args()
    jobs = [job for job in PLAN if not chosen.only or job.recipe in chosen.only]
    if not jobs:
        parser.error(f"nothing of that name; there are {', '.join(dict.fromkeys(job.recipe for job in PLAN))}")
    if chosen.list:
        _list(jobs, chosen.checkpoints)
        return 0
    if chosen.tries:
        try_all(jobs, device=chosen.device)
        return 0
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    until = None if chosen.minutes is None else time.monotonic() + 60 * chosen.minutes

    def stop() -> bool:
        return asked.is_set() or (until is not None and time.monotonic() >= until)

    done = run(jobs, checkpoints=chosen.checkpoints, bundles=chosen.bundles, device=chosen.device, stop=stop)
    _out.print("all of it is trained" if done else "the same command goes on from here")
    return 0


if __name__ == "__main__":
    sys.exit(main())

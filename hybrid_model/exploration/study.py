"""A study: the trials of a space, kept in a storage that several processes may share, and taken up where they stood."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from hybrid_model.bundle import BundleError
from hybrid_model.data import Dataset
from hybrid_model.exploration.curve import WorkingPoint, judged_point
from hybrid_model.exploration.space import ExplorationError, Point, Space, direction, key
from hybrid_model.exploration.storage import abandoned, file_of, held, open_storage
from hybrid_model.exploration.trial import Bench, make_bench, run_trial
from hybrid_model.training.recipe import RecipeError
from hybrid_model.training.run import TrainingError

#: After so many broken-off tries a point is left alone.
MOST_TRIES = 3
_BROKEN = (TrainingError, RecipeError, BundleError)
_TAKEN = (TrialState.COMPLETE, TrialState.RUNNING)


class Exploration:
    """The study of `space` in `storage`, whose checkpoints and bundles lie in `folder`.

    `storage`: a URL (see `open_storage`), by default a SQLite file in `folder`. A study is named after the space and
    its fingerprint: a changed space begins another one, and the old one stays. Raises ExplorationError where the
    storage cannot be opened or, with `create` false, holds no such study.
    """

    def __init__(self, space: Space, *, folder: Path, storage: str | None = None, create: bool = True) -> None:
        self.space, self.folder = space, folder
        self.url = storage or f"sqlite:///{folder / 'study.db'}"
        self.name = f"{space.name}-{space.fingerprint()}"
        file = file_of(self.url)
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        elif file is not None and not file.is_file():
            raise ExplorationError(f"{file}: no such study yet; `dewpoint explore {space.name}` begins one")
        opened = open_storage(self.url)
        if not create and self.name not in optuna.get_all_study_names(opened):
            raise ExplorationError(
                f"{self.url} holds no study {self.name}; `dewpoint explore {space.name}` begins it. After a change of "
                "the space or its recipe a study begins anew"
            )
        self.study = optuna.create_study(
            study_name=self.name,
            storage=opened,
            directions=[direction(objective) for objective in space.objectives],
            load_if_exists=True,
        )
        self.study.sampler = self._sampler()

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The study's trials, oldest first; those in `states` alone if any are given. A point completed twice: once."""
        found: list[FrozenTrial] = []
        seen: set[str] = set()
        for trial in self.study.get_trials(deepcopy=False, states=states or None):
            name = str(trial.user_attrs.get("point"))
            if trial.state == TrialState.COMPLETE and name in seen:
                continue
            if trial.state == TrialState.COMPLETE:
                seen.add(name)
            found.append(trial)
        return found

    def run(
        self,
        *,
        trials: int | None = None,
        seconds: float | None = None,
        device: str | None = None,
        progress: bool = True,
        tell: Callable[[str], None] = lambda line: None,
    ) -> int:
        """Trains and measures until the space's number of trials is complete; returns how many this call completed.

        `trials` completed ones at most in this call; none is begun after `seconds`. `tell` is given a line of text
        when a trial begins or ends. Ctrl-C leaves the study as it is: the next call takes the trial up.
        """
        begun, before = time.monotonic(), len(self.trials(TrialState.COMPLETE))
        bench: Bench | None = None
        completed = 0

        def objective(trial: optuna.Trial) -> Sequence[float]:
            nonlocal completed
            assert bench is not None
            values = self._objective(trial, bench, device, progress, tell)
            completed += 1
            return values

        while len(self.trials(TrialState.COMPLETE)) < self.space.trials:
            if trials is not None and completed >= trials:
                break
            if seconds is not None and time.monotonic() - begun >= seconds:
                break
            self._fail_abandoned()
            self._take_up(tell)
            if not self._propose():
                break
            if bench is None:
                bench = make_bench(self.space, self.folder, progress=progress)
                self._same_data(bench.dataset)
            self.study.optimize(objective, n_trials=1, catch=_BROKEN)
        done = len(self.trials(TrialState.COMPLETE))
        tell(f"{self.name}: {done} trials complete, {done - before} of them since this call began")
        return completed

    def _objective(
        self,
        trial: optuna.Trial,
        bench: Bench,
        device: str | None,
        progress: bool,
        tell: Callable[[str], None],
    ) -> Sequence[float]:
        point = {axis: trial.suggest_categorical(axis, list(choices)) for axis, choices in self.space.axes.items()}
        trial.set_user_attr("point", key(point))
        earlier = [t for t in self._of_point(key(point)) if t.number < trial.number and t.state in _TAKEN]
        if earlier:
            raise optuna.TrialPruned(f"the same as trial {earlier[0].number}")
        described = ", ".join(f"{axis.rpartition('.')[2]} {label}" for axis, label in point.items())
        with held(self._lock(trial.number)):
            try:
                recipe = self.space.recipe_at(point)
                tell(f"trial {trial.number}: {described}")
                found = run_trial(recipe, bench, folder=self.folder, device=device, progress=progress)
            except _BROKEN as error:
                trial.set_user_attr("error", str(error))
                tell(f"trial {trial.number} failed: {error}")
                raise
        best = judged_point(found.curve, self.edge_share)
        values = [float(getattr(best, objective)) for objective in self.space.objectives]
        for name, value in found.to_json().items():
            trial.set_user_attr(name, value)
        trial.set_user_attr("working_point", best.to_json())
        trial.set_user_attr("recipe", recipe.model_dump(mode="json"))
        shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.space.objectives, values, strict=True))
        tell(f"trial {trial.number}: {shown} at an edge share of {best.edge_share:.0%}")
        return values

    @property
    def edge_share(self) -> float:
        """The edge share at which a trial's curve is judged."""
        return self.space.edge_share or self.space.base.operating_point.edge_share

    def _sampler(self) -> BaseSampler:
        # Another state of the generator for every process that joins or resumes, or they would draw the same points.
        seed = int(np.random.SeedSequence([self.space.seed, len(self.trials())]).generate_state(1)[0])
        if self.space.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=max(4, min(10, self.space.trials // 3)))
        if self.space.sampler == "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(4, min(50, self.space.trials // 4)))
        return RandomSampler(seed=seed)

    def _propose(self) -> bool:
        """Sees to it that the next trial has a point of its own; False where none is left.

        Grid and random order are queued here. TPE and NSGA-II choose by themselves, but where the last choice was
        a point that had been tried already, an untried one stands in.
        """
        if self.trials(TrialState.WAITING):
            return True
        tried = {str(t.user_attrs.get("point")) for t in self.trials()}
        left = [point for point in self.space.points if key(point) not in tried]
        if not left:
            return False
        last = self.trials()[-1:]
        repeated = bool(last) and last[0].state == TrialState.PRUNED
        if self.space.sampler in ("grid", "random") or repeated:
            random = np.random.default_rng([self.space.seed, len(tried)])
            self._queue(left[0] if self.space.sampler == "grid" else left[int(random.integers(len(left)))])
        return True

    def _queue(self, point: Point) -> None:
        self.study.enqueue_trial(point, user_attrs={"point": key(point)})

    def _fail_abandoned(self) -> None:
        """Fails trials whose process on this machine is gone, and those of which nothing was heard for long."""
        for trial in self.trials(TrialState.RUNNING):
            path = self._lock(trial.number)
            if abandoned(path):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                path.unlink(missing_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)

    def _take_up(self, tell: Callable[[str], None]) -> None:
        """Queues the points of trials that were broken off from outside, unless they were tried too often."""
        for trial in self.trials(TrialState.FAIL):
            name = trial.user_attrs.get("point")
            if name is None or "error" in trial.user_attrs:
                continue
            same = self._of_point(name)
            if any(t.state in (*_TAKEN, TrialState.WAITING) or "error" in t.user_attrs for t in same):
                continue
            if sum(t.state == TrialState.FAIL for t in same) >= MOST_TRIES:
                continue
            tell(f"trial {trial.number} was broken off: its training is taken up")
            self._queue(next(point for point in self.space.points if key(point) == name))

    def _of_point(self, name: str) -> list[FrozenTrial]:
        return [t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get("point") == name]

    def _lock(self, number: int) -> Path:
        return self.folder / "running" / f"{self.name}-{number}.lock"

    def _same_data(self, dataset: Dataset) -> None:
        """Raises ExplorationError where the study was begun on other data."""
        found = {split: dataset.fingerprint(split) for split in ("train", "tuning")}
        known = self.study.user_attrs.get("data")
        if known is None:
            self.study.set_user_attr("data", found)
        elif known != found:
            raise ExplorationError(
                f"study {self.name} was begun on another version of {dataset.name}; give another --storage, or the "
                "same data"
            )


def curve_of(trial: FrozenTrial) -> list[WorkingPoint]:
    """The curve that a complete trial stored."""
    return [_point(entry) for entry in trial.user_attrs["curve"]]


def judged_point_of(trial: FrozenTrial) -> WorkingPoint:
    """The point of its curve by which a complete trial was judged."""
    return _point(trial.user_attrs["working_point"])


def _point(entry: dict[str, object]) -> WorkingPoint:
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    return WorkingPoint(**{**entry, **lists})  # type: ignore[arg-type]

"""The Pareto front: what nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import optuna


def pareto_front(
    values: Sequence[Sequence[float]], directions: Sequence[Literal["maximize", "minimize"]]
) -> npt.NDArray[np.intp]:
    """Indices, ascending, of the rows that no other row dominates: at least as good throughout, better somewhere.

    values (N, M), one direction per column. Rows with the same values stand or fall together.
    """
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), directions=list(directions))
    study.add_trials([optuna.trial.create_trial(values=list(row)) for row in values])
    return np.array(sorted(trial.number for trial in study.best_trials), dtype=np.intp)

"""Real data sets by name, each divided once and for all into train, tuning, calibration and test.

They are looked for in `$DEWPOINT_DATA`, then in `~/.cache/dewpoint`, and then fetched from their publishers. Nothing is
unpickled, and nothing is shipped.
"""

from __future__ import annotations

from hybrid_model.data import cifar, digits, har
from hybrid_model.data.dataset import SPLITS, DataDamagedError, DataError, DataMissingError, Dataset, Split

__all__ = ["NAMES", "SPLITS", "DataDamagedError", "DataError", "DataMissingError", "Dataset", "Split", "load"]

NAMES = ("digits", "cifar10", "cifar100", "har")


def load(name: str, *, progress: bool = True) -> Dataset:
    """The data set called `name`, all of it in memory; `progress` shows a bar while it is fetched.

    Raises DataMissingError if there is no such data set or it cannot be had, DataDamagedError if a file is damaged.
    """
    if name == "digits":
        return digits.load(progress=progress)
    if name == "har":
        return har.load(progress=progress)
    if name in NAMES:
        return cifar.load(name, progress=progress)
    raise DataMissingError(f"no data set is called {name!r}; there are {', '.join(NAMES)}")

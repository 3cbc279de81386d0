"""What a Python program calls: `load` and `evaluate`, by name or with what it has in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hybrid_model import bundle as bundle_file
from hybrid_model import data as datasets
from hybrid_model.bundle import Bundle
from hybrid_model.data import Dataset, Split

if TYPE_CHECKING:
    from hybrid_model.evaluation import Evaluation

#: Samples, and the true class index of each.
Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.integer[Any]]]


def load(source: str | Path, *, cloud: bool = True) -> Bundle:
    """A bundle: one that is shipped by its name (`digits`, `cifar10`, ...), any other by its path.

    Without `cloud` the tensors of the cloud half are checked and not kept, and the bundle serves `EdgeEngine` alone.
    Raises BundleError where there is no such bundle, or where it is damaged.
    """
    return bundle_file.load(bundle_file.resolve(source), cloud=cloud)


def evaluate(source: Bundle | str | Path, data: Dataset | Arrays | str, *, split: str = "test") -> Evaluation:
    """The figures of a network on labelled samples, as `dewpoint evaluate` reports them.

    Args:
        source: A bundle that was loaded with its cloud half, or what `load` takes.
        data: A data set or the name of one, of which `split` is taken; or arrays x (N, H, W, C) of the bundle's input
            shape and type with y (N,), N at least 1 class indices. What the figures compare with a test split of a
            known name is then left out of them.
        split: `train`, `tuning`, `calibration` or `test`; of arrays there is only one.

    Raises BundleError as `load` does, DataError where there is no such data set, EvaluationError where bundle and data
    do not belong together, and ValueError for arrays that cannot be samples of this bundle with their classes.
    """
    from hybrid_model import evaluation

    bundle = source if isinstance(source, Bundle) else load(source)
    if isinstance(data, str):
        data = datasets.load(data)
    elif isinstance(data, tuple):
        data, split = _named(bundle, *data), "test"
    return evaluation.evaluate(bundle, data, split=split)


def _named(bundle: Bundle, x: npt.NDArray[Any], y: npt.NDArray[np.integer[Any]]) -> Dataset:
    """Arrays as the test split of a data set that has no other samples."""
    classes, taken = tuple(bundle.manifest.classes), bundle.manifest.input
    labels = np.asarray(y)
    if x.ndim != 4 or not len(x) or labels.shape != (len(x),):
        raise ValueError(f"samples have the shape (N, H, W, C) and labels (N,), not {x.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"labels are indices of the {len(classes)} classes of {bundle.manifest.name}, from 0")
    given = Split(x=x, y=labels.astype(np.int64))
    nothing = given.take(np.empty(0, dtype=np.int64))
    kind: Literal["image", "sensor"] = "image" if taken.kind == "image" else "sensor"
    return Dataset("arrays", classes, kind, train=nothing, tuning=nothing, calibration=nothing, test=given)

"""Mistakes of which the network was surest: where labels are wrong, they show here first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybrid_model.data import Dataset
from hybrid_model.data.own import OwnData
from hybrid_model.evaluation import Answers

__all__ = ["Mistake", "final_confidence", "surest_mistakes"]

SHOWN: Final = 20


@dataclass(frozen=True)
class Mistake:
    """A sample of a split whose final label is not its class: `row` in the split; `source` as the data have it.

    `given` and `answered` are class indices; `exit_index` is -1 where the cloud half answered; `in_domain` is None
    where the bundle has no guard.
    """

    split: str
    row: int
    source: str
    given: int
    answered: int
    confidence: float
    exit_index: int
    in_domain: bool | None


def final_confidence(said: Answers) -> NDArray[np.float32]:
    """Confidence (N,) of the final labels: the exit's where a sample left, else the cloud's."""
    return np.where(said.exit_index >= 0, said.edge_confidence, said.cloud_confidence)


def surest_mistakes(own: OwnData, said: Mapping[str, Answers], shown: int = SHOWN) -> list[Mistake]:
    """The wrong final labels of highest confidence over all splits in `said`, the surest first.

    Of windows that share readings only the surest is taken.
    """
    found: list[Mistake] = []
    for split, answers in said.items():
        labels, confidence = own.dataset.split(split).y, final_confidence(answers)
        wrong = np.flatnonzero(answers.hybrid_class != labels)
        found += [
            Mistake(
                split=split,
                row=int(row),
                source=own.sources[split][row],
                given=int(labels[row]),
                answered=int(answers.hybrid_class[row]),
                confidence=float(confidence[row]),
                exit_index=int(answers.exit_index[row]),
                in_domain=None if answers.in_domain is None else bool(answers.in_domain[row]),
            )
            for row in wrong
        ]
    taken: list[Mistake] = []
    for mistake in sorted(found, key=lambda one: -one.confidence):
        if len(taken) == shown:
            break
        if not any(_share_readings(own.dataset, mistake, other) for other in taken):
            taken.append(mistake)
    return taken


def _share_readings(dataset: Dataset, one: Mistake, other: Mistake) -> bool:
    part = dataset.split(one.split)
    if one.split != other.split or part.segment is None or dataset.hop is None:
        return False
    return bool(
        part.segment[one.row] == part.segment[other.row] and abs(one.row - other.row) * dataset.hop < part.x.shape[2]
    )

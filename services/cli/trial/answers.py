"""Answers to samples, as the pipeline gives them: the edge half's where it is sure, else the cloud half's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hybrid_model import bundle as bundle_file
from hybrid_model.errors import DewpointError
from hybrid_model.runtime import EdgeEngine
from services.cli.trial.files import TrialSample

if TYPE_CHECKING:
    from hybrid_model.cloud_half import CloudHalf

__all__ = ["Halves", "TrialAnswer"]

_BATCH: Final = 64


@dataclass(frozen=True)
class TrialAnswer:
    """The answer to one sample. `exit` is None where it rose; `in_domain` is None where the bundle has no guard.

    `provisional`: it would rise, and there is no cloud half here; the answer is the edge's.
    """

    source: str
    class_index: int
    label: str
    confidence: float
    exit: int | None
    in_domain: bool | None
    provisional: bool = False

    def to_json(self) -> dict[str, Any]:
        """`{source, class, label, confidence, exit}`, and `provisional` where it is."""
        told: dict[str, Any] = {
            "source": self.source,
            "class": self.class_index,
            "label": self.label,
            "confidence": self.confidence,
            "exit": self.exit,
        }
        return told | ({"provisional": True} if self.provisional else {})


class Halves:
    """Both halves of a bundle; without torch the edge half alone.

    Raises BundleError for a bundle that cannot be loaded, DewpointError where no kernel runs it.
    """

    def __init__(self, path: Path) -> None:
        self.has_cloud = find_spec("torch") is not None
        self._bundle = bundle_file.load(path, cloud=self.has_cloud)
        self.manifest = self._bundle.manifest
        self._guarded = any(one.guard is not None for one in self.manifest.exits)
        try:
            self._engine = EdgeEngine(self._bundle)
        except ValueError as error:
            raise DewpointError(f"edge engine: {error}") from None

    def answer(self, samples: Sequence[TrialSample]) -> Iterator[TrialAnswer]:
        """The answers, in the order of the samples."""
        for start in range(0, len(samples), _BATCH):
            yield from self._answer(samples[start : start + _BATCH])

    def _answer(self, samples: Sequence[TrialSample]) -> Iterator[TrialAnswer]:
        said = self._engine.infer(np.stack([one.array for one in samples]))
        classes, confidence = said.class_index.astype(np.int64), said.confidence.copy()
        rising = np.flatnonzero(said.exit_index < 0)
        if len(rising) and self.has_cloud:
            features = [said.features[row] for row in rising]
            classes[rising], confidence[rising] = self._cloud.infer([one for one in features if one is not None])
        for row, one in enumerate(samples):
            left_at = int(said.exit_index[row])
            yield TrialAnswer(
                source=one.source,
                class_index=int(classes[row]),
                label=self.manifest.classes[int(classes[row])],
                confidence=float(confidence[row]),
                exit=left_at if left_at >= 0 else None,
                in_domain=bool(said.in_domain[row]) if self._guarded else None,
                provisional=left_at < 0 and not self.has_cloud,
            )

    @cached_property
    def _cloud(self) -> CloudHalf:
        """Built when the first sample rises: torch takes seconds to load."""
        from hybrid_model.cloud_half import CloudHalf

        return CloudHalf(self._bundle)

"""Which of somebody's pictures may be scored: those that a bundle was never trained on."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_model.bundle import Manifest
from hybrid_model.bundle.manifest import SplitFiles
from hybrid_model.data import Dataset, Split
from hybrid_model.data.own import LeftOut
from hybrid_model.data.pictures import Picture, Survey, decode
from hybrid_model.evaluation.answers import EvaluationError

__all__ = ["ScorablePictures", "digests_of", "scorable_pictures"]

_DIGEST_BYTES = 8


@dataclass(frozen=True, eq=False)
class ScorablePictures:
    """The pictures of a folder that are scored, and why the others are not.

    held_out: those of the bundle's test split, None where none of them is there; new: those that the bundle has never
    seen. Both are data sets of which only the test split holds anything. not_scored: how many files, by reason.
    """

    held_out: Dataset | None
    new: Dataset | None
    not_scored: Mapping[str, int]
    left_out: tuple[LeftOut, ...]

    @property
    def main(self) -> Dataset:
        """What the bundle is judged by: the held-out pictures, else the new ones."""
        chosen = self.held_out or self.new
        assert chosen is not None
        return chosen


def scorable_pictures(found: Survey, manifest: Manifest, *, progress: bool = True) -> ScorablePictures:
    """The pictures of a survey that may be scored, decoded to the bundle's input size.

    Raises EvaluationError for a bundle that takes no RGB pictures, or where nothing is left to score.
    """
    height, width, channels = manifest.input.shape
    if manifest.input.kind == "sensor" or channels != 3 or manifest.input.dtype != "uint8":
        raise EvaluationError(f"bundle {manifest.name} takes no RGB pictures; name one that was trained on pictures")
    seen = digests_of(manifest.split_files)
    chosen: dict[str, list[Picture]] = {"held_out": [], "new": []}
    reasons: Counter[str] = Counter()
    for one in found.pictures:
        split = next((name for name, digests in seen.items() if one.digest in digests), None)
        if one.label not in manifest.classes:
            reasons[f"class {one.label} is none of the bundle's"] += 1
        elif split in (None, "test"):
            chosen["new" if split is None else "held_out"].append(one)
        else:
            reasons[f"the bundle was made with it ({split})"] += 1
    reasons.update(_short(one.reason) for one in found.left_out)
    if not any(chosen.values()):
        told = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(3))
        raise EvaluationError(
            f"{found.name}: nothing is left to score ({told}); add pictures that {manifest.name} was not trained on"
        )
    splits, _, _, damaged = decode(chosen, manifest.classes, (height, width), progress=progress)
    reasons.update(_short(one.reason) for one in damaged)
    sets = {name: _only_test(found.name, manifest.classes, split) for name, split in splits.items()}
    if not any(sets.values()):
        raise EvaluationError(f"{found.name}: none of its pictures decodes, so nothing is left to score")
    return ScorablePictures(sets["held_out"], sets["new"], dict(reasons), (*found.left_out, *damaged))


def digests_of(files: SplitFiles | None) -> dict[str, frozenset[bytes]]:
    """By split the digests that a manifest keeps; none of a bundle that was not trained on somebody's own files."""
    if files is None:
        return {}
    raw = {name: base64.b64decode(text) for name, text in files.digests.items()}
    return {
        name: frozenset(some[at : at + _DIGEST_BYTES] for at in range(0, len(some), _DIGEST_BYTES))
        for name, some in raw.items()
    }


def _only_test(name: str, classes: Sequence[str], split: Split) -> Dataset | None:
    if not len(split):
        return None
    none = split.take(np.zeros(len(split), dtype=np.bool_))
    return Dataset(
        name=name, classes=tuple(classes), kind="image", train=none, tuning=none, calibration=none, test=split
    )


def _short(reason: str) -> str:
    """A reason without what differs from file to file."""
    return reason.partition(" (")[0] if not reason.startswith("the same file as") else "a file that is there twice"

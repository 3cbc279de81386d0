"""Which picture falls in which split: by its content, so that the same file always falls in the same one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from hybrid_model.data.dataset import SPLITS
from hybrid_model.data.pictures.errors import PictureDataError
from hybrid_model.data.pictures.listing import Part
from hybrid_model.data.pictures.survey import Picture, Survey

__all__ = ["divide"]

#: Shares of training, tuning, calibration and test, for each part, by the parts that somebody else has made.
_SHARES: Final[dict[frozenset[Part | None], dict[Part | None, tuple[float, float, float, float]]]] = {
    frozenset({None}): {None: (0.65, 0.1, 0.1, 0.15)},
    frozenset({"train"}): {"train": (0.65, 0.1, 0.1, 0.15)},
    frozenset({"train", "test"}): {"train": (0.8, 0.1, 0.1, 0.0), "test": (0.0, 0.0, 0.0, 1.0)},
    frozenset({"train", "val"}): {"train": (1.0, 0.0, 0.0, 0.0), "val": (0.0, 0.3, 0.3, 0.4)},
    frozenset({"train", "val", "test"}): {
        "train": (1.0, 0.0, 0.0, 0.0),
        "val": (0.0, 0.5, 0.5, 0.0),
        "test": (0.0, 0.0, 0.0, 1.0),
    },
}
#: A class of which chance gives a split less than this of its share is divided by the order of its digests instead.
_LEAST_OF_SHARE: Final = 0.4


def divide(found: Survey) -> dict[str, tuple[Picture, ...]]:
    """The pictures of each split of `SPLITS`, by source. Every class is divided alike.

    A picture's digest says where it falls. Only in classes of few pictures does the order of the digests decide, which
    keeps their shares; there a picture may change its split when others are added. Raises PictureDataError where a
    split has none of a class.
    """
    parts = frozenset(one.part for one in found.pictures)
    shares = _SHARES.get(parts)
    if shares is None:
        raise PictureDataError(f"{found.name}: has pictures to test with, and none to train on; add a folder train")
    chosen: dict[str, list[Picture]] = {split: [] for split in SPLITS}
    groups: dict[tuple[str, Part | None], list[Picture]] = defaultdict(list)
    for one in found.pictures:
        groups[one.label, one.part].append(one)
    for (_, part), members in groups.items():
        for split, some in _divided(members, shares[part]).items():
            chosen[split] += some
    for split in SPLITS:
        lacking = set(found.classes) - {one.label for one in chosen[split]}
        if lacking:
            raise PictureDataError(
                f"{found.name}: no picture of {min(lacking)} is left for {split}; add some, or take the class away"
            )
    return {split: tuple(sorted(some, key=lambda one: one.source)) for split, some in chosen.items()}


def _divided(members: Sequence[Picture], shares: Sequence[float]) -> Mapping[str, list[Picture]]:
    ordered = sorted(members, key=lambda one: one.digest)
    ends = list(accumulate(shares))
    by_content = _cut([int.from_bytes(one.digest) / 2**64 for one in ordered], ordered, ends)
    wanted = {split: share * len(ordered) for split, share in zip(SPLITS, shares, strict=True)}
    if all(len(by_content[split]) >= _LEAST_OF_SHARE * count for split, count in wanted.items()):
        return by_content
    return _cut([(rank + 0.5) / len(ordered) for rank in range(len(ordered))], ordered, ends)


def _cut(places: Sequence[float], ordered: Sequence[Picture], ends: Sequence[float]) -> dict[str, list[Picture]]:
    """Where places in 0..1 lie between the ends of the shares."""
    chosen: dict[str, list[Picture]] = {split: [] for split in SPLITS}
    for place, one in zip(places, ordered, strict=True):
        number = next((n for n, end in enumerate(ends) if place < end), len(ends) - 1)
        chosen[SPLITS[number]].append(one)
    return chosen

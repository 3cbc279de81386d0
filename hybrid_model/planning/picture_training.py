"""The training on somebody's own pictures, once they are decoded and their network is chosen."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hybrid_model.calibration import OperatingPoint
from hybrid_model.data.own import OwnData
from hybrid_model.planning.choice import Choice
from hybrid_model.planning.mirror import mirror_test
from hybrid_model.planning.picture_network import NO_TRUNK, SIZE_MAX, PictureNetwork
from hybrid_model.planning.plan import Plan
from hybrid_model.planning.wishes import PictureWishes
from hybrid_model.training import Recipe, recipe_names
from hybrid_model.training.recipe import Losses, Schedule

__all__ = ["plan_pictures"]

#: The greatest class over the least, from which classes are weighted, and how far weights go.
_UNEVEN, _WEIGHT_MAX = 1.5, 4.0
#: Of the minutes, the part in which steps are made: the last of them, and the last look at the tuning split, take some.
_LEARNING_SHARE: Final = 0.96
#: Of tuning samples, how many make an accuracy budget more than chance.
_TUNING_FOR_BUDGET: Final = 200


def plan_pictures(own: OwnData, network: PictureNetwork, wishes: PictureWishes) -> Plan:
    """The recipe for pictures that are decoded, with all that was chosen for network and training."""
    dataset = own.dataset
    counts = np.bincount(dataset.train.y, minlength=len(dataset.classes))
    mirror, mirror_choice = _mirror(own, wishes)
    weights, weight_choice = _class_weights(counts)
    trunk = network.start != NO_TRUNK
    batch = _batch_size(len(dataset.train))
    passes = 60 if trunk or len(dataset.train) > 5000 else 120
    schedule = Schedule(
        epochs=passes,
        minutes=round(_LEARNING_SHARE * wishes.minutes, 3),
        epochs_max=passes,
        batch_size=batch,
        optimizer="muon",
        lr=0.01 if trunk else 0.03,
        momentum=0.6,
        adamw_lr=3e-3,
        weight_decay=1e-2,
        decay="linear",
        warmup_share=0.05,
        binarize_weights_after=0.0 if trunk or network.arguments["edge_bits"] != 1 else 0.45,
        frozen_share=0.3 if trunk else 0.0,
    )
    point, point_choice = _operating_point(len(dataset.tuning))
    moved = max(2, network.size // 12)
    recipe = Recipe(
        name=dataset.name if dataset.name not in recipe_names() else f"{dataset.name}-own",
        summary=f"{len(dataset.classes)} classes of somebody's own pictures.",
        dataset=f"{dataset.name} {dataset.fingerprint('train')}",
        family="wide_edge",
        architecture=network.arguments,
        augmentation="camera" if network.size <= SIZE_MAX else "reflected_crop",
        translate_px=moved,
        mirror=mirror,
        seed=wishes.seed,
        start="trunk" if trunk else "random",
        trunk=network.start if trunk else "",
        schedule=schedule,
        losses=Losses(exit_weights=(0.7,), distillation=0.5, class_weights=weights),
        operating_point=point,
    )
    spoilt = "and half of them spoilt as cameras do" if recipe.augmentation == "camera" else "larger than 96 pixels"
    choices = (
        *network.choices,
        Choice(
            "minutes",
            f"{wishes.minutes:g}",
            f"at most, and {passes} passes at most over {len(dataset.train):,} pictures",
            given=wishes.minutes_given,
        ),
        Choice("batch", f"{batch}", f"small enough for {len(dataset.train) // batch:,} steps in a pass"),
        Choice("changes", recipe.augmentation, f"moved by up to {moved} pixels, {spoilt}"),
        mirror_choice,
        weight_choice,
        point_choice,
    )
    return Plan(recipe=recipe, choices=choices)


def _mirror(own: OwnData, wishes: PictureWishes) -> tuple[bool, Choice]:
    if wishes.mirror is not None:
        return wishes.mirror, Choice("mirror", "yes" if wishes.mirror else "no", "as asked for", given=True)
    asked = mirror_test(own.dataset.train)
    if asked.as_they_are is None or asked.mirrored is None:
        return False, Choice("mirror", "no", f"{asked.samples} pictures do not tell whether it does harm")
    told = f"nearest neighbours tell {asked.mirrored:.0%} of pictures mirrored, {asked.as_they_are:.0%} as they are"
    return asked.harmless, Choice("mirror", "yes" if asked.harmless else "no", told)


def _class_weights(counts: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[tuple[float, ...], Choice]:
    least, greatest = int(counts.min()), int(counts.max())
    if greatest <= _UNEVEN * least:
        return (), Choice("class weights", "none", f"classes are even: {least:,} to {greatest:,} pictures to train on")
    weights = np.clip(counts.mean() / counts, 1 / _WEIGHT_MAX, _WEIGHT_MAX)
    rounded = tuple(round(float(weight), 3) for weight in weights)
    why = f"classes are uneven: {least:,} to {greatest:,} pictures to train on"
    return rounded, Choice("class weights", f"{min(rounded):g} to {max(rounded):g}", why)


def _batch_size(samples: int) -> int:
    for least, batch in ((20_000, 128), (4_000, 64), (600, 32)):
        if samples >= least:
            return batch
    return min(16, samples)


def _operating_point(tuning: int) -> tuple[OperatingPoint, Choice]:
    if tuning >= _TUNING_FOR_BUDGET:
        why = f"{tuning} tuning pictures tell what the edge may keep"
        return OperatingPoint(by="accuracy_budget", accuracy_budget=0.01), Choice(
            "exit", "1 point below the cloud half", why
        )
    why = f"{tuning} tuning pictures are too few to tell an accuracy by"
    return OperatingPoint(by="edge_share", edge_share=0.65), Choice("exit", "65 % leave on the edge", why)

"""A recipe for somebody's own readings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.calibration import OperatingPoint
from hybrid_model.data import Dataset
from hybrid_model.data.readings import OwnReadings
from hybrid_model.data.readings.length import stem_stride
from hybrid_model.errors import DewpointError
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.summary import layer_table
from hybrid_model.planning.choice import Choice
from hybrid_model.planning.plan import Plan
from hybrid_model.training import Recipe
from hybrid_model.training.recipe import Losses, Schedule

__all__ = ["PlanningError", "edge_bytes", "in_triples", "plan_readings"]

#: Widths of the edge's three stages, from the widest on; each has two units.
_WIDTHS = ((64, 128, 256), (32, 64, 128), (16, 32, 64), (8, 16, 32))
#: With fewer windows a network half as wide learns them by heart all the same, and is over sooner.
_WIDE_FROM = 1000
_BATCH = 64
#: What training takes at least, where there is the time: steps of the optimizer, and passes over the windows.
_STEPS, _EPOCHS = 1500, (16, 200)
#: From so many windows of the largest class for each of the smallest on, classes are weighted.
_UNEVEN = 2.0
#: Of the tuning windows, what may be wrong since they leave at the edge.
_ACCURACY_BUDGET = 0.005
_TRIPLE = re.compile(r"^(?P<stem>.*?)[ _.\-]?(?P<axis>[xyzXYZ])$")


class PlanningError(DewpointError, ValueError):
    """A wish that no network fulfils; the message says what would be possible."""


def plan_readings(
    own: OwnReadings, *, minutes: float = 10.0, edge_kb: float | None = None, triples: bool | None = None, seed: int = 0
) -> Plan:
    """A recipe for `own`, over after `minutes` on any machine, the full-precision twin included.

    `edge_kb`: what the weights of the edge half may take at most, in units of 1,000 bytes. `triples`: whether channels
    are x, y and z of one sensor after the other, so that training may turn it; None: as their names say. Raises
    PlanningError where no network is as small as that, or channels are no triples.
    """
    dataset, form = own.dataset, own.form
    choices = [
        Choice(
            "window", f"{form.length} readings, {form.length / form.rate_hz:.4g} s", f"one every {form.hop} readings"
        )
    ]
    augmentation, choice = _augmentation(dataset.channels or (), triples)
    choices.append(choice)
    base, net_choices = _architecture(dataset, form.length)
    choices += net_choices
    schedule, schedule_choices = _schedule(len(dataset.train), minutes)
    losses, loss_choices = _losses(dataset.train.y, len(dataset.classes))
    candidates = _WIDTHS if len(dataset.train) >= _WIDE_FROM else _WIDTHS[1:]
    # Its data are part of what a checkpoint belongs to: other readings begin a run of their own.
    fingerprint = dataset.fingerprint("train")
    sizes = []
    for widths in candidates:
        recipe = Recipe(
            name=f"own-{dataset.name}",
            summary=f"Own readings: windows of {form.length} readings of {len(form.channels)} channels.",
            dataset=f"readings {fingerprint}",
            family="sensor",
            architecture=base | _widths(widths),
            augmentation=augmentation,
            seed=seed,
            start="twin",
            schedule=schedule,
            losses=losses,
            operating_point=OperatingPoint(by="accuracy_budget", accuracy_budget=_ACCURACY_BUDGET),
        )
        sizes.append(edge_bytes(recipe))
        if edge_kb is None or sizes[-1] <= 1000 * edge_kb:
            break
    else:
        raise PlanningError(
            f"no edge half fits into {edge_kb:g} kB; the smallest takes {sizes[-1] / 1000:.1f} kB: allow so much with "
            "--edge-kb, or take a shorter --window-s or fewer --channels"
        )
    choices.append(_width_choice(widths, sizes[-1], len(dataset.train), edge_kb))
    choices += [*schedule_choices, *loss_choices]
    choices.append(Choice("working point", "half a point lost to the cloud half at most", "on the tuning windows"))
    return Plan(recipe, tuple(choices))


def edge_bytes(recipe: Recipe) -> int:
    """Bytes of the weights of the edge half, at the bits that each has."""
    rows = layer_table(HybridNetwork(recipe.build()))
    total = sum(row["params"] * row["weight_bits"] for row in rows if row["stage"] != "cloud")
    return math.ceil(int(total) / 8)


def in_triples(channels: Sequence[str]) -> bool:
    """Whether names say that channels are x, y, z of one sensor after the other: acc_x, acc_y, acc_z, gyro_x, ..."""
    found = [_TRIPLE.match(name) for name in channels]
    if not channels or len(channels) % 3 or any(one is None for one in found):
        return False
    parts = [(one["stem"], one["axis"].lower()) for one in found if one is not None]
    return all(
        [axis for _, axis in parts[at : at + 3]] == ["x", "y", "z"]
        and len({stem for stem, _ in parts[at : at + 3]}) == 1
        for at in range(0, len(parts), 3)
    )


@dataclass(frozen=True)
class _Scale:
    zero_point: tuple[float, ...]
    scale: tuple[float, ...]


def _scale(x: npt.NDArray[np.float32]) -> _Scale:
    """Mean and 1 / standard deviation of each channel of the training windows (N, 1, length, C); 1 for a constant."""
    mean = x.mean(axis=(0, 1, 2), dtype=np.float64)
    square = np.zeros_like(mean)
    for start in range(0, len(x), 1024):  # without a second copy of all windows
        square += ((x[start : start + 1024] - mean) ** 2).sum(axis=(0, 1, 2))
    deviation = np.sqrt(square / (x.shape[0] * x.shape[2]))
    constant = deviation <= 1e-7 * np.maximum(np.abs(mean), 1e-30)
    scale = np.where(constant, 1.0, 1.0 / np.where(constant, 1.0, deviation))
    return _Scale(tuple(float(f"{m:.6g}") for m in mean), tuple(float(f"{s:.6g}") for s in scale))


def _architecture(dataset: Dataset, length: int) -> tuple[dict[str, Any], list[Choice]]:
    channels, classes = dataset.train.x.shape[3], len(dataset.classes)
    stride = stem_stride(length)
    kernel = 2 * stride + 1 if stride > 1 else 5
    scale = _scale(dataset.train.x)
    positions = length // stride // 4
    arguments: dict[str, Any] = {
        "length": length,
        "channels": channels,
        "classes": classes,
        "stem_kernel": kernel,
        "stem_stride": stride,
        "edge_bits": 2,
        "shortcut": "repeat",
        "cut_channels": 32,
        "cut_bits": 2,
        "zero_point": scale.zero_point,
        "scale": scale.scale,
        "dropout": 0.2,
    }
    choices = [
        Choice("channels", str(channels), "each less its mean and over its deviation in the training windows"),
        Choice(
            "first convolution", f"{kernel} readings, every {stride}", f"leaves {length // stride} places of {length}"
        ),
        Choice("edge bits", "2", "weights and activations; at one, without a teacher, UCI HAR lost 1.7 and 4.3 points"),
        Choice(
            "cut", f"{positions * 32 * 2 // 8} bytes", f"{positions} places of 32 channels at 2 bits; a window of "
            f"16-bit integers has {2 * length * channels}"
        ),
    ]  # fmt: skip
    return arguments, choices


def _widths(widths: tuple[int, int, int]) -> dict[str, Any]:
    return {
        "stem_channels": widths[0],
        "edge_widths": tuple((width, 2) for width in widths),
        "cloud_widths": (max(widths[1], 64),),
    }


def _width_choice(widths: tuple[int, int, int], size: int, windows: int, edge_kb: float | None) -> Choice:
    reason = f"{size / 1000:.1f} kB of weights at the edge"
    if edge_kb is not None:
        return Choice(
            "widths", ", ".join(map(str, widths)), f"{reason}, of {edge_kb:g} kB that were allowed", given=True
        )
    if windows < _WIDE_FROM:
        reason += f"; narrow, since there are fewer than {_WIDE_FROM:,} training windows"
    return Choice("widths", ", ".join(map(str, widths)), reason)


def _augmentation(channels: Sequence[str], triples: bool | None) -> tuple[Any, Choice]:
    if triples and len(channels) % 3:
        raise PlanningError(
            f"{len(channels)} channels are no triples x, y, z: leave --triples out, or choose --channels"
        )
    given = triples is not None
    if triples or (triples is None and in_triples(channels)):
        why = "asked for" if given else "names of channels end in x, y, z; --no-triples for a sensor that is screwed on"
        return "inertial", Choice("augmentation", "gain, noise, and the sensor turned by some 15 degrees", why, given)
    why = "asked for" if given else "channels are not named as x, y and z of a sensor"
    return "sensor", Choice("augmentation", "gain and noise", why, given)


def _schedule(windows: int, minutes: float) -> tuple[Schedule, list[Choice]]:
    batch = _BATCH
    while batch > 8 and windows < 8 * batch:
        batch //= 2
    steps = windows // batch
    epochs = min(max(math.ceil(_STEPS / steps), _EPOCHS[0]), _EPOCHS[1])
    schedule = Schedule(
        epochs=epochs,
        epochs_max=epochs,
        batch_size=batch,
        optimizer="muon",
        lr=0.06 * math.sqrt(batch / _BATCH),
        momentum=0.6,
        adamw_lr=3e-3 * math.sqrt(batch / _BATCH),
        weight_decay=1e-2,
        warmup_share=0.15,
    )
    few = "" if batch == _BATCH else f"small, since there are {windows:,} training windows"
    return schedule, [
        Choice("batch", str(batch), few or "windows a step"),
        Choice(
            "epochs", f"{epochs} at most", f"{epochs * steps:,} steps each for the full-precision twin, which teaches, "
            f"and the network; fewer where {minutes:g} minutes do not suffice"
        ),
    ]  # fmt: skip


def _losses(y: npt.NDArray[np.int64], classes: int) -> tuple[Losses, list[Choice]]:
    counts = np.bincount(y, minlength=classes)
    losses = Losses(exit_weights=(0.5,), distillation=1.0, teacher="twin", teacher_share=1.0, label_smoothing=0.05)
    spread = float(counts.max() / max(counts.min(), 1))
    if spread < _UNEVEN:
        return losses, [Choice("class weights", "none", f"the largest class is {spread:.1f} times the smallest")]
    weights = np.sqrt(counts.mean() / np.maximum(counts, 1))
    weights /= (weights * counts).sum() / counts.sum()
    losses = losses.model_copy(update={"class_weights": tuple(float(f"{w:.4g}") for w in weights)})
    return losses, [
        Choice(
            "class weights", f"{weights.min():.2g} to {weights.max():.2g}", f"the largest class is {spread:.1f} times "
            "the smallest: the rarer a class, the more a window of it counts, by the square root"
        )
    ]  # fmt: skip

"""The network for somebody's own pictures, by their sizes and numbers, and what it starts from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from hybrid_model import bundle as bundle_file
from hybrid_model.cut import packed_bytes
from hybrid_model.data.pictures import Survey, decoded_bytes, free_bytes
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.backbones import wide_edge
from hybrid_model.planning.choice import Choice
from hybrid_model.planning.edge_budget import edge_energy_j
from hybrid_model.planning.wishes import PictureWishes, PlanError

__all__ = ["NO_TRUNK", "SIZES", "SIZE_MAX", "WIDTHS", "PictureNetwork", "choose_network"]

#: Sides of the input in pixels, and channels of the first edge units, that are chosen from; the greatest are dearest.
SIZES: Final = (32, 48, 64, 96, 128, 160, 224)
WIDTHS: Final = (16, 24, 32, 48, 64, 96, 128)
#: Chosen without being asked for at most.
SIZE_MAX, _TRUNK_SIZE_MAX = 96, 64
#: Beyond this a stem's whole-number sums could be too great to be exact.
_TRUNK_SIZE_POSSIBLE: Final = 128
_WIDTH, _WIDTH_WITH_TIME = 64, 128
#: Minutes from which a training passes often enough over pictures for the wider edge.
_MINUTES_FOR_WIDTH: Final = 120.0
#: Below so many pictures of the middle class to train on, a trunk knows more than they do.
FEW_PER_CLASS: Final = 500
_TRUNK: Final = "cifar100"
NO_TRUNK: Final = "none"
_CLASSES_FOR_WIDE_CUT: Final = 20


@dataclass(frozen=True)
class PictureNetwork:
    """The network that was chosen: its input's side in pixels, the arguments of its family, what it starts from."""

    size: int
    arguments: dict[str, Any]
    start: str
    choices: tuple[Choice, ...]

    def build(self) -> Architecture:
        """The architecture. Raises ValueError where the arguments do not go together."""
        return wide_edge(**self.arguments)


def choose_network(found: Survey, wishes: PictureWishes, *, on_gpu: bool = False) -> PictureNetwork:
    """The network for pictures of these sizes and numbers. `on_gpu`: whether a GPU trains it.

    Raises PlanError for wishes that do not go together, or a budget that no network keeps.
    """
    _check(wishes)
    start, why_start = _start(found, wishes)
    sizes, why_size = _sizes(found, wishes, trunk=start != NO_TRUNK)
    if start != NO_TRUNK:
        network = _with_trunk(found, start, sizes[0], wishes)
        if network is not None:
            said = (_size_choice(network.size, why_size, wishes), _start_choice(start, why_start, wishes))
            return _told(network, said, wishes)
        why_start = f"the trunk {start} costs more than {wishes.edge_budget.text if wishes.edge_budget else ''}"
        start = NO_TRUNK
        sizes, why_size = _sizes(found, wishes, trunk=False)
    widths, why_width = _widths(wishes, on_gpu=on_gpu)
    network, fitted = _fitting(found, sizes, widths, wishes)
    if fitted:
        why_width = why_size = fitted
    width = network.arguments["edge_widths"][0][0]
    rows = (
        _size_choice(network.size, why_size, wishes),
        _start_choice(start, why_start, wishes),
        Choice("width", f"{width}", why_width, given=wishes.width is not None),
    )
    return _told(network, rows, wishes)


def _check(wishes: PictureWishes) -> None:
    if wishes.size is not None and wishes.size not in SIZES:
        raise PlanError(f"--size {wishes.size}: take one of {', '.join(map(str, SIZES))}")
    if wishes.width is not None and (wishes.width < 8 or wishes.width % 8):
        raise PlanError(f"--width {wishes.width}: take a multiple of 8")
    if wishes.edge_bits not in (None, 1, 2, 4, 8):
        raise PlanError(f"--edge-bits {wishes.edge_bits}: take 1, 2, 4 or 8")
    if wishes.start not in (None, NO_TRUNK) and (wishes.width is not None or wishes.edge_bits is not None):
        raise PlanError(f"--start {wishes.start} brings its own width and bits; leave out --width and --edge-bits")


def _start(found: Survey, wishes: PictureWishes) -> tuple[str, str]:
    if wishes.start is not None:
        return wishes.start, "as asked for"
    middle = int(np.median(list(found.per_class_to_learn_from.values())))
    if middle >= FEW_PER_CLASS:
        return NO_TRUNK, f"{middle:,} pictures in the middle class are enough to learn from scratch"
    if wishes.width is not None or wishes.edge_bits is not None:
        return NO_TRUNK, "a trunk would bring its own width and bits"
    if wishes.size is not None and wishes.size > _TRUNK_SIZE_POSSIBLE:
        return NO_TRUNK, f"trunks take pictures of up to {_TRUNK_SIZE_POSSIBLE} pixels"
    return _TRUNK, f"{middle:,} pictures in the middle class are fewer than {FEW_PER_CLASS}: what it has seen helps"


def _sizes(found: Survey, wishes: PictureWishes, *, trunk: bool) -> tuple[tuple[int, ...], str]:
    """Sizes to try, the best first."""
    if wishes.size is not None:
        if trunk and wishes.size > _TRUNK_SIZE_POSSIBLE:
            raise PlanError(f"--size {wishes.size}: a trunk takes up to {_TRUNK_SIZE_POSSIBLE}, or give --start none")
        return (wishes.size,), "as asked for"
    side, most = found.median_side, _TRUNK_SIZE_MAX if trunk else SIZE_MAX
    fit = [size for size in SIZES if decoded_bytes(len(found.pictures), (size, size)) <= free_bytes()]
    possible = [size for size in SIZES if size <= max(side, SIZES[0]) and size <= most]
    chosen = [size for size in possible if size in fit] or [SIZES[0]]
    why = f"the shorter sides of the pictures have a median of {side} pixels"
    if side > most:
        why += f"; more than {most} only by --size"
    if chosen[-1] < possible[-1]:
        why += f", and at {possible[-1]} they would not fit in memory"
    return tuple(reversed(chosen)), why


def _widths(wishes: PictureWishes, *, on_gpu: bool) -> tuple[tuple[int, ...], str]:
    if wishes.width is not None:
        return (wishes.width,), "as asked for"
    if on_gpu or wishes.minutes >= _MINUTES_FOR_WIDTH:
        where = "a GPU trains it" if on_gpu else f"{wishes.minutes:g} minutes are enough for it"
        return tuple(reversed([w for w in WIDTHS if w <= _WIDTH_WITH_TIME])), where
    why = f"a processor learns it in minutes; {_WIDTH_WITH_TIME} from {_MINUTES_FOR_WIDTH:g} minutes on or with a GPU"
    return tuple(reversed([w for w in WIDTHS if w <= _WIDTH])), why


def _fitting(
    found: Survey, sizes: tuple[int, ...], widths: tuple[int, ...], wishes: PictureWishes
) -> tuple[PictureNetwork, str]:
    """The first that keeps the budget, narrower before smaller; and why it is not the first of all."""
    budget, least = wishes.edge_budget, float("inf")
    for size in sizes:
        for width in widths:
            network = PictureNetwork(size, _arguments(found, size, width, wishes.edge_bits or 1), NO_TRUNK, ())
            if budget is None:
                return network, ""
            cost = budget.cost(network.build())
            if budget.allows(cost):
                first = (size, width) == (sizes[0], widths[0])
                return network, "" if first else f"the greatest that keeps {budget.text}: {budget.told(cost)}"
            least = min(least, cost)
    assert budget is not None
    raise PlanError(
        f"--edge-budget {budget.text}: the smallest edge that was tried takes {budget.told(least)}; allow that"
    )


def _arguments(found: Survey, size: int, width: int, edge_bits: int) -> dict[str, Any]:
    two_steps = size > SIZES[1]
    return {
        "classes": len(found.classes),
        "input_size": size,
        "stem_side": 32 if two_steps else 16,
        "stem_channels": width // 2 if two_steps else width,
        "edge_widths": [[width, 2], [2 * width, 3]] if edge_bits == 1 else [[width, 1], [2 * width, 2]],
        "edge_bits": edge_bits,
        "cut_channels": 32 if len(found.classes) > _CLASSES_FOR_WIDE_CUT else 16,
        "cut_bits": 2,
        "cloud_widths": [[128, 1], [256, 2]],
    }


def _with_trunk(found: Survey, start: str, size: int, wishes: PictureWishes) -> PictureNetwork | None:
    """The network of a trunk's architecture; None where that was not asked for and does not keep the budget."""
    manifest = bundle_file.load(bundle_file.resolve(start)).manifest
    recipe = manifest.provenance.get("recipe")
    if not isinstance(recipe, dict) or recipe.get("family") != "wide_edge":
        raise PlanError(
            f"--start {start}: not a network for pictures of the family wide_edge; take cifar10 or cifar100"
        )
    theirs = recipe.get("architecture")
    arguments: dict[str, Any] = {"edge_bits": 1, **(theirs if isinstance(theirs, dict) else {})}
    before = manifest.input.shape[0]
    if arguments.get("stem_side", 16) != 16:  # its first unit knows pictures of this size alone
        if wishes.size not in (None, before):
            raise PlanError(f"--start {start} takes pictures of {before} x {before} alone; leave out --size")
        size = before
    kernel = Architecture.model_validate(manifest.architecture).stem.kernel[0]
    arguments |= {
        "classes": len(found.classes),
        "input_size": size,
        "stem_kernel": round(kernel * size / before),
        "dropout": 0.0,
    }
    network = PictureNetwork(size, arguments, start, ())
    if wishes.edge_budget is not None:
        cost = wishes.edge_budget.cost(network.build())
        if not wishes.edge_budget.allows(cost):
            if wishes.start is None:
                return None
            raise PlanError(
                f"--edge-budget {wishes.edge_budget.text}: the trunk {start} takes {wishes.edge_budget.told(cost)}; "
                "allow that, or give --start none"
            )
    return network


def _told(network: PictureNetwork, first: tuple[Choice, ...], wishes: PictureWishes) -> PictureNetwork:
    """The network with what is told of it."""
    arch, trunk = network.build(), network.start != NO_TRUNK
    edge = arch.units[: arch.cut.after]
    stages = ", ".join(f"{len([*same])} of {width}" for width, same in groupby(unit.channels for unit in edge))
    why_edge = "the trunk's own" if trunk else "enough for most, and cheap"
    h, w, channels = HybridNetwork(arch).cut_shape
    why_cut = "the trunk's own" if trunk else f"for {arch.classes} classes"
    return dataclasses.replace(
        network,
        choices=(
            *first,
            Choice(
                "edge",
                f"{stages} at {_bits(edge[-1].weight_bits)}",
                f"{why_edge}; a sample costs some {edge_energy_j(arch) * 1e6:.0f} uJ as estimated",
                given=wishes.edge_bits is not None,
            ),
            Choice(
                "cut",
                f"{packed_bytes((h, w, channels), arch.cut.bits)} bytes",
                f"{h} x {w} positions, {channels} channels at {_bits(arch.cut.bits)}: {why_cut}",
            ),
        ),
    )


def _bits(count: int) -> str:
    return "1 bit" if count == 1 else f"{count} bits"


def _size_choice(size: int, why: str, wishes: PictureWishes) -> Choice:
    return Choice("size", f"{size} x {size}", why, given=wishes.size is not None)


def _start_choice(start: str, why: str, wishes: PictureWishes) -> Choice:
    return Choice("start", start, why, given=wishes.start is not None)

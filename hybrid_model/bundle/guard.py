"""The guard of an exit: is a sample of the kind that the network was trained on? Its part of the manifest, its check.

It measures the squared Mahalanobis distance to the predicted class (Lee et al. 2018, arXiv 1807.03888) of what the edge
has computed in any case: the channel sums of bits or levels in front of the exit. How it is computed, down to the order
of its roundings, stands in `hybrid_model.runtime.reference`; how it is fitted in `hybrid_model.calibration.guard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints

from hybrid_model.bundle.calibration import Part
from hybrid_model.bundle.tensor_type import TensorType

#: What the names of guards' tensors begin with. They are no part of the network id, and no operation reads them.
PREFIX = "guard."
#: Directions that a guard may look at.
MAX_DIRECTIONS = 256
#: Whole sums stay below this: they are exact in int32.
SUM_LIMIT = 2**31

_TensorName = Annotated[str, StringConstraints(min_length=len(PREFIX) + 1, max_length=200, pattern=r"^guard\.")]


class Guard(Part):
    """The guard of one exit. It is no part of the network id: the features at the cut do not depend on it.

    `source`: a tensor of bits or levels (H, W, C) in front of the exit. `weight`, `scale` and `mean` name arrays of
    edge.safetensors: int8 (C, R), float32 (R), float32 (K, R), for R directions and K classes. A sample is in the
    domain where its squared distance is at most `limit`.
    """

    source: str = Field(min_length=1, max_length=200)
    weight: _TensorName
    scale: _TensorName
    mean: _TensorName
    limit: float = Field(ge=0)


class GuardError(ValueError):
    """A guard that does not fit its exit; the message says why."""


def greatest_sum(source: TensorType) -> int:
    """The greatest channel sum that bits or levels of this type can have."""
    return source.shape[0] * source.shape[1] * (1 if source.bits is None else 2**source.bits - 1)


def guard_arrays(
    guard: Guard, source: TensorType, classes: int, arrays: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """`weight`, `scale` and `mean` of a guard on a tensor of the type `source`.

    Raises GuardError where an array is missing, of another type or shape, not finite, or where sums could reach 2^31.
    """
    if source.kind not in ("bits", "levels"):
        raise GuardError(f"its guard takes bits or levels, not {source.kind}")
    found = {}
    for role in ("weight", "scale", "mean"):
        array = arrays.get(getattr(guard, role))
        if array is None:
            raise GuardError(f"edge.safetensors has no {getattr(guard, role)} ({role} of its guard)")
        found[role] = array
    directions = found["scale"].shape[0] if found["scale"].ndim == 1 else 0
    if not 1 <= directions <= MAX_DIRECTIONS:
        raise GuardError(f"its guard looks at {directions} directions, not 1 to {MAX_DIRECTIONS}")
    wanted = {
        "weight": (np.int8, (source.shape[2], directions)),
        "scale": (np.float32, (directions,)),
        "mean": (np.float32, (classes, directions)),
    }
    for role, (dtype, shape) in wanted.items():
        array = found[role]
        if array.dtype != dtype or array.shape != shape:
            raise GuardError(
                f"{role} of its guard is {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}"
            )
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise GuardError(f"{role} of its guard has a value that is not finite")
    greatest = int(np.abs(found["weight"].astype(np.int64)).sum(axis=0).max()) * greatest_sum(source)
    if greatest >= SUM_LIMIT:
        raise GuardError(f"sums of its guard may reach {greatest}, and only sums below {SUM_LIMIT} are exact")
    return found

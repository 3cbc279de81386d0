from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hybrid_model.bundle import Guard, TensorType
from hybrid_model.bundle.guard import GuardError, greatest_sum, guard_arrays

GUARD = Guard(source="t3", weight="guard.0.weight", scale="guard.0.scale", mean="guard.0.mean", limit=9.0)


def arrays(channels: int, weight: int = 127) -> dict[str, np.ndarray]:
    return {
        GUARD.weight: np.full((channels, 2), weight, dtype=np.int8),
        GUARD.scale: np.ones(2, dtype=np.float32),
        GUARD.mean: np.zeros((4, 2), dtype=np.float32),
    }


@pytest.mark.parametrize(
    ("source", "greatest"),
    [
        (TensorType("bits", (8, 8, 5)), 64),
        (TensorType("levels", (8, 8, 5), 2), 3 * 64),
        (TensorType("levels", (1, 10, 5), 8), 2550),
    ],
)
def test_the_greatest_channel_sum_is_that_of_a_map_full_of_the_greatest_level(
    source: TensorType, greatest: int
) -> None:
    assert greatest_sum(source) == greatest


def test_sums_that_int32_cannot_hold_are_refused() -> None:
    positions = 2**31 // (20 * 127)
    assert guard_arrays(GUARD, TensorType("bits", (1, positions, 20)), 4, arrays(20))
    with pytest.raises(GuardError, match="only sums below 2147483648 are exact"):
        guard_arrays(GUARD, TensorType("bits", (1, positions, 21)), 4, arrays(21))
    with pytest.raises(GuardError, match="sums of its guard may reach"):
        guard_arrays(GUARD, TensorType("bits", (1, positions, 20)), 4, arrays(20, weight=-128))


@pytest.mark.parametrize("change", [{"weight": "t1.weight"}, {"mean": "guard."}, {"limit": -1.0}, {"limit": np.nan}])
def test_a_guard_names_tensors_of_its_own_and_a_limit(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Guard.model_validate({**GUARD.model_dump(), **change})

"""How files of readings are read and cut into windows: what a bundle keeps, so that others are cut the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hybrid_model.data.readings.error import ReadingsError

__all__ = ["GAP_PERIODS", "ReadingsForm", "SplitBy", "TimeUnit"]

SplitBy = Literal["device", "time"]
TimeUnit = Literal["s", "ms", "us", "ns"]

#: Readings further apart than so many periods start a window afresh: the edge worker's default.
GAP_PERIODS = 1.5


@dataclass(frozen=True)
class ReadingsForm:
    """The columns (None: files have none), and windows of `length` readings, `hop` from one to the next.

    `rate_hz`: readings per second of the windows. `resampled`: rows were interpolated to that rate, and devices have to
    send at it; else windows are made of the rows as they are.
    """

    device: str | None
    time: str | None
    time_unit: TimeUnit | None
    label: str
    channels: tuple[str, ...]
    length: int
    hop: int
    rate_hz: float
    resampled: bool
    split_by: SplitBy

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, for a bundle's provenance."""
        return asdict(self) | {"channels": list(self.channels)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReadingsForm:
        """What `to_json` made. Raises ReadingsError for anything else."""
        try:
            return cls(**{**content, "channels": tuple(content["channels"])})
        except (TypeError, KeyError) as error:
            raise ReadingsError(f"the bundle does not say how its readings were cut ({error}); train it anew") from None

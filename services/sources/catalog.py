"""Which replay a data set takes, and what its devices are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_model.data import Dataset
from services.sources.encodings import Encoding
from services.sources.images import ImageReplay
from services.sources.readings import ReadingsReplay
from services.sources.replay import Device, name_devices


def devices_for(dataset: Dataset, count: int, degraded: Sequence[str] = ()) -> list[Device]:
    """`count` devices of the kind that recorded the data set. Raises SourceError for a degradation that is none."""
    usual = "sensor" if dataset.kind == "sensor" else "camera"
    kind = {"digits": "scanner", "har": "phone"}.get(dataset.name, usual)
    return name_devices(kind, count, degraded)


def replay_for(
    dataset: Dataset,
    *,
    devices: Sequence[Device],
    frames: int,
    split: str = "test",
    encoding: Encoding = "png",
    rows_per_message: int = 32,
    raw: bool = False,
    run: str | None = None,
    **readings: Any,
) -> ImageReplay | ReadingsReplay:
    """The replay of a data set: pictures in `encoding`, or readings in messages of `rows_per_message` rows."""
    common: dict[str, Any] = {"devices": devices, "frames": frames, "split": split, "raw": raw, "run": run}
    if dataset.kind == "sensor":
        return ReadingsReplay(dataset, rows_per_message=rows_per_message, **common, **readings)
    return ImageReplay(dataset, encoding=encoding, **common)

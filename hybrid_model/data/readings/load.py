"""Files of readings become a data set."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import SPLITS, Dataset, Split
from hybrid_model.data.own import OwnData
from hybrid_model.data.readings.channels import checked_channels
from hybrid_model.data.readings.columns import Columns
from hybrid_model.data.readings.copies import without_copies
from hybrid_model.data.readings.division import divide
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import ReadingsForm, SplitBy, TimeUnit
from hybrid_model.data.readings.labels import check_classes, in_order
from hybrid_model.data.readings.length import chosen_length
from hybrid_model.data.readings.opening import opened
from hybrid_model.data.readings.recordings import Recording, measured_rate, recordings
from hybrid_model.data.readings.windows import Windows, block_digests, cut_windows

__all__ = ["OwnReadings", "load_readings"]

#: A class with fewer windows cannot be learned, and what is measured of it says nothing.
CLASS_WINDOWS_MIN = 10
_SPLIT_WINDOWS_MIN = {"train": 40, "tuning": 5, "calibration": 5, "test": 5}
#: Bytes of all windows: beyond, they are asked to be fewer.
_WINDOW_BYTES_MAX = 8 << 30
#: A manifest, which is 4 MiB at most, holds their digests, 11 bytes each.
_DIGESTS_MAX = 250_000


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnReadings(OwnData):
    """Own data made of readings; `form`: how they were cut."""

    form: ReadingsForm


def load_readings(
    path: Path | str,
    *,
    device: str | None = None,
    time: str | None = None,
    time_unit: TimeUnit | None = None,
    label: str | None = None,
    channels: Sequence[str] | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    rate_hz: float | None = None,
    split: SplitBy | None = None,
) -> OwnReadings:
    """A file of readings, or a folder of them, as windows x (N, 1, length, C) float32 in the files' own units.

    A row is a reading: `device` (or `subject`; a file is one where there is no such column), `time` (epoch seconds, ms,
    us or ns, or ISO 8601; none where `rate_hz` says how readings follow each other), `label`, and channels. `device`,
    `time` and `label` name other columns, `channels` some instead of all that are left. `window_s`, `hop_s`: seconds of
    a window and from one's start to the next; chosen from rate and labels, and half a window, where None. `rate_hz`
    other than the readings' own: they are interpolated to it. `split`: None by device where there are some.

    Windows with two labels, or with readings that have none, are left out, as are classes with fewer than ten windows.
    Raises ReadingsError, in one line with the remedy.
    """
    path = Path(path)
    if rate_hz is not None and not 0 < rate_hz < math.inf:
        raise ReadingsError(f"--rate-hz {rate_hz:g} is no rate; give readings a second, or leave it out")
    given: dict[str, Any] = {
        "device": device,
        "time": time,
        "time_unit": time_unit,
        "label": label,
        "channels": channels,
    }
    table, columns, notes = opened(path, given)
    if columns.device is None:
        hint = (
            f"; where {columns.dropped[0]!r} says whose reading it is, name it (--device-column)"
            if columns.dropped
            else ""
        )
        notes.append(
            f"no column 'device' or 'subject': {'each file is' if len(table.devices) > 1 else 'all is of'} one{hint}"
        )
    table = in_order(table, str(path), columns.label)
    table, constant_notes = checked_channels(table, path, chosen=channels is not None)
    notes += constant_notes
    columns = dataclasses.replace(columns, channels=table.channels)
    rate = measured_rate(table, rate_hz, str(path))
    if rate.resampled:
        notes.append(
            f"readings are interpolated to {rate.rate_hz:g} Hz ({rate.why}): devices have to send them at that rate"
        )
    found, cuts = recordings(table, rate)
    notes += cuts.told()
    length, hop, length_note = chosen_length(found, rate.rate_hz, window_s, hop_s)
    notes.append(length_note)
    found, copies = without_copies(found, length, table.devices)
    windows = cut_windows(found, length, hop)
    _must_have_some(path, windows, found)
    if len(windows) * length * len(table.channels) * 4 > _WINDOW_BYTES_MAX:
        raise ReadingsError(
            f"{path}: {len(windows):,} windows take more than {_WINDOW_BYTES_MAX >> 30} GiB; give fewer files, "
            "a longer --hop-s or fewer --channels"
        )
    if windows.mixed:
        notes.append(f"{windows.mixed:,} windows are left out since labels change within them")
    if windows.unlabelled:
        notes.append(f"{windows.unlabelled:,} windows are left out since readings in them have no label")
    windows, classes, few = check_classes(windows, table.labels, CLASS_WINDOWS_MIN, path)
    assigned, by, told = divide(windows, table.devices, split)
    notes += told
    dataset, parts = _dataset(path, windows, assigned, classes, columns, rate.rate_hz)
    notes += _thin(dataset, path)
    digests = {name: _digests(part) for name, part in parts.items()}
    if sum(map(len, digests.values())) > _DIGESTS_MAX:
        raise ReadingsError(
            f"{path}: more than {_DIGESTS_MAX:,} windows side by side, which a bundle cannot account for; give fewer "
            "files, or a longer --window-s"
        )
    form = ReadingsForm(
        columns.device, columns.time, columns.time_unit, columns.label, columns.channels,
        length, hop, rate.rate_hz, rate.resampled, by,
    )  # fmt: skip
    return OwnReadings(
        dataset=dataset,
        sources={name: part.sources(table.devices) for name, part in parts.items()},
        digests=digests,
        left_out=(*copies, *few),
        notes=tuple(notes),
        form=form,
    )


def _must_have_some(path: Path, windows: Windows, found: Sequence[Recording]) -> None:
    if len(windows):
        return
    longest = max((len(recording.values) for recording in found), default=0)
    raise ReadingsError(
        f"{path}: no window of {windows.length} readings without a gap and with one label (the longest stretch without "
        f"a gap has {longest}); take a shorter --window-s, or mend times and labels"
    )


def _dataset(
    path: Path,
    windows: Windows,
    assigned: npt.NDArray[np.int8],
    classes: tuple[str, ...],
    columns: Columns,
    rate_hz: float,
) -> tuple[Dataset, dict[str, Windows]]:
    parts = {name: windows.take(assigned == number) for number, name in enumerate(SPLITS)}
    splits = {
        name: Split(x=part.x(), y=part.label, group=part.device, segment=part.segment()) for name, part in parts.items()
    }
    dataset = Dataset(
        name=path.name.partition(".")[0] or "readings",
        classes=classes,
        kind="sensor",
        train=splits["train"],
        tuning=splits["tuning"],
        calibration=splits["calibration"],
        test=splits["test"],
        channels=columns.channels,
        rate_hz=rate_hz,
        hop=windows.hop,
    )
    return dataset, parts


def _thin(dataset: Dataset, path: Path) -> list[str]:
    """What is to be told of splits that lack classes. Raises ReadingsError where there is too little of a split."""
    notes = []
    for name, least in _SPLIT_WINDOWS_MIN.items():
        split = dataset.split(name)
        if len(split) < least:
            raise ReadingsError(
                f"{path}: {len(split)} windows for the split {name!r}, at least {least} are needed; record longer, or "
                "take a shorter --window-s or --hop-s"
            )
        lacking = [dataset.classes[code] for code in sorted(set(range(len(dataset.classes))) - set(split.y.tolist()))]
        if lacking and name == "train":
            raise ReadingsError(f"{path}: no window of {lacking[0]!r} is left to train with; record more of it")
        if lacking and name == "test":
            notes.append(f"the test split has no windows of {', '.join(lacking)}: nothing is measured of them")
    return notes


def _digests(windows: Windows) -> tuple[bytes, ...]:
    """Of each block of readings that a window of these touches."""
    found: set[bytes] = set()
    digests: dict[int, list[bytes]] = {}
    length = windows.length
    for number, start in zip(windows.recording.tolist(), windows.start.tolist(), strict=True):
        if number not in digests:
            digests[number] = block_digests(windows.recordings[number], length)
        of = digests[number]
        found.update(of[start // length : -(-(start + length) // length)])
    return tuple(sorted(found))

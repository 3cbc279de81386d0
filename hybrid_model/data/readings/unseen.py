"""What of some files a network was not trained with, cut as its own readings were."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import Dataset, Int64Array, Split
from hybrid_model.data.readings.division import TEST, divide
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import ReadingsForm
from hybrid_model.data.readings.labels import in_order
from hybrid_model.data.readings.opening import opened
from hybrid_model.data.readings.recordings import Rate, measured_rate, recordings
from hybrid_model.data.readings.windows import Windows, block_digests, cut_windows

__all__ = ["unseen_readings"]

Mask = npt.NDArray[np.bool_]


def unseen_readings(
    path: Path | str,
    form: ReadingsForm,
    classes: tuple[str, ...],
    *,
    seen: Collection[bytes],
    tested: Collection[bytes] = frozenset(),
) -> tuple[Dataset, tuple[str, ...]]:
    """The windows of `path` that a network may be judged by, as the test split (all others empty); and notes.

    `seen`: digests of the readings that it was trained, tuned or calibrated with, `tested` of those of its test split.
    A recording that holds a seen one is left out, and with it all of its device. Where the split was by time only such
    windows are that touch a seen one; in the very files of the training the test split stays as it was.
    Raises ReadingsError where nothing is left.
    """
    path = Path(path)
    given: dict[str, Any] = {
        "device": form.device, "time": form.time, "time_unit": form.time_unit, "label": form.label,
        "channels": form.channels,
    }  # fmt: skip
    table, columns, notes = opened(path, given)
    table = in_order(table, str(path), form.label)
    rate = Rate(form.rate_hz, resampled=True) if form.resampled else measured_rate(table, form.rate_hz, str(path))
    if rate.resampled and not form.resampled:
        notes.append(f"readings are interpolated to the network's {form.rate_hz:g} Hz ({rate.why})")
    found, cuts = recordings(table, rate)
    notes += cuts.told()
    windows = cut_windows(found, form.length, form.hop)
    code = {name: number for number, name in enumerate(classes)}
    label = np.array([code.get(name, -1) for name in (*table.labels, "")], np.int64)[windows.label]
    strange = int((label < 0).sum())
    if strange:
        notes.append(f"{strange:,} windows are left out: the network does not know their classes")
    fresh = np.ones(len(windows), np.bool_)
    devices: set[int] = set()
    for number, recording in enumerate(found):
        old = np.array([digest in seen for digest in block_digests(recording, form.length)])
        if not old.any():
            continue
        devices.add(recording.device)
        here = np.flatnonzero(windows.recording == number)
        if form.split_by == "time":
            fresh[here] = ~_touches(windows.start[here], old, form.length)
    if form.split_by == "device":
        fresh = ~np.isin(windows.device, sorted(devices))
    elif devices:
        fresh &= _as_before(windows, label, fresh, table.devices, tested)
    if devices:
        names = ", ".join(table.devices[one] for one in sorted(devices)[:8]) + (", ..." if len(devices) > 8 else "")
        notes.append(f"{int((~fresh).sum()):,} windows are left out: the network was trained or tuned with {names}")
    kept = windows.take(fresh & (label >= 0))
    if not len(kept):
        raise ReadingsError(
            f"{path}: no window is left to judge by: "
            + (notes[-1] if devices or strange else f"none of {form.length} readings has one label and no gap")
            + "; give readings that were recorded apart"
        )
    y = label[fresh & (label >= 0)]
    test = Split(x=kept.x(), y=y, group=kept.device, segment=kept.segment())
    none = test.take(np.empty(0, np.int64))
    dataset = Dataset(
        name=path.name.partition(".")[0] or "readings",
        classes=classes,
        kind="sensor",
        train=none,
        tuning=none,
        calibration=none,
        test=test,
        channels=columns.channels,
        rate_hz=form.rate_hz,
        hop=form.hop,
    )
    return dataset, tuple(notes)


def _touches(start: Int64Array, block: Mask, length: int) -> Mask:
    """Which windows (N,) touch one of the blocks of a recording that `block` (B,) names."""
    total = np.concatenate([[0], np.cumsum(block)])
    first, last = start // length, -(-(start + length) // length)
    touched: Mask = total[np.minimum(last, len(block))] > total[np.minimum(first, len(block))]
    return touched


def _as_before(
    windows: Windows, label: Int64Array, fresh: Mask, devices: tuple[str, ...], tested: Collection[bytes]
) -> Mask:
    """The test split's windows (N,), where files are divided by time as they were before; else all."""
    known = np.flatnonzero(label >= 0)
    if not len(known):
        return np.ones(len(windows), np.bool_)
    assigned, _, _ = divide(dataclasses.replace(windows.take(known), label=label[known]), devices, "time")
    test = np.zeros(len(windows), np.bool_)
    test[known[assigned == TEST]] = True
    for number in np.unique(windows.recording[test]):
        here = test & (windows.recording == number)
        strange = [digest not in tested for digest in block_digests(windows.recordings[number], windows.length)]
        if _touches(windows.start[here], np.array(strange), windows.length).any():
            return np.ones(len(windows), np.bool_)
    return test if fresh[test].all() else np.ones(len(windows), np.bool_)

"""Which windows train, and which judge: whole devices apart, or, where there is one, a device's time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import SPLITS, Int64Array
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import SplitBy
from hybrid_model.data.readings.windows import Windows

__all__ = ["divide"]

TRAIN, TUNING, CALIBRATION, TEST = range(len(SPLITS))
#: Shares of training, tuning, calibration and test by time; of devices the same, each at least one.
_TIME_SHARES = (0.6, 0.1, 0.1, 0.2)
_REST_SHARES = (0.7, 0.15, 0.15, 0.0)
_DEVICE_SHARES = (0.0, 0.1, 0.1, 0.2)
#: With fewer, tuning and calibration have no devices of their own.
_DEVICES_APART = 6
_TRIALS = 300


def divide(
    windows: Windows, devices: Sequence[str], by: SplitBy | None
) -> tuple[npt.NDArray[np.int8], SplitBy, list[str]]:
    """The split (N,) of each window, an index of SPLITS or -1 for none; what it goes by; and what is to be told.

    With `by` None by device wherever most classes were recorded with two devices or more. Raises ReadingsError where
    there is one device and `by` is "device".
    """
    present = np.unique(windows.device)
    held = _held(windows, present)
    shared = (held > 0).sum(axis=0) >= 2  # (K,): classes that more than one device has
    if by == "device" and len(present) < 2:
        raise ReadingsError(
            f"all readings are of {devices[present[0]]}: they cannot be split by device; take --split time"
        )
    if by is None:
        by = "device" if len(present) >= 2 and shared.sum() >= max(2, len(shared) / 2) else "time"
    if by == "time":
        assigned = _by_time(windows, np.ones(len(windows), np.bool_), _TIME_SHARES)
        why = "there is one device" if len(present) == 1 else "most classes were recorded with one device each"
        lines = [
            f"split by time, 60 % of each class for training and the last 20 % for the test, since {why}: figures say "
            "nothing of devices that the network has not seen"
        ]
        return _with_gaps(windows, assigned, lines), by, lines
    assigned, lines = _by_device(windows, present, held, shared, devices)
    return _with_gaps(windows, assigned, lines), by, lines


def _held(windows: Windows, present: Int64Array) -> npt.NDArray[np.int64]:
    """Windows by device and class, (D, K)."""
    held = np.zeros((len(present), int(windows.label.max()) + 1), np.int64)
    np.add.at(held, (np.searchsorted(present, windows.device), windows.label), 1)
    return held


def _by_device(
    windows: Windows,
    present: Int64Array,
    held: npt.NDArray[np.int64],
    shared: npt.NDArray[np.bool_],
    devices: Sequence[str],
) -> tuple[npt.NDArray[np.int8], list[str]]:
    few = len(present) < _DEVICES_APART
    counts = [0, 0, 0, 1] if few else [max(1, round(share * len(present))) if share else 0 for share in _DEVICE_SHARES]
    split_of = _best(held, shared, counts)
    assigned = split_of[np.searchsorted(present, windows.device)]
    names = {
        split: ", ".join(devices[code] for code in present[split_of == number]) for number, split in enumerate(SPLITS)
    }
    lines = []
    if few:
        rest = assigned == TRAIN
        assigned[rest] = _by_time(windows, rest, _REST_SHARES)[rest]
        lines.append(
            f"split by device: {names['test']} for the test; of {len(present)} devices none can be set aside for "
            f"tuning and calibration, which are the last 30 % of each class of {names['train']}"
        )
    else:
        lines.append(
            f"split by device: {(split_of == TRAIN).sum()} train; tuning {names['tuning']}; calibration "
            f"{names['calibration']}; test {names['test']}"
        )
    return assigned, lines


def _best(held: npt.NDArray[np.int64], shared: npt.NDArray[np.bool_], counts: Sequence[int]) -> npt.NDArray[np.int8]:
    """A split (D,) for each device, in which every class trains and each split has the classes' shares as near as may
    be. Of a fixed number of tries at random, so the same on every machine."""
    random = np.random.RandomState(0)  # its stream is frozen, Generator's is not
    of_class = held / held.sum(axis=0)
    # Who alone has a class has to train.
    pinned: npt.NDArray[np.bool_] = np.asarray((held[:, ~shared] > 0).any(axis=1))
    best: npt.NDArray[np.int8] = np.full(len(held), TRAIN, np.int8)
    best_cost = np.inf
    for _ in range(_TRIALS):
        order = random.permutation(len(held))
        order = np.concatenate([order[~pinned[order]], order[pinned[order]]])
        split_of = np.full(len(held), TRAIN, np.int8)
        at = 0
        for split in (TEST, CALIBRATION, TUNING):
            split_of[order[at : at + counts[split]]] = split
            at += counts[split]
        cost = 0.0
        for split in (TRAIN, TUNING, CALIBRATION, TEST):
            inside = split_of == split
            if inside.any():
                reached = of_class[inside].sum(axis=0)
                cost += float(np.abs(reached - inside.mean()).sum()) + (100.0 if split == TRAIN else 1.0) * float(
                    (reached == 0).sum()
                )
        if cost < best_cost:
            best, best_cost = split_of, cost
    return best


def _by_time(windows: Windows, which: npt.NDArray[np.bool_], shares: Sequence[float]) -> npt.NDArray[np.int8]:
    """The windows of `which` (N,) by time: of each device and class the first ones train."""
    assigned = np.full(len(windows), -1, np.int8)
    bounds = np.cumsum(shares)[:-1]
    for device in np.unique(windows.device[which]):
        for label in np.unique(windows.label[which & (windows.device == device)]):
            rows = np.flatnonzero(which & (windows.device == device) & (windows.label == label))
            place = (np.arange(len(rows)) + 0.5) / len(rows)
            assigned[rows] = np.searchsorted(bounds, place).astype(np.int8)
    return assigned


def _with_gaps(windows: Windows, assigned: npt.NDArray[np.int8], lines: list[str]) -> npt.NDArray[np.int8]:
    """Without those windows that are nearer than a window to one before them in another split."""
    kept = assigned.copy()
    last_recording, last_split, last_end = -1, -1, 0
    for row in range(len(windows)):
        recording, start, split = windows.recording[row], windows.start[row], assigned[row]
        if recording == last_recording and split != last_split and start < last_end + windows.length:
            kept[row] = -1
            continue
        last_recording, last_split, last_end = recording, split, start + windows.length
    dropped = int((kept < 0).sum()) - int((assigned < 0).sum())
    if dropped:
        lines.append(f"{dropped:,} windows between two splits are left out: at least a window lies between them")
    return kept

"""UCI HAR: people walking, climbing, sitting, standing and lying, as their phone's accelerometer and gyroscope saw it.

10,299 windows of 128 readings at 50 Hz, half overlapping, in nine channels, by 30 subjects. Cite: Anguita, Ghio, Oneto,
Parra and Reyes-Ortiz, "A Public Domain Dataset for Human Activity Recognition Using Smartphones", ESANN 2013.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data import fetch, packed
from hybrid_model.data.dataset import DataDamagedError, Dataset, Int64Array, Split

CLASSES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
CHANNELS = tuple(f"{sensor}_{axis}" for sensor in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
LENGTH = 128
HOP = 64
RATE_HZ = 50.0
TUNING_SUBJECTS = (7, 16, 27)
CALIBRATION_SUBJECTS = (5, 19, 26)

_PACKED_FILE = "uci_har_q12.npz"
_FOLDER = "UCI HAR Dataset"
_INNER_ARCHIVE = "UCI HAR Dataset.zip"
_LABELS_SHA256 = "c33aafb93ad0ba1aa04e9bd8bcb857a639dbf1af914f83b7d1b5e26e1bd1c3e9"
_MEMBER_BYTES_MAX = 100_000_000
_ARCHIVE = fetch.Archive(
    url="https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip",
    file_name="uci_har.zip",
    md5=None,  # UCI states none: the zip's own CRCs guard the transport, _checked() the contents
    bytes_max=100_000_000,
)


@dataclass(frozen=True, eq=False)
class _Published:
    """All windows, training subjects first or mixed: (N, 128, 9) float32, classes, subjects, stretches, test mask."""

    windows: npt.NDArray[np.float32]
    labels: Int64Array
    subjects: Int64Array
    segments: Int64Array
    tested: npt.NDArray[np.bool_]


def load(*, progress: bool = True) -> Dataset:
    """UCI HAR, x (N, 1, 128, 9) float32 in g and rad/s, divided by subject; rows in recorded order.

    The publisher's test subjects are the test split; of the 21 others, three are for tuning and three for calibration.
    Raises DataError.
    """
    source = _open(progress=progress)
    everything = Split(x=source.windows[:, np.newaxis], y=source.labels, group=source.subjects, segment=source.segments)
    tuned = np.isin(source.subjects, TUNING_SUBJECTS)
    calibrated = np.isin(source.subjects, CALIBRATION_SUBJECTS)
    return Dataset(
        name="har",
        classes=CLASSES,
        kind="sensor",
        train=everything.take(~(source.tested | tuned | calibrated)),
        tuning=everything.take(tuned),
        calibration=everything.take(calibrated),
        test=everything.take(source.tested),
        channels=CHANNELS,
        rate_hz=RATE_HZ,
        hop=HOP,
    )


def segments(windows: npt.NDArray[Any], labels: Int64Array, subjects: Int64Array) -> Int64Array:
    """Number the gap-free stretches of windows (N, 128, C): one goes on while halves are shared, by one subject."""
    joined = (windows[:-1, HOP:] == windows[1:, :HOP]).all(axis=(1, 2))
    joined &= (labels[:-1] == labels[1:]) & (subjects[:-1] == subjects[1:])
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(~joined, dtype=np.int64)])


def _open(*, progress: bool) -> _Published:
    for folder in fetch.folders():
        if (folder / _PACKED_FILE).exists():
            return _from_packed(folder / _PACKED_FILE)
        if (folder / _FOLDER).is_dir():
            return _from_folder(folder / _FOLDER)
        for name in (_INNER_ARCHIVE, _ARCHIVE.file_name):
            if (folder / name).exists():
                return _from_archive(folder / name)
    return _from_archive(fetch.download(_ARCHIVE, data_name="har", progress=progress))


def _from_packed(path: Path) -> _Published:
    arrays = packed.read(path, "xz", "scale", "win", "segment", "labels", "subject", "test")
    windows = packed.signals(path, arrays, channels=len(CHANNELS))
    source = _Published(
        windows=windows,
        labels=arrays["labels"].astype(np.int64),
        subjects=arrays["subject"].astype(np.int64),
        segments=arrays["segment"].astype(np.int64),
        tested=arrays["test"].astype(np.bool_),
    )
    return _checked(path, source)


def _from_folder(folder: Path) -> _Published:
    return _from_text(folder, lambda name: (folder / name).open("rb"))


def _from_archive(path: Path) -> _Published:
    try:
        with zipfile.ZipFile(path) as outer:
            if _INNER_ARCHIVE not in outer.namelist():
                return _from_text(path, lambda name: outer.open(f"{_FOLDER}/{name}"))
            if outer.getinfo(_INNER_ARCHIVE).file_size > _MEMBER_BYTES_MAX:
                raise DataDamagedError(f"{path}: {_INNER_ARCHIVE} is too large; delete it, and it is fetched again")
            with zipfile.ZipFile(io.BytesIO(outer.read(_INNER_ARCHIVE))) as inner:
                return _from_text(path, lambda name: inner.open(f"{_FOLDER}/{name}"))
    except zipfile.BadZipFile as error:
        raise DataDamagedError(f"{path}: does not unpack ({error}); delete it, and it is fetched again") from error


def _from_text(source: Path, open_file: Callable[[str], IO[bytes]]) -> _Published:
    def table(name: str) -> npt.NDArray[np.float32]:
        with open_file(name) as file:
            return np.loadtxt(file, dtype=np.float32, ndmin=2)

    windows, labels, subjects, tested = [], [], [], []
    try:
        for split in ("train", "test"):
            channels = [table(f"{split}/Inertial Signals/{channel}_{split}.txt") for channel in CHANNELS]
            windows.append(np.stack(channels, axis=2))
            labels.append(table(f"{split}/y_{split}.txt")[:, 0].astype(np.int64) - 1)
            subjects.append(table(f"{split}/subject_{split}.txt")[:, 0].astype(np.int64))
            tested.append(np.full(len(labels[-1]), split == "test"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataDamagedError(f"{source}: not the UCI HAR files ({error}); extract or fetch them again") from error
    x, y, group = np.concatenate(windows), np.concatenate(labels), np.concatenate(subjects)
    order = np.argsort(group, kind="stable")  # both sources: rows ascend by subject, then as recorded
    x, y, group = x[order], y[order], group[order]
    return _checked(source, _Published(x, y, group, segments(x, y, group), np.concatenate(tested)[order]))


def _checked(path: Path, source: _Published) -> _Published:
    """Raises DataDamagedError unless rows, classes and subjects are the published ones and readings are numbers."""
    marks = np.stack([source.labels, source.subjects], axis=1).astype(np.uint8).tobytes()
    if hashlib.sha256(marks).hexdigest() != _LABELS_SHA256:
        raise DataDamagedError(f"{path}: its classes or subjects are not those of UCI HAR; fetch it again")
    if source.windows.shape != (len(source.labels), LENGTH, len(CHANNELS)) or not np.isfinite(source.windows).all():
        raise DataDamagedError(
            f"{path}: its windows are not {LENGTH} readings of {len(CHANNELS)} channels; fetch it again"
        )
    return source

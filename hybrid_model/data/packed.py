"""Packed data sets: one .npz whose arrays are compressed already, strips of lossless WebP or LZMA of int16 steps."""

from __future__ import annotations

import io
import lzma
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hybrid_model.data.dataset import DataDamagedError

Arrays = Mapping[str, npt.NDArray[Any]]
_HALF_WINDOW = 64


def read(path: Path, *names: str) -> Arrays:
    """The named arrays of a packed file; nothing in it is ever unpickled. Raises DataDamagedError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataDamagedError(f"{path}: not a packed data set ({error}); copy it again") from error


def images(path: Path, arrays: Arrays, *, side: int = 32) -> npt.NDArray[np.uint8]:
    """Decode strips `blob` with bounds `off` to pictures (N, side, side, 3) uint8. Raises DataDamagedError."""
    blob, bounds = arrays["blob"], arrays["off"].tolist()

    def strip(first: int, last: int) -> npt.NDArray[np.uint8]:
        with Image.open(io.BytesIO(blob[first:last].tobytes())) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8).reshape(-1, side, side, 3)

    try:
        with ThreadPoolExecutor() as pool:  # Pillow decodes without holding the interpreter
            return np.concatenate(list(pool.map(strip, bounds[:-1], bounds[1:])))
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise DataDamagedError(f"{path}: its pictures do not decode ({error}); copy it again") from error


def signals(path: Path, arrays: Arrays, *, channels: int) -> npt.NDArray[np.float32]:
    """Decode windows (N, 128, channels) float32 from half windows of 64 readings that neighbours share.

    `xz` is LZMA over all low bytes, then all high bytes, of the int16 steps between readings, channel by channel;
    window i is the halves `win[i]` and `win[i] + 1`; `scale` makes readings of the levels. Raises DataDamagedError.
    """
    try:
        stored = np.frombuffer(lzma.decompress(arrays["xz"].tobytes()), dtype=np.uint8)
        low, high = stored.reshape(2, channels, -1, _HALF_WINDOW)
        steps = (low.astype("<u2") + (high.astype("<u2") << 8)).view("<i2")
        levels = np.add.accumulate(steps.reshape(channels, -1), axis=1, dtype=np.int16)  # wraps as it was packed
        halves = levels.reshape(channels, -1, _HALF_WINDOW).transpose(1, 2, 0)
        first = arrays["win"].astype(np.int64)
        windows = np.concatenate([halves[first], halves[first + 1]], axis=1)
    except (lzma.LZMAError, ValueError, IndexError) as error:
        raise DataDamagedError(f"{path}: its signals do not decode ({error}); copy it again") from error
    return windows.astype(np.float32) * np.float32(arrays["scale"])

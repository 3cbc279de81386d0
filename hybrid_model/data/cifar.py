"""CIFAR-10 and CIFAR-100: 60,000 colour pictures of 32x32 pixels, packed or as the publisher's binary files.

Cite: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The pickled archives are never read.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hybrid_model.data import fetch, packed
from hybrid_model.data.dataset import DataDamagedError, Dataset, Int64Array, Split
from hybrid_model.data.splits import three_ways

Pixels = npt.NDArray[np.uint8]
_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE
_HELD_OUT = 2500


@dataclass(frozen=True)
class _Layout:
    """How one of the two data sets is published: folder, files, label bytes in front of a picture (the last counts)."""

    folder: str
    train_files: tuple[str, ...]
    test_file: str
    names_file: str
    label_bytes: int
    classes: int
    archive: fetch.Archive


_LAYOUTS = {
    "cifar10": _Layout(
        folder="cifar-10-batches-bin",
        train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test_file="test_batch.bin",
        names_file="batches.meta.txt",
        label_bytes=1,
        classes=10,
        archive=fetch.Archive(
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            file_name="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            bytes_max=200_000_000,
        ),
    ),
    "cifar100": _Layout(
        folder="cifar-100-binary",
        train_files=("train.bin",),
        test_file="test.bin",
        names_file="fine_label_names.txt",
        label_bytes=2,
        classes=100,
        archive=fetch.Archive(
            url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            file_name="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            bytes_max=200_000_000,
        ),
    ),
}


@dataclass(frozen=True, eq=False)
class _Published:
    """What every source yields: pictures and classes in the publisher's order."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    approx_test: Int64Array


def load(name: str, *, progress: bool = True) -> Dataset:
    """CIFAR-10 ("cifar10") or CIFAR-100 ("cifar100", fine classes), x (N, 32, 32, 3) uint8 RGB.

    Of the 50,000 published training pictures, 2,500 are for tuning and 2,500 for calibration. Raises DataError.
    """
    source = _open(name, progress=progress)
    train, tuning, calibration = three_ways(source.train.y, tuning=_HELD_OUT, calibration=_HELD_OUT)
    return Dataset(
        name=name,
        classes=source.classes,
        kind="image",
        train=source.train.take(train),
        tuning=source.train.take(tuning),
        calibration=source.train.take(calibration),
        test=source.test,
        approx_test=source.approx_test,
    )


def _open(name: str, *, progress: bool) -> _Published:
    layout = _LAYOUTS[name]
    for folder in fetch.folders():
        parts = [folder / f"{name}_lossless_{part}.npz" for part in ("train_a", "train_b", "test")]
        if all(part.exists() for part in parts):
            return _from_packed(parts)
        if (folder / layout.folder).is_dir():
            return _from_files(layout, folder / layout.folder)
        if (folder / layout.archive.file_name).exists():
            return _from_archive(layout, folder / layout.archive.file_name)
    return _from_archive(layout, fetch.download(layout.archive, data_name=name, progress=progress))


def _from_packed(parts: list[Path]) -> _Published:
    arrays = [packed.read(part, "blob", "off", "labels", "names", "approx") for part in parts]
    splits = []
    for part, stored in zip(parts, arrays, strict=True):
        x, y = packed.images(part, stored, side=_SIDE), stored["labels"].astype(np.int64)
        if len(x) != len(y):
            raise DataDamagedError(f"{part}: {len(x)} pictures for {len(y)} classes; copy it again")
        splits.append(Split(x=x, y=y))
    first, second, test = splits
    train = Split(x=np.concatenate([first.x, second.x]), y=np.concatenate([first.y, second.y]))
    classes = tuple(str(label) for label in arrays[-1]["names"])
    return _Published(classes=classes, train=train, test=test, approx_test=arrays[-1]["approx"].astype(np.int64))


def _from_files(layout: _Layout, folder: Path) -> _Published:
    def read(file_name: str) -> bytes:
        try:
            return (folder / file_name).read_bytes()
        except OSError as error:
            raise DataDamagedError(
                f"{folder}: {file_name} cannot be read ({error}); extract the archive again"
            ) from error

    return _from_binary(layout, folder, read)


def _from_archive(layout: _Layout, path: Path) -> _Published:
    assert layout.archive.md5 is not None
    fetch.verify(path, layout.archive.md5)
    wanted = {*layout.train_files, layout.test_file, layout.names_file}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:  # one pass; members are read, never extracted
            for member in archive:
                base = member.name.rsplit("/", 1)[-1]
                file = archive.extractfile(member) if member.isfile() and base in wanted else None
                if file is not None:
                    found[base] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataDamagedError(f"{path}: does not unpack ({error}); delete it, and it is fetched again") from error

    def read(file_name: str) -> bytes:
        if file_name not in found:
            raise DataDamagedError(f"{path}: holds no {file_name}; delete it, and it is fetched again")
        return found[file_name]

    return _from_binary(layout, path, read)


def _from_binary(layout: _Layout, source: Path, read: Callable[[str], bytes]) -> _Published:
    names = tuple(line.strip() for line in read(layout.names_file).decode("utf-8").splitlines() if line.strip())
    if len(names) != layout.classes:
        raise DataDamagedError(f"{source}: {layout.names_file} names {len(names)} classes, not {layout.classes}")
    parts = [_records(layout, source, file_name, read(file_name)) for file_name in layout.train_files]
    train = Split(x=np.concatenate([part.x for part in parts]), y=np.concatenate([part.y for part in parts]))
    test = _records(layout, source, layout.test_file, read(layout.test_file))
    return _Published(classes=names, train=train, test=test, approx_test=np.empty(0, dtype=np.int64))


def _records(layout: _Layout, source: Path, file_name: str, content: bytes) -> Split:
    record_bytes = layout.label_bytes + _PIXEL_BYTES
    if not content or len(content) % record_bytes:
        raise DataDamagedError(f"{source}: {file_name} is {len(content)} bytes, no multiple of {record_bytes}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record_bytes)
    y = records[:, layout.label_bytes - 1].astype(np.int64)
    if y.max() >= layout.classes:
        raise DataDamagedError(f"{source}: {file_name} holds class {y.max()}, but there are {layout.classes}")
    planes = records[:, layout.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
    return Split(x=np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), y=y)

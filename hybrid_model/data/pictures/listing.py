"""Which files are pictures of which class: a folder per class, folders train, val and test of such, or a CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from PIL import Image

from hybrid_model.data.own import LeftOut
from hybrid_model.data.pictures.errors import PictureDataError

__all__ = ["Listed", "Listing", "Part", "holds_pictures", "list_pictures", "loose_pictures"]

#: What somebody else has divided; none where we divide.
Part = Literal["train", "val", "test"]

_PARTS: Final[dict[str, Part]] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_COLUMNS: Final = ("path", "label")
#: Beyond this share of missing files it is the list that is wrong, not the files.
_MISSING_SHARE_MAX: Final = 0.5
_ENTRIES_LOOKED_AT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A file and its class. `source`: its path as people know it; `part`: the folder train, val or test it lies in."""

    path: Path
    source: str
    label: str
    part: Part | None = None


@dataclass(frozen=True)
class Listing:
    """All files that may be pictures, by source, and what is none. `classes`: sorted by name."""

    name: str
    classes: tuple[str, ...]
    files: tuple[Listed, ...]
    left_out: tuple[LeftOut, ...]


def holds_pictures(path: Path) -> bool:
    """Whether this is a folder with picture files somewhere in it, or a CSV with the columns path and label."""
    if path.is_dir():
        names = (name for _, _, files in os.walk(path) for name in files)
        return any(_is_picture_name(name) for name, _ in zip(names, range(_ENTRIES_LOOKED_AT), strict=False))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline(_ENTRIES_LOOKED_AT)
    except (OSError, UnicodeDecodeError):
        return False
    return {*_COLUMNS} <= {cell.strip().lower() for cell in first.replace(";", ",").split(",")}


def loose_pictures(folder: Path) -> list[Path]:
    """Files with the name of a picture in a folder, at any depth, sorted; their class is nobody's matter."""
    return [file for file in _files(folder) if _is_picture_name(file.name)]


def list_pictures(path: Path) -> Listing:
    """The files of a folder or of a CSV. Nothing is opened. Raises PictureDataError where there is no class at all."""
    if path.is_dir():
        return _from_folder(path)
    if path.is_file():
        return _from_csv(path)
    raise PictureDataError(
        f"{path}: no such folder or file; give a folder with a folder per class, or a CSV path,label"
    )


def _from_folder(folder: Path) -> Listing:
    folders = _folders(folder)
    parts = {one: _PARTS[one.name.lower()] for one in folders if one.name.lower() in _PARTS}
    divided = bool(parts) and len(parts) == len(folders) and "train" in parts.values()
    roots: list[tuple[Path, Part | None]] = [*parts.items()] if divided else [(folder, None)]
    found: list[Listed] = []
    left_out: list[LeftOut] = []
    empty: dict[str, str] = {}
    for root, part in roots:
        for class_folder in _folders(root):
            before = len(found)
            for file in _files(class_folder):
                source = file.relative_to(folder).as_posix()
                if _is_picture_name(file.name):
                    found.append(Listed(file, source, class_folder.name, part))
                else:
                    left_out.append(LeftOut(source, "not the name of a picture file"))
            if len(found) == before and part in (None, "train"):
                empty[class_folder.name] = class_folder.relative_to(folder).as_posix()
    if not found:
        loose = any(_is_picture_name(one.name) for one in folder.iterdir() if one.is_file())
        raise PictureDataError(
            f"{folder}: its pictures lie in no class folder; make a folder per class and move them there"
            if loose
            else f"{folder}: holds no pictures; it takes a folder per class with picture files in it"
        )
    if empty:
        raise PictureDataError(
            f"{folder}: class folder {next(iter(empty.values()))} holds no pictures; put some in, or remove the folder"
        )
    return _listing(folder.resolve().name, found, left_out)


def _from_csv(table: Path) -> Listing:
    found: list[Listed] = []
    left_out: list[LeftOut] = []
    missing = []
    for number, row in _rows(table):
        name, label = (row.get("path") or "").strip(), (row.get("label") or "").strip()
        if not name or not label:
            left_out.append(LeftOut(f"{table.name} line {number}", "no path or no label"))
            continue
        file = table.parent / name
        if not file.is_file():
            missing.append(f"line {number}: {name}")
            left_out.append(LeftOut(name, "no such file"))
            continue
        part = _PARTS.get((row.get("split") or "").strip().lower())
        found.append(Listed(file, name, label, part))
    if missing and len(missing) > _MISSING_SHARE_MAX * (len(found) + len(missing)):
        raise PictureDataError(
            f"{table}: {len(missing)} of the {len(found) + len(missing)} files that it names are not there, the first "
            f"on {missing[0]}; paths are relative to the CSV's folder"
        )
    if not found:
        raise PictureDataError(f"{table}: names no pictures; each line takes a path and a label")
    if len({one.part for one in found}) > 1 and any(one.part is None for one in found):
        raise PictureDataError(
            f"{table}: some lines have a split and some do not; give all train, val or test, or none"
        )
    return _listing(table.resolve().stem, found, left_out)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if header.count(";") > header.count(",") else ",")
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            lacking = [column for column in _COLUMNS if column not in reader.fieldnames]
            if lacking:
                raise PictureDataError(
                    f"{table}: has no column {lacking[0]}; its first line names the columns: path,label"
                )
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise PictureDataError(f"{table}: is no CSV in UTF-8 ({error}); save it as one") from error


def _listing(name: str, found: list[Listed], left_out: list[LeftOut]) -> Listing:
    classes = tuple(sorted({one.label for one in found}))
    return Listing(name, classes, tuple(sorted(found, key=lambda one: one.source)), tuple(left_out))


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(top) / name


def _is_picture_name(name: str) -> bool:
    return Path(name).suffix.lower() in Image.registered_extensions()

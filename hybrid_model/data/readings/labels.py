"""Labels of readings: which are classes, and what is none."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np

from hybrid_model.data.own import LeftOut
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.table import Table
from hybrid_model.data.readings.windows import Windows

__all__ = ["check_classes", "in_order"]

#: So many numbers with decimals may be names of classes (a load of 0.5 kW); more are measured values.
_DECIMAL_CLASSES_MAX = 20
_CLASSES_MAX = 1000
_WHOLE = re.compile(r"^[-+]?\d+[.,]0*$")


def in_order(table: Table, source: str, column: str) -> Table:
    """The table with its labels in order: numbers by size, else by name; 1.0 is written 1.

    Raises ReadingsError where there is none, or they are measured values and no classes.
    """
    if not table.labels:
        raise ReadingsError(
            f"{source}: column {column!r} is empty; every reading that shall teach needs the name of a class"
        )
    names = [re.split("[.,]", name)[0] if _WHOLE.match(name) else name for name in table.labels]
    numbers = [_number(name) for name in names]
    distinct = sorted(set(names))
    if all(number is not None for number in numbers):
        distinct = sorted(distinct, key=lambda name: (_number(name), name))
        decimal = [name for name in distinct if _number(name) != int(_number(name) or 0)]
        if decimal and len(distinct) > _DECIMAL_CLASSES_MAX:
            raise ReadingsError(
                f"{source}: column {column!r} holds measured values ({', '.join(decimal[:3])}, ...; {len(distinct):,} "
                "different ones) and no classes; a network of this kind tells classes apart and predicts no number: "
                "write a column with the names of ranges, or name another with --label-column"
            )
    if len(distinct) > _CLASSES_MAX:
        raise ReadingsError(
            f"{source}: column {column!r} has {len(distinct):,} different labels, {_CLASSES_MAX:,} are taken at most; "
            "name the column of the classes with --label-column"
        )
    code = {name: number for number, name in enumerate(distinct)}
    new = np.array([*(code[name] for name in names), -1], np.int32)
    return dataclasses.replace(table, label=new[table.label], labels=tuple(distinct))


def check_classes(
    windows: Windows, labels: tuple[str, ...], least: int, path: Path
) -> tuple[Windows, tuple[str, ...], list[LeftOut]]:
    """The windows of classes with at least `least` of them, numbered anew, the classes, and those that are left out.

    Raises ReadingsError where fewer than two are left.
    """
    counts = np.bincount(windows.label, minlength=len(labels))
    kept = np.flatnonzero(counts >= least)
    few = [
        LeftOut(f"class {labels[code]}", f"{counts[code]} windows, at least {least} are needed: record more of it")
        for code in np.flatnonzero(counts < least)
    ]
    if len(kept) < 2:
        only = f"only the class {labels[kept[0]]!r} has" if len(kept) else "no class has"
        others = "" if not few else f" ({'; '.join(f'{one.source}: {one.reason}' for one in few[:3])})"
        raise ReadingsError(
            f"{path}: {only} {least} windows or more{others}; there have to be two classes to tell apart"
        )
    code = np.full(len(labels), -1, np.int64)
    code[kept] = np.arange(len(kept))
    windows = windows.take(counts[windows.label] >= least)
    return dataclasses.replace(windows, label=code[windows.label]), tuple(labels[one] for one in kept), few


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None

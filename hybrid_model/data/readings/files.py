"""Which files are read, and what stands in their first bytes: delimiter, encoding, decimal sign, columns."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_model.data.readings.error import ReadingsError

__all__ = ["CsvForm", "arrow", "csv_form", "files_in", "is_parquet", "text_columns"]

#: Of the files in a folder those are read; a file that is named may be called anything.
_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
_HEAD_BYTES = 1 << 18
_SAMPLE_ROWS = 200
_DECIMAL_COMMA = re.compile(r"^\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*$")
#: What stands for a cell without a value.
EMPTY = ("", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None")


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written, and its columns; `sample`: some of its first rows."""

    columns: tuple[str, ...]
    delimiter: str
    decimal: str
    encoding: str
    sample: tuple[tuple[str, ...], ...]


def arrow() -> Any:
    """The module pyarrow, with its readers. Raises ReadingsError where it is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise ReadingsError(
            "reading CSV and Parquet needs pyarrow; install it: pip install 'dewpoint[train]'"
        ) from None
    return pa


def files_in(path: Path) -> list[Path]:
    """The file, or the files of readings in a folder and the folders in it, by name. Raises ReadingsError."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ReadingsError(f"{path}: no such file or folder")
    found = sorted(one for one in path.rglob("*") if one.is_file() and one.name.lower().endswith(_ENDINGS))
    if not found:
        raise ReadingsError(f"{path}: holds no file of readings; their names end in {', '.join(_ENDINGS)}")
    return found


def is_parquet(path: Path) -> bool:
    """Whether it is read as Parquet: by its name."""
    return path.name.lower().endswith((".parquet", ".pq"))


def csv_form(path: Path) -> CsvForm:
    """How the file is written, from its first 256 KiB. Raises ReadingsError where it cannot be a table of readings."""
    pa = arrow()
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            head = stream.read(_HEAD_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise ReadingsError(f"{path}: cannot be read ({error})") from None
    if not head.strip():
        raise ReadingsError(f"{path}: is empty; the first line has to name the columns: device, time, label, channels")
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ReadingsError(f"{path}: is no text; readings are CSV, or Parquet in a file whose name ends in .parquet")
    encoding, text = _decoded(head)
    lines = text.splitlines()
    if len(head) == _HEAD_BYTES:
        lines = lines[:-1]  # it may be cut anywhere
    header = lines[0] if lines else ""
    if not header.strip():
        raise ReadingsError(f"{path}: the first line is empty; it has to name the columns: device,time,label,...")
    delimiter = max(",;\t|", key=header.count)
    try:
        rows = list(csv.reader((line for line in lines[: 1 + _SAMPLE_ROWS] if line.strip()), delimiter=delimiter))
    except csv.Error as error:
        raise ReadingsError(f"{path}: is no CSV ({error}); look for a quotation mark too many") from None
    columns = tuple(name.strip() for name in rows[0])
    if len(columns) > 1 and all(_number(name) for name in columns):
        raise ReadingsError(f"{path}: the first line is numbers; it has to name the columns: device,time,label,...")
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ReadingsError(f"{path}: column {twice[0]!r} is named twice; rename one of them")
    sample = tuple(tuple(row) for row in rows[1:])
    if not sample:
        raise ReadingsError(f"{path}: holds a header and no readings")
    comma = delimiter != "," and any(_DECIMAL_COMMA.match(cell) for row in sample for cell in row)
    return CsvForm(columns, delimiter, "," if comma else ".", encoding, sample)


def text_columns(form: CsvForm) -> set[str]:
    """Columns of which the first value is no number: they cannot be channels."""
    found = set()
    for number, name in enumerate(form.columns):
        cells = (row[number].strip() for row in form.sample if number < len(row))
        first = next((cell for cell in cells if cell not in EMPTY), None)
        if first is not None and not _number(first.replace(",", ".") if form.decimal == "," else first):
            found.add(name)
    return found


def _decoded(head: bytes) -> tuple[str, str]:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    for cut in range(4):  # a letter of several bytes may be cut off at the end
        try:
            return "utf-8", head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(head) - cut - 4:
                break
    return "cp1252", head.decode("cp1252", errors="replace")


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

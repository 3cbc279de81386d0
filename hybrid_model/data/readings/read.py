"""Files of readings into one table, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data.readings.columns import Columns
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.files import EMPTY, CsvForm, arrow
from hybrid_model.data.readings.form import TimeUnit
from hybrid_model.data.readings.table import Table
from hybrid_model.data.readings.times import seconds

__all__ = ["VALUES_MAX", "read_table"]

_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 1 << 16
#: Readings times channels that are read at most: 4 GiB as float32.
VALUES_MAX = 1 << 30
_COLUMN_NUMBER = re.compile(r"CSV column #(\d+)")


def read_table(files: Sequence[tuple[Path, CsvForm | None]], columns: Columns) -> tuple[Table, TimeUnit | None]:
    """All rows of `files`, and the unit of their times. A file is a device where there is no column for it.

    In memory lie the readings (4 bytes each, and 20 a row) and one block of 8 MiB. Raises ReadingsError for a cell that
    is no number, rows of different lengths, bytes that are no text, or more than VALUES_MAX values.
    """
    collected = _Collected(columns)
    for path, form in files:
        collected.begin(path)
        try:
            for batch in _parquet(path, columns) if form is None else _csv(path, form, columns):
                collected.add(path, batch)
        except arrow().ArrowException as error:
            raise ReadingsError(f"{path}: {_told(str(error), form)}") from None
        except (OSError, UnicodeError) as error:
            raise ReadingsError(f"{path}: cannot be read ({error}); write it as UTF-8") from None
    return collected.table(), collected.unit


def _csv(path: Path, form: CsvForm, columns: Columns) -> Iterator[Any]:
    pa = arrow()
    from pyarrow import csv

    words = pa.dictionary(pa.int32(), pa.string())
    types: dict[str, Any] = dict.fromkeys(columns.channels, pa.float64())
    if columns.time is not None:
        types[columns.time] = pa.string()
    for name in (columns.device, columns.label):
        if name is not None:
            types[name] = words
    # csv_form has looked at the header.
    with (
        pa.input_stream(str(path), compression="detect") as stream,
        csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                block_size=_BLOCK_BYTES, encoding=form.encoding, column_names=list(form.columns), skip_rows=1
            ),
            parse_options=csv.ParseOptions(delimiter=form.delimiter),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=list(EMPTY),
                decimal_point=form.decimal,
            ),
        ) as reader,
    ):
        yield from reader


def _parquet(path: Path, columns: Columns) -> Iterator[Any]:
    from pyarrow import parquet

    named = [*columns.channels, *(n for n in (columns.device, columns.time, columns.label) if n is not None)]
    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=named)


class _Collected:
    """What was read so far."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.unit = columns.time_unit
        self.rows = 0
        self.values: list[npt.NDArray[np.float32]] = []
        self.device: list[npt.NDArray[np.int32]] = []
        self.label: list[npt.NDArray[np.int32]] = []
        self.time_s: list[npt.NDArray[np.float64]] = []
        self.devices: dict[str, int] = {}
        self.labels: dict[str, int] = {}
        self.file_device = ""

    def begin(self, path: Path) -> None:
        self.file_device = path.name.partition(".")[0]

    def add(self, path: Path, batch: Any) -> None:
        columns, count = self.columns, len(batch)
        self.rows += count
        if self.rows * len(columns.channels) > VALUES_MAX:
            raise ReadingsError(
                f"{path}: more than {VALUES_MAX:,} values; give fewer files, or fewer columns with --channels"
            )
        values = np.empty((count, len(columns.channels)), np.float32)
        with np.errstate(over="ignore"):
            for number, name in enumerate(columns.channels):
                values[:, number] = _numbers(path, name, batch.column(name))
        values[~np.isfinite(values)] = np.nan
        self.values.append(values)
        if columns.device is None:
            code = self.devices.setdefault(self.file_device, len(self.devices))
            self.device.append(np.full(count, code, np.int32))
        else:
            self.device.append(_codes(batch.column(columns.device), self.devices))
        self.label.append(_codes(batch.column(columns.label), self.labels))
        if columns.time is not None:
            try:
                times, self.unit = seconds(batch.column(columns.time), self.unit)
            except ReadingsError as error:
                raise ReadingsError(f"{path}: column {columns.time!r}: {error}") from None
            self.time_s.append(times)

    def table(self) -> Table:
        channels = self.columns.channels
        values = np.empty((self.rows, len(channels)), np.float32)
        at = 0
        while self.values:  # each block goes as soon as it is copied
            block = self.values.pop(0)
            values[at : at + len(block)] = block
            at += len(block)
        return Table(
            values=values,
            device=np.concatenate([np.empty(0, np.int32), *self.device]),
            label=np.concatenate([np.empty(0, np.int32), *self.label]),
            time_s=None if self.columns.time is None else np.concatenate([np.empty(0), *self.time_s]),
            devices=tuple(self.devices),
            labels=tuple(self.labels),
            channels=channels,
        )


def _numbers(path: Path, name: str, column: Any) -> npt.NDArray[Any]:
    pa = arrow()
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise ReadingsError(f"{path}: column {name!r} is {column.type}, not numbers; leave it out with --channels")
    # By way of float64, as the edge reads a number of a message.
    numbers: npt.NDArray[Any] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _codes(column: Any, known: dict[str, int]) -> npt.NDArray[np.int32]:
    """Text as numbers (N,) of `known`, which grows; -1 where empty."""
    pa = arrow()
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    names = [None if word is None else str(word).strip() for word in column.dictionary.to_pylist()]
    codes = [-1 if not name else known.setdefault(name, len(known)) for name in names]
    table = np.array([*codes, -1], np.int32)  # the last one is that of an empty cell
    found: npt.NDArray[np.int32] = table[column.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
    return found


def _told(message: str, form: CsvForm | None) -> str:
    """What Arrow says, with the name of a column instead of its number."""
    message = message.splitlines()[0]
    number = _COLUMN_NUMBER.search(message)
    if number is not None and form is not None and int(number[1]) < len(form.columns):
        message = _COLUMN_NUMBER.sub(f"column {form.columns[int(number[1])]!r}", message)
    if "UTF8" in message:
        return f"{message}; write the file as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8)"
    return f"{message}; mend the file, or name the columns of readings with --channels"

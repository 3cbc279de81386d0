"""Files of readings as one table, with its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid_model.data.readings.columns import Columns, find_columns
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.files import CsvForm, arrow, csv_form, files_in, is_parquet, text_columns
from hybrid_model.data.readings.read import read_table
from hybrid_model.data.readings.table import Table

__all__ = ["opened"]

#: 1980: what is less was counted from a start of its own.
_EPOCH_FROM_S = 315_532_800.0


def opened(path: Path, given: Mapping[str, Any]) -> tuple[Table, Columns, list[str]]:
    """The table of a file, or of all files of a folder, its columns, and what is to be told.

    `given`: what of its columns is named, as for `find_columns`. Raises ReadingsError.
    """
    notes: list[str] = []
    files: list[tuple[Path, CsvForm | None]] = []
    columns: Columns | None = None
    for file in files_in(path):
        form = None if is_parquet(file) else csv_form(file)
        header, text = _parquet_columns(file) if form is None else (form.columns, text_columns(form))
        if form is not None and form.encoding != "utf-8":
            notes.append(f"{file.name} is no UTF-8: read as {form.encoding}")
        if form is not None and (form.delimiter != "," or form.decimal != "."):
            notes.append(f"{file.name}: columns are separated by {form.delimiter!r}, decimals by {form.decimal!r}")
        if columns is None:
            columns = find_columns(str(file), header, text, **given)
            if columns.dropped:
                dropped = ", ".join(map(repr, columns.dropped))
                notes.append(f"no channels, since they hold text or have no name: {dropped}")
        needed = {*columns.channels, columns.device, columns.time, columns.label} - {None}
        lacking = sorted(map(str, needed - set(header)))
        if lacking:
            raise ReadingsError(
                f"{file}: has no column {lacking[0]!r}, as other files of {path} have; add it, or move the file away"
            )
        files.append((file, form))
    assert columns is not None
    table, unit = read_table(files, columns)
    if not len(table):
        raise ReadingsError(f"{path}: holds a header and no readings")
    if columns.time_unit is None and unit == "s" and table.time_s is not None and table.time_s[0] < _EPOCH_FROM_S:
        notes.append("times are no dates: read as seconds, unless --time-unit says otherwise")
    return table, replace(columns, time_unit=unit), notes


def _parquet_columns(file: Path) -> tuple[tuple[str, ...], set[str]]:
    """The columns of a Parquet file, and which of them are no numbers. Raises ReadingsError."""
    pa = arrow()
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise ReadingsError(f"{file}: is no Parquet file ({str(error).splitlines()[0]}); write it anew") from None
    text = {one.name for one in schema if not (pa.types.is_integer(one.type) or pa.types.is_floating(one.type))}
    return tuple(schema.names), text

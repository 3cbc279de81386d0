"""Files of readings become a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_model.data.dataset import SPLITS, Dataset, Split
from hybrid_model.data.own import LeftOut, OwnData
from hybrid_model.data.readings.columns import Columns, find_columns
from hybrid_model.data.readings.division import divide
from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.files import arrow, csv_form, files_in, is_parquet, text_columns
from hybrid_model.data.readings.form import ReadingsForm, SplitBy, TimeUnit
from hybrid_model.data.readings.labels import check_classes, in_order
from hybrid_model.data.readings.length import chosen_length
from hybrid_model.data.readings.read import read_table
from hybrid_model.data.readings.recordings import Recording, measured_rate, recordings
from hybrid_model.data.readings.table import Table
from hybrid_model.data.readings.windows import Windows, block_digests, cut_windows

__all__ = ["OwnReadings", "load_readings", "opened"]

#: A class with fewer windows cannot be learned, and what is measured of it says nothing.
CLASS_WINDOWS_MIN = 10
_SPLIT_WINDOWS_MIN = {"train": 40, "tuning": 5, "calibration": 5, "test": 5}
#: Bytes of all windows: beyond, they are asked to be fewer.
_WINDOW_BYTES_MAX = 8 << 30


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnReadings(OwnData):
    """Own data made of readings; `form`: how they were cut."""

    form: ReadingsForm


def load_readings(
    path: Path | str,
    *,
    device: str | None = None,
    time: str | None = None,
    time_unit: TimeUnit | None = None,
    label: str | None = None,
    channels: Sequence[str] | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    rate_hz: float | None = None,
    split: SplitBy | None = None,
) -> OwnReadings:
    """A file of readings, or a folder of them, as windows x (N, 1, length, C) float32 in the files' own units.

    A row is a reading: `device` (or `subject`; a file is one where there is no such column), `time` (epoch seconds, ms,
    us or ns, or ISO 8601; none where `rate_hz` says how readings follow each other), `label`, and channels. `device`,
    `time` and `label` name other columns, `channels` some instead of all that are left. `window_s`, `hop_s`: seconds of
    a window and from one's start to the next; chosen from rate and labels, and half a window, where None. `rate_hz`
    other than the readings' own: they are interpolated to it. `split`: None by device where there are some.

    Windows with two labels, or with readings that have none, are left out, as are classes with fewer than ten windows.
    Raises ReadingsError, in one line with the remedy.
    """
    path = Path(path)
    given = {"device": device, "time": time, "time_unit": time_unit, "label": label, "channels": channels}
    table, columns, notes = opened(path, given)
    if columns.device is None:
        notes.append(f"no column 'device' or 'subject': {'each file is' if len(table.devices) > 1 else 'all is of'} one")
    table = in_order(table, str(path), columns.label)
    table, constant_notes = _checked_channels(table, path, chosen=channels is not None)
    notes += constant_notes
    columns = Columns(columns.device, columns.time, columns.time_unit, columns.label, table.channels, columns.dropped)
    rate = measured_rate(table, rate_hz)
    if rate.resampled:
        notes.append(
            f"readings are interpolated to {rate.rate_hz:g} Hz ({rate.why}): devices have to send them at that rate"
        )
    found, cuts = recordings(table, rate)
    notes += cuts.told()
    length, hop, length_note = chosen_length(found, rate.rate_hz, window_s, hop_s)
    notes.append(length_note)
    found, copies = _without_copies(found, length, table.devices)
    windows = cut_windows(found, length, hop)
    _must_have_some(path, windows, found)
    if len(windows) * length * len(table.channels) * 4 > _WINDOW_BYTES_MAX:
        raise ReadingsError(
            f"{path}: {len(windows):,} windows take more than {_WINDOW_BYTES_MAX >> 30} GiB; give fewer files, a longer "
            "--hop-s or fewer --channels"
        )
    if windows.mixed:
        notes.append(f"{windows.mixed:,} windows are left out since labels change within them")
    if windows.unlabelled:
        notes.append(f"{windows.unlabelled:,} windows are left out since readings in them have no label")
    windows, classes, few = check_classes(windows, table.labels, CLASS_WINDOWS_MIN, path)
    assigned, by, told = divide(windows, table.devices, split)
    notes += told
    dataset, parts = _dataset(path, windows, assigned, classes, columns, rate.rate_hz)
    notes += _thin(dataset, path)
    form = ReadingsForm(
        columns.device, columns.time, columns.time_unit, columns.label, columns.channels,
        length, hop, rate.rate_hz, rate.resampled, by,
    )  # fmt: skip
    return OwnReadings(
        dataset=dataset,
        sources={name: part.sources(table.devices) for name, part in parts.items()},
        digests={name: _digests(part) for name, part in parts.items()},
        left_out=(*copies, *few),
        notes=tuple(notes),
        form=form,
    )


def opened(path: Path, given: dict[str, object]) -> tuple[Table, Columns, list[str]]:
    """The table of the files, their columns and what is to be told. Raises ReadingsError."""
    pa = arrow()
    notes: list[str] = []
    files, columns = [], None
    for file in files_in(path):
        if is_parquet(file):
            from pyarrow import parquet

            try:
                schema = parquet.read_schema(file)
            except (OSError, pa.ArrowException) as error:
                raise ReadingsError(f"{file}: is no Parquet file ({str(error).splitlines()[0]})") from None
            form, header = None, tuple(schema.names)
            text = {f.name for f in schema if not (pa.types.is_integer(f.type) or pa.types.is_floating(f.type))}
        else:
            form = csv_form(file)
            header, text = form.columns, text_columns(form)
            if form.encoding != "utf-8":
                notes.append(f"{file.name} is no UTF-8: read as {form.encoding}")
            if form.delimiter != "," or form.decimal != ".":
                notes.append(f"{file.name}: columns are separated by {form.delimiter!r}, decimals by {form.decimal!r}")
        if columns is None:
            columns = find_columns(str(file), header, text, **given)  # type: ignore[arg-type]
            if columns.dropped:
                notes.append(f"no channels, since they hold text or have no name: {', '.join(map(repr, columns.dropped))}")
        needed = {*columns.channels, columns.device, columns.time, columns.label} - {None}
        if not needed <= set(header):
            lacking = sorted(map(str, needed - set(header)))[0]
            raise ReadingsError(f"{file}: has no column {lacking!r}, as other files of {path} have; add it, or move it away")
        files.append((file, form))
    assert columns is not None
    table, unit = read_table(files, columns)
    if not len(table):
        raise ReadingsError(f"{path}: holds a header and no readings")
    return table, Columns(
        columns.device, columns.time, unit, columns.label, columns.channels, columns.dropped
    ), notes  # fmt: skip


def _checked_channels(table: Table, path: Path, *, chosen: bool) -> tuple[Table, list[str]]:
    """Without channels that only count rows; raises ReadingsError where one is empty mostly."""
    notes: list[str] = []
    kept = []
    for number, name in enumerate(table.channels):
        column = table.values[:, number]
        empty = float(np.isnan(column).mean())
        if empty > 0.5:
            raise ReadingsError(
                f"{path}: column {name!r} is empty in {empty:.0%} of the rows; leave it out with --channels, or fill it in"
            )
        steps = column[1:1000] - column[:999][: len(column[1:1000])]
        if not chosen and len(table) > 2 and (steps == 1).all() and (np.diff(column[:: max(1, len(column) // 1000)]) > 0).all():
            notes.append(f"column {name!r} counts rows and is no channel; --channels would take it")
            continue
        kept.append(number)
        if np.nanmin(column) == np.nanmax(column):
            notes.append(f"channel {name!r} is constant and tells nothing; --channels without it makes the network smaller")
    if not kept:
        raise ReadingsError(f"{path}: has no channel but one that counts rows; name the columns with --channels")
    if len(kept) < len(table.channels):
        table = Table(
            np.ascontiguousarray(table.values[:, kept]), table.device, table.label, table.time_s, table.devices,
            table.labels, tuple(table.channels[number] for number in kept),
        )  # fmt: skip
    return table, notes


def _without_copies(
    found: Sequence[Recording], length: int, devices: Sequence[str]
) -> tuple[list[Recording], list[LeftOut]]:
    """Without recordings that are the same as one before, value for value: one could train, and its copy judge."""
    seen: dict[bytes, Recording] = {}
    kept, copies = [], []
    for recording in found:
        if len(recording.values) < length:
            kept.append(recording)
            continue
        digest = hashlib.sha256(np.ascontiguousarray(recording.values)).digest()
        first = seen.setdefault(digest, recording)
        if first is recording or recording.values.min() == recording.values.max():
            kept.append(recording)
        else:
            copies.append(LeftOut(devices[recording.device], f"a copy of a recording of {devices[first.device]}"))
    return kept, copies


def _must_have_some(path: Path, windows: Windows, found: Sequence[Recording]) -> None:
    if len(windows):
        return
    longest = max((len(recording.values) for recording in found), default=0)
    raise ReadingsError(
        f"{path}: no window of {windows.length} readings without a gap and with one label (the longest stretch without a "
        f"gap has {longest}); take a shorter --window-s, or mend times and labels"
    )


def _dataset(
    path: Path, windows: Windows, assigned: np.ndarray, classes: tuple[str, ...], columns: Columns, rate_hz: float  # type: ignore[type-arg]
) -> tuple[Dataset, dict[str, Windows]]:
    parts = {name: windows.take(assigned == number) for number, name in enumerate(SPLITS)}
    splits = {
        name: Split(x=part.x(), y=part.label, group=part.device, segment=part.segment()) for name, part in parts.items()
    }
    dataset = Dataset(
        name=path.name.partition(".")[0] or "readings",
        classes=classes,
        kind="sensor",
        **splits,
        channels=columns.channels,
        rate_hz=rate_hz,
        hop=windows.hop,
    )
    return dataset, parts


def _thin(dataset: Dataset, path: Path) -> list[str]:
    """What is to be told of splits that lack classes; raises ReadingsError where there is too little to train or judge."""
    notes = []
    for name, least in _SPLIT_WINDOWS_MIN.items():
        split = dataset.split(name)
        if len(split) < least:
            raise ReadingsError(
                f"{path}: {len(split)} windows for the split {name!r}, at least {least} are needed; record longer, or take "
                "a shorter --window-s or --hop-s"
            )
        lacking = [dataset.classes[code] for code in sorted(set(range(len(dataset.classes))) - set(split.y.tolist()))]
        if lacking and name == "train":
            raise ReadingsError(f"{path}: no window of {lacking[0]!r} is left to train with; record more of it")
        if lacking and name == "test":
            notes.append(f"the test split has no windows of {', '.join(lacking)}: nothing is measured of them")
    return notes


def _digests(windows: Windows) -> tuple[bytes, ...]:
    """Of each block of readings that a window of these touches."""
    found: set[bytes] = set()
    digests: dict[int, list[bytes]] = {}
    length = windows.length
    for number, start in zip(windows.recording.tolist(), windows.start.tolist(), strict=True):
        if number not in digests:
            digests[number] = block_digests(windows.recordings[number], length)
        of = digests[number]
        found.update(of[start // length : -(-(start + length) // length)])
    return tuple(sorted(found))

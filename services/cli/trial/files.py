"""Files -> samples: pictures and tables of readings, decoded as an edge worker decodes what comes by MQTT."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from hybrid_model.bundle import Manifest
from hybrid_model.errors import DewpointError
from services.cli.trial.rows import read_rows
from services.cli.trial.windows import Assembly
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import ReadingKind, SampleKind, payload_kind
from services.edge.ingest.windows import window_rule
from services.messages import MessageError
from services.settings import InputSettings, LimitSettings, WindowSettings

__all__ = ["FileReader", "FileSamples", "TrialError", "TrialSample"]

_TABLES: Final = (".csv", ".tsv")
_REMEDIES: Final = {
    "wrong_shape": 'an edge worker refuses it too, unless its input says fit = "resize": --fit resize scales it',
    "bad_image": "is it a JPEG, PNG or WebP file, and whole?",
    "too_many_pixels": "make it smaller; limits.image_pixels_max is an edge worker's limit",
    "oversized": "an edge worker refuses it too (limits.payload_bytes_max): make it smaller",
}


class TrialError(DewpointError):
    """A file of which no sample can be made; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class TrialSample:
    """A whole sample: `array` (H, W, C) of the bundle's type; `source`: its file, and of readings device and rows."""

    source: str
    array: npt.NDArray[Any]


@dataclass(frozen=True)
class FileSamples:
    """What a file holds. `notes`: what was done with it; `problems`: what could not be read of it."""

    samples: list[TrialSample]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class FileReader:
    """Reads files for one bundle.

    Args:
        manifest: The bundle's.
        fit: Of pictures of another size: "exact" refuses them, "resize" scales them.
        hop: Readings from one window's start to the next; the window's length if none.

    Raises:
        TrialError: the bundle takes neither pictures nor readings, or the hop does not fit it.
    """

    def __init__(self, manifest: Manifest, *, fit: str = "exact", hop: int | None = None) -> None:
        self._manifest, self._limits = manifest, LimitSettings()
        expected = manifest.input
        self._settings = InputSettings(
            kind="image" if expected.kind == "image" else "sensor",
            fit=fit,
            window=WindowSettings(hop=hop),
        )
        try:
            self._kind = payload_kind(expected, self._settings, self._limits)
            self._rule = window_rule(self._settings, expected) if isinstance(self._kind, ReadingKind) else None
        except EdgeError as error:
            raise TrialError(f"{manifest.name} {error}") from None

    def read(self, path: Path) -> FileSamples:
        """The samples of a file. Raises TrialError, or OSError where it cannot be read."""
        if path.is_dir():
            raise TrialError(f"{path}: is a folder; give the files in it, as {path}/*.jpg")
        table = path.suffix.lower() in _TABLES
        if isinstance(self._kind, SampleKind):
            if table:
                raise TrialError(f"{path}: {self._manifest.name} takes pictures; give JPEG, PNG or WebP files")
            return FileSamples([TrialSample(str(path), self._picture(path, self._kind))])
        if not table:
            raise TrialError(
                f"{path}: {self._manifest.name} takes windows of readings; give a CSV file with the columns "
                f"{', '.join(self._manifest.input.channels or ['of its channels'])}"
            )
        return self._readings(path)

    def _picture(self, path: Path, kind: SampleKind) -> npt.NDArray[Any]:
        try:
            size, allowed = path.stat().st_size, self._limits.payload_bytes_max
            if size > allowed:
                raise MessageError("oversized", f"{size:,} bytes, {allowed:,} are allowed")
            return kind.sample(path.read_bytes(), time.time()).array
        except MessageError as error:
            remedy = _REMEDIES.get(error.reason)
            raise TrialError(f"{path}: {error}" + (f"; {remedy}" if remedy else "")) from None

    def _readings(self, path: Path) -> FileSamples:
        assert isinstance(self._kind, ReadingKind)
        assert self._rule is not None
        assembly = Assembly(self._kind, self._rule)
        try:
            table = read_rows(path, self._manifest.input, **_column_names(self._manifest))
            found = [
                TrialSample(f"{path}:{window.place}", window.rows.reshape(self._manifest.input.shape))
                for row in table.rows
                for window in assembly.feed(row)
            ]
        except ValueError as error:
            raise TrialError(f"{path}: {error}") from None
        problems = [f"{path}: {problem}" for problem in assembly.problems]
        if not found and not problems:
            problems = [f"{path}: no window is full: {assembly.why_none()}"]
        notes = [f"{path}: {note}" for note in (*table.notes, *assembly.notes())] if found else []
        return FileSamples(found, notes, problems)


def _column_names(manifest: Manifest) -> dict[str, str | None]:
    """What the training files of a network of own readings called the columns of the device and of the time."""
    form = manifest.provenance.get("readings")
    if not isinstance(form, dict):
        return {}
    names = {name: form.get(name) for name in ("device", "time")}
    return {name: found if isinstance(found, str) else None for name, found in names.items()}

"""What of somebody's own files a network was not trained with."""

from __future__ import annotations

import base64
from pathlib import Path

from hybrid_model.bundle import Manifest
from hybrid_model.data import Dataset
from hybrid_model.data.readings import ReadingsForm, load_readings, unseen_readings
from hybrid_model.data.readings.windows import DIGEST_BYTES
from hybrid_model.evaluation.answers import EvaluationError

__all__ = ["held_out_readings", "readings_as_trained"]


def held_out_readings(manifest: Manifest, path: Path | str) -> tuple[Dataset, tuple[str, ...]]:
    """The windows of files of readings that the network may be judged by, as the test split; and what is to be told.

    They are cut as those that it was trained with. Raises EvaluationError for a network of other data, ReadingsError
    where the files cannot be read or nothing of them is left.
    """
    form, known = _made_of(manifest)
    seen = set().union(*(of for name, of in known.items() if name != "test"))
    return unseen_readings(path, form, manifest.classes, seen=seen, tested=known.get("test", frozenset()))


def readings_as_trained(manifest: Manifest, path: Path | str) -> Dataset:
    """The data set that the network was trained with, from the same files, divided as it was.

    Raises EvaluationError where the files are others, ReadingsError where they cannot be read.
    """
    form, known = _made_of(manifest)
    own = load_readings(
        path,
        device=form.device,
        time=form.time,
        time_unit=form.time_unit,
        label=form.label,
        channels=form.channels,
        window_s=form.length / form.rate_hz,
        hop_s=form.hop / form.rate_hz,
        rate_hz=form.rate_hz,
        split=form.split_by,
    )
    if {name: frozenset(of) for name, of in own.digests.items()} != known:
        raise EvaluationError(f"the readings of {path} are not those that {manifest.name} was trained with: name those")
    return own.dataset


def _made_of(manifest: Manifest) -> tuple[ReadingsForm, dict[str, frozenset[bytes]]]:
    files, form = manifest.split_files, manifest.provenance.get("readings")
    if files is None or files.kind != "readings" or not isinstance(form, dict):
        raise EvaluationError(f"bundle {manifest.name} was not trained with own readings: name a data set")
    return ReadingsForm.from_json(form), {name: _digests(text) for name, text in files.digests.items()}


def _digests(text: str) -> frozenset[bytes]:
    raw = base64.b64decode(text)
    return frozenset(raw[at : at + DIGEST_BYTES] for at in range(0, len(raw), DIGEST_BYTES))

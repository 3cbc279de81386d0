"""What of somebody's own files a network was not trained with."""

from __future__ import annotations

import base64
from pathlib import Path

from hybrid_model.bundle import Manifest
from hybrid_model.data import Dataset
from hybrid_model.data.readings import ReadingsForm, unseen_readings
from hybrid_model.data.readings.windows import DIGEST_BYTES
from hybrid_model.evaluation.answers import EvaluationError

__all__ = ["held_out_readings"]


def held_out_readings(manifest: Manifest, path: Path | str) -> tuple[Dataset, tuple[str, ...]]:
    """The windows of files of readings that the network may be judged by, as the test split; and what is to be told.

    They are cut as those that it was trained with. Raises EvaluationError for a network of other data, ReadingsError
    where the files cannot be read or nothing of them is left.
    """
    files, form = manifest.split_files, manifest.provenance.get("readings")
    if files is None or files.kind != "readings" or not isinstance(form, dict):
        raise EvaluationError(f"bundle {manifest.name} was not trained with own readings: name a data set")
    known = {name: _digests(text) for name, text in files.digests.items()}
    seen = set().union(*(of for name, of in known.items() if name != "test"))
    return unseen_readings(
        path, ReadingsForm.from_json(form), manifest.classes, seen=seen, tested=known.get("test", frozenset())
    )


def _digests(text: str) -> frozenset[bytes]:
    raw = base64.b64decode(text)
    return frozenset(raw[at : at + DIGEST_BYTES] for at in range(0, len(raw), DIGEST_BYTES))

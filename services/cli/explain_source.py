"""Where an explanation comes from: a running edge worker, or a file or a sample of a data set and a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from hybrid_model.errors import DewpointError
from services.common.http_asker import AnswerUnreadableError, AskError, RefusedError, ask_for_object

if TYPE_CHECKING:
    import numpy.typing as npt

    from hybrid_model.bundle import Manifest

__all__ = ["ExplainError", "from_bundle", "from_worker", "kept_at"]

_TIMEOUT_S: Final = 60.0
_ANSWER_BYTES_MAX: Final = 64 << 20
_FILE_BYTES_MAX: Final = 64 << 20
_DATASET_SAMPLE: Final = re.compile(r"([a-z0-9]+):(\d+)")
_NO_WORKER: Final = "this is no edge worker's metrics address"
_NEEDED: Final = frozenset(("device", "id", "bundle", "decision", "input", "exits", "occlusion"))


class ExplainError(DewpointError):
    """There is nothing to explain; the message says why and what to do."""


def kept_at(worker: str) -> dict[str, Any]:
    """What a worker can explain: `{inputs_kept, kept, inputs}`. Raises ExplainError."""
    found = _get(worker, "/inputs", {})
    if not isinstance(found.get("inputs"), list):
        raise ExplainError(f"{worker}: {_NO_WORKER}")
    return found


def from_worker(worker: str, sample: str) -> dict[str, Any]:
    """A worker's explanation of a sample DEVICE/ID of which it kept the input. Raises ExplainError."""
    device, slash, sample_id = sample.rpartition("/")
    if not (device and slash and sample_id):
        raise ExplainError(f"{sample!r} is not DEVICE/ID; without it, --worker lists the samples that are kept")
    found = _get(worker, "/explain", {"device": device, "id": sample_id})
    if not found.keys() >= _NEEDED:
        raise ExplainError(f"{worker}: {_NO_WORKER}")
    return found


def from_bundle(
    sample: str, bundle: str | None, *, split: str = "test", exit_index: int | None = None
) -> dict[str, Any]:
    """The explanation of a picture, an .npy file, or a sample DATASET:NUMBER by a bundle's edge half.

    Without `bundle` that of the data set's name serves. Raises ExplainError, DataError or BundleError.
    """
    from hybrid_model import bundle as bundle_file
    from hybrid_model.explanation import explain
    from hybrid_model.runtime import EdgeEngine
    from services.edge.observe.explanation_json import explanation_json

    named = _DATASET_SAMPLE.fullmatch(sample)
    if bundle is None and named is None:
        raise ExplainError(f"{sample}: give the network that shall look at it, --bundle BUNDLE")
    loaded = bundle_file.load(bundle_file.resolve(bundle or sample.partition(":")[0]))
    manifest = loaded.manifest
    array = _of_file(Path(sample), manifest) if named is None else _of_dataset(named[1], int(named[2]), split)
    try:
        found = explain(EdgeEngine(loaded), manifest, array, exit_index=exit_index)
    except ValueError as error:
        raise ExplainError(f"{sample}: {manifest.name} cannot look at it: {error}") from None
    return explanation_json(manifest, found, array, device=None, sample_id=sample)


def _of_dataset(name: str, number: int, split: str) -> npt.NDArray[Any]:
    from hybrid_model import data

    if split not in data.SPLITS:
        raise ExplainError(f"no split {split!r}; there are {', '.join(data.SPLITS)}")
    samples = data.load(name).split(split)
    if number >= len(samples):
        raise ExplainError(f"{name} has {len(samples):,} {split} samples, numbered from 0; there is no {number}")
    found: npt.NDArray[Any] = samples.x[number]
    return found


def _of_file(path: Path, manifest: Manifest) -> npt.NDArray[Any]:
    import numpy as np

    from hybrid_model.pixels import PictureRules
    from services.messages import MessageError
    from services.pictures import decode_picture

    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise ExplainError(f"{path}: {_FILE_BYTES_MAX >> 20} MiB are read at most")
        raw = path.read_bytes()
    except OSError as error:
        remedy = "SAMPLE is a picture, an .npy file, DATASET:NUMBER, or DEVICE/ID with --worker"
        raise ExplainError(f"{path}: {error.strerror}; {remedy}") from None
    shape, dtype = manifest.input.shape, np.dtype(manifest.input.dtype)
    if path.suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ExplainError(f"{path}: not an array that numpy.save wrote: {error}") from None
        if array.size != np.prod(shape) or array.dtype.newbyteorder("=") != dtype:
            raise ExplainError(
                f"{path}: {array.dtype} {array.shape}; {manifest.name} takes {dtype} {tuple(shape)}, or the same flat"
            )
        return np.ascontiguousarray(array, dtype=dtype).reshape(shape)
    if manifest.input.kind == "sensor":
        raise ExplainError(f"{path}: {manifest.name} takes windows of readings; give an .npy file of {tuple(shape)}")
    try:
        return decode_picture(raw, shape, rules=PictureRules()).astype(dtype)
    except MessageError as error:
        raise ExplainError(f"{path}: no picture that can be read (JPEG, PNG, WebP): {error}") from None


def _get(worker: str, path: str, query: dict[str, str]) -> dict[str, Any]:
    base = worker if "://" in worker else f"http://{worker}"
    if not base.lower().startswith(("http://", "https://")):
        raise ExplainError(f"{worker}: a worker's address is http://HOST:PORT, of its metrics")
    url = f"{base.rstrip('/').removesuffix('/metrics')}{path}?{urlencode(query)}"
    try:
        return ask_for_object(url, timeout_s=_TIMEOUT_S, bytes_max=_ANSWER_BYTES_MAX)
    except RefusedError as refusal:
        if not refusal.told:
            raise ExplainError(f"{worker}: {_NO_WORKER}, or one of an earlier version: {refusal}") from None
        told = refusal.told
        raise ExplainError(f"{told.get('error', refusal)}; {told.get('remedy', 'see its log')}") from None
    except AnswerUnreadableError:
        raise ExplainError(f"{worker}: {_NO_WORKER}, or one of an earlier version") from None
    except AskError as error:
        raise ExplainError(
            f"no worker answers at {worker}: {error}; give the address of its metrics (metrics.host, metrics.port)"
        ) from None

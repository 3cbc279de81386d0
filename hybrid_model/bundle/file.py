"""`NAME.dew` on disk: written whole or not at all, read with limits, checked to the last byte."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from pydantic import ValidationError

from hybrid_model.bundle import manifest as manifests
from hybrid_model.bundle.graph import GraphError, check_graph
from hybrid_model.bundle.manifest import SCHEMA, Half, Manifest, Member
from hybrid_model.errors import DewpointError

Tensors = dict[str, npt.NDArray[Any]]

MANIFEST = "manifest.json"
MEMBERS: dict[Half, str] = {"edge": "edge.safetensors", "cloud": "cloud.safetensors"}
MAX_BYTES = {MANIFEST: 4 * 2**20, MEMBERS["edge"]: 64 * 2**20, MEMBERS["cloud"]: 512 * 2**20}
_MAX_FILE_BYTES = sum(MAX_BYTES.values()) + 2**16
SHIPPED = Path(__file__).resolve().parent.parent / "pretrained"

_BROKEN_ZIP = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_CHUNK_BYTES = 2**20


class BundleError(DewpointError):
    """A bundle that is missing or refused. The message reads `FILE: reason; remedy`."""


@dataclass(frozen=True)
class Bundle:
    """A checked network: its manifest and the tensors of the halves that were asked for, by name.

    `edge` is always there; `cloud` is empty unless `load(..., cloud=True)`.
    """

    manifest: Manifest
    edge: Tensors
    cloud: Tensors
    path: Path


def load(path: str | Path, *, cloud: bool = False) -> Bundle:
    """Reads and checks a bundle. The cloud half is always verified, but only kept in memory where asked for.

    Raises BundleError where the file is missing, oversized, truncated, altered, of another schema, or where its parts
    do not fit each other.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BundleError(f"{path}: is over {_MAX_FILE_BYTES} bytes; this is no bundle")
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            manifest = _parse_manifest(path, archive.read(MANIFEST))
            tensors = {
                half: _read_half(path, archive, manifest, half, keep=half == "edge" or cloud) for half in MEMBERS
            }
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error}); check the file and its permissions") from error
    except _BROKEN_ZIP as error:
        raise BundleError(f"{path}: damaged, not a whole bundle ({error}); copy it again") from error
    _check_content(path, manifest, tensors["edge"])
    return Bundle(manifest=manifest, edge=tensors["edge"], cloud=tensors["cloud"], path=path)


def save(
    path: str | Path,
    manifest: Manifest | Mapping[str, Any],
    edge: Mapping[str, npt.NDArray[Any]],
    cloud: Mapping[str, npt.NDArray[Any]],
) -> str:
    """Writes a bundle and returns its network id, which is computed here, as are the members' checksums.

    The same content gives the same bytes. The file appears whole or not at all.
    Raises BundleError where `load` would refuse the result, or where it cannot be written.
    """
    path = Path(path)
    content = manifest.to_json() if isinstance(manifest, Manifest) else dict(manifest)
    content |= {"network_id": "", "members": {}}
    try:
        checked = Manifest.model_validate(content)
    except (ValidationError, RecursionError) as error:
        raise BundleError(f"{path}: manifest: {_first_line(error)}; correct the exported manifest") from error
    payloads: dict[Half, bytes] = {}
    members: dict[Half, Member] = {}
    sources: dict[Half, Mapping[str, npt.NDArray[Any]]] = {"edge": edge, "cloud": cloud}
    for half, source in sources.items():
        tensors = {name: np.ascontiguousarray(array) for name, array in source.items()}
        try:
            payloads[half] = safetensors.numpy.save(tensors)
        except Exception as error:
            raise BundleError(f"{path}: {MEMBERS[half]}: {error}; use plain arrays of numbers") from error
        members[half] = Member(
            bytes=len(payloads[half]),
            sha256=hashlib.sha256(payloads[half]).hexdigest(),
            tensors_sha256=manifests.tensors_sha256(tensors),
        )
    network_id = manifests.network_id(checked, manifests.graph_sha256(edge), members["cloud"].tensors_sha256)
    final = checked.model_copy(update={"network_id": network_id, "members": members})
    _check_content(path, final, dict(edge))
    files = {MANIFEST: final.to_json_bytes(), **{MEMBERS[half]: payloads[half] for half in MEMBERS}}
    for name, payload in files.items():
        _check_size(path, name, len(payload))
    _write(path, files)
    return network_id


def resolve(name_or_path: str | Path) -> Path:
    """The file that is meant: a path as it is, or the name of a shipped bundle (`digits`). BundleError if neither."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    name = str(name_or_path)
    if path.suffix != ".dew" and path.name == name and name:
        shipped = SHIPPED / f"{name}.dew"
        if shipped.is_file():
            return shipped
    known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.dew"))) or "none"
    raise BundleError(f"{name_or_path}: no such file and no shipped bundle; shipped ones are: {known}")


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Exactly our three members, stored as they are, within their limits: nothing can unfold beyond the file's size."""
    infos = archive.infolist()
    if sorted(info.filename for info in infos) != sorted(MAX_BYTES):
        raise BundleError(f"{path}: does not hold {', '.join(MAX_BYTES)} and nothing else; export it again")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise BundleError(f"{path}: {info.filename} is not simply stored; export it again")
        _check_size(path, info.filename, info.file_size)


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_BYTES[name]:
        raise BundleError(f"{path}: {name} has {size} bytes, the limit is {MAX_BYTES[name]}; use a smaller network")


def _parse_manifest(path: Path, raw: bytes) -> Manifest:
    try:
        return Manifest.from_json_bytes(raw)
    except manifests.UnknownSchemaError as error:
        raise BundleError(
            f"{path}: {MANIFEST} has schema {error.found}, this program reads {SCHEMA}; "
            "use the version of dewpoint that wrote it, or export it again"
        ) from None
    except (ValidationError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {MANIFEST}: {_first_line(error)}; export it again") from error


def _read_half(path: Path, archive: zipfile.ZipFile, manifest: Manifest, half: Half, *, keep: bool) -> Tensors:
    """Verifies one tensor file against the manifest; parses it where it is to be kept, else only streams it."""
    name, member = MEMBERS[half], manifest.members.get(half)
    if member is None:
        raise BundleError(f"{path}: {MANIFEST} does not describe {name}; export it again")
    size = archive.getinfo(name).file_size
    if size != member.bytes:
        difference = f"{abs(size - member.bytes)} bytes {'short' if size < member.bytes else 'too long'}"
        raise BundleError(f"{path}: {name} is {difference}; copy it again")
    digest, kept = hashlib.sha256(), io.BytesIO()
    with archive.open(name) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            if keep:
                kept.write(chunk)
    if digest.hexdigest() != member.sha256:
        raise BundleError(f"{path}: {name} was altered, its checksum does not match; copy it again")
    if not keep:
        return {}
    try:
        tensors = dict(safetensors.numpy.load(kept.getvalue()))
    except Exception as error:  # whatever the parser makes of foreign bytes, it is this file's fault
        raise BundleError(f"{path}: {name} is not a safetensors file ({error}); export it again") from error
    if manifests.tensors_sha256(tensors) != member.tensors_sha256:
        raise BundleError(f"{path}: {name} holds other tensors than {MANIFEST} says; export it again")
    return tensors


def _check_content(path: Path, manifest: Manifest, edge: Tensors) -> None:
    """The network id, and the edge graph with its parameters."""
    computed = manifests.network_id(manifest, manifests.graph_sha256(edge), manifest.members["cloud"].tensors_sha256)
    if computed != manifest.network_id:
        raise BundleError(f"{path}: network id is {manifest.network_id}, its content gives {computed}; export it again")
    try:
        check_graph(manifest, edge)
    except GraphError as error:
        raise BundleError(f"{path}: edge graph: {error}; export it again") from error


def _write(path: Path, members: Mapping[str, bytes]) -> None:
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error}); choose another folder") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, payload in members.items():
                    archive.writestr(_entry(name), payload)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error}); check space and permissions") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _entry(name: str) -> zipfile.ZipInfo:
    """A zip entry without the time and the machine of its writing."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _first_line(error: Exception) -> str:
    """The first fault of a validation, with its place."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__

"""The manifest of a bundle: everything about a network that is not a tensor."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from hybrid_model.bundle.bf16 import Bf16
from hybrid_model.bundle.calibration import Calibration, Part
from hybrid_model.bundle.guard import PREFIX, Guard
from hybrid_model.bundle.ops import Op
from hybrid_model.bundle.reuse import Reuse
from hybrid_model.errors import DewpointError
from hybrid_model.exits import ScoreKind

SCHEMA = 1
Half = Literal["edge", "cloud"]


def _finite(value: JsonValue) -> JsonValue:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinity")
    if isinstance(value, dict):
        for inner in value.values():
            _finite(inner)
    elif isinstance(value, list):
        for inner in value:
            _finite(inner)
    return value


#: An object of any JSON, every number of it finite.
FreeJson = Annotated[dict[str, Annotated[JsonValue, AfterValidator(_finite)]], Field()]
Dim = Annotated[int, Field(ge=1, le=2**16)]
Shape = tuple[Dim, Dim, Dim]


class UnknownSchemaError(DewpointError, ValueError):
    """A manifest written by another version; `found` is its schema."""

    def __init__(self, found: int) -> None:
        super().__init__(f"schema {found}")
        self.found = found


class Input(Part):
    """One sample: shape (H, W, C). `channels` names C; `rate_hz` is a sensor's readings per second."""

    kind: Literal["image", "array", "sensor"]
    shape: Shape
    dtype: Literal["uint8", "float32"]
    channels: tuple[str, ...] | None = None
    rate_hz: float | None = Field(default=None, gt=0)


class Exit(Part):
    """An exit and its rule: neither temperature nor threshold nor guard is part of the network id.

    `guard`: without one every sample counts as in the domain.
    """

    name: str
    stage: int = Field(ge=0, le=127)
    score: ScoreKind = "entropy"
    temperature: float = Field(default=1.0, gt=0)
    threshold: float
    classes_seen: tuple[int, ...] | None = None
    guard: Guard | None = None


class CutCodec(Part):
    """Features of one sample: codes of `shape` (h, w, c) at `bits` each, `bytes` when packed."""

    shape: Shape
    bits: Literal[1, 2, 3, 4]
    bytes: int = Field(ge=1)
    scale: FreeJson = Field(default={})


class Layer(Part):
    """One layer for the energy model: multiply-accumulates and parameters per sample, bits, and where it runs.

    `inputs` and `outputs`: values that it reads and writes for one sample; None in files written before these fields.
    """

    name: str
    stage: Annotated[int, Field(ge=0, le=127)] | Literal["cloud"]
    role: Literal["backbone", "exit", "cut"]
    kind: str
    macs: int = Field(ge=0)
    params: int = Field(ge=0)
    weight_bits: int = Field(ge=1, le=64)
    activation_bits: int = Field(ge=1, le=64)
    inputs: int | None = Field(default=None, ge=1)
    outputs: int | None = Field(default=None, ge=1)


class Twin(Part):
    """The full-precision network of the same layers: its accuracy, and the fingerprint of the test split it is of.

    `right`: which samples of that split it got right, eight to a byte, the first one highest, in base64. With it an
    accuracy can be compared sample by sample.
    """

    accuracy: float = Field(ge=0, le=1)
    fingerprint: str | None = None
    right: str | None = Field(default=None, max_length=400_000, pattern="^[A-Za-z0-9+/]*={0,2}$")


class SplitFiles(Part):
    """Of somebody's own data: what each split was made of, so that nothing that was trained on is ever scored.

    By split the first 8 bytes of a SHA-256 of each file, of readings of each block as long as a window from a
    recording's first one on, sorted, one after the other, in base64.
    """

    kind: Literal["pictures", "readings"]
    digests: dict[Literal["train", "tuning", "calibration", "test"], str]


class Member(Part):
    """A tensor file as it was written: its size, its SHA-256, and the SHA-256 of the tensors in it."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tensors_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(Part):
    """What `manifest.json` holds. `network_id` and `members` are filled in by `save`."""

    model_config = ConfigDict(protected_namespaces=())

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str = Field(min_length=1, max_length=200)
    network_id: str = Field(default="", pattern="^([0-9a-f]{12})?$")
    input: Input
    classes: tuple[str, ...] = Field(min_length=2, max_length=10_000)
    architecture: FreeJson = Field(default={})
    edge_graph: tuple[Op, ...] = Field(min_length=1, max_length=2_000)
    exits: tuple[Exit, ...] = Field(min_length=1, max_length=127)
    cut: CutCodec
    layers: tuple[Layer, ...] = Field(default=(), max_length=10_000)
    #: Of the final classifier's confidence; classes do not depend on it. No part of the network id.
    cloud_temperature: float = Field(default=1.0, gt=0)
    calibration: Calibration | None = None
    reuse: Reuse | None = None
    bf16: Bf16 | None = None
    provenance: FreeJson = Field(default={})
    split_files: SplitFiles | None = None
    twin: Twin | None = None
    #: One that learned from the same teacher, where the network had one.
    taught_twin: Twin | None = None
    members: dict[Half, Member] = Field(default={})

    @model_validator(mode="after")
    def _calibrated(self) -> Self:
        """The exits are those of the working point."""
        calibration = self.calibration
        if calibration is None:
            return self
        if any(described.score != calibration.score for described in self.exits):
            raise ValueError(f"the exits were calibrated with {calibration.score}, and one has another score")
        thresholds = calibration.path[calibration.point].thresholds
        if tuple(described.threshold for described in self.exits) != thresholds:
            raise ValueError(f"the exits' thresholds are not {list(thresholds)}, those of the working point")
        return self

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, by the names of the file."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json_bytes(self) -> bytes:
        """`manifest.json` as it is written, in one form only."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json_bytes(cls, raw: bytes) -> Manifest:
        """Reads `manifest.json`. Raises UnknownSchemaError, or ValueError (pydantic's ValidationError is one)."""
        content = json.loads(raw)
        found = content.get("schema") if isinstance(content, dict) else None
        if isinstance(found, int) and found != SCHEMA:
            raise UnknownSchemaError(found)
        return cls.model_validate_json(raw, strict=True)


def tensors_sha256(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and little-endian values, sorted by name: the same on every machine."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode() + b"\n")
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def graph_sha256(edge: Mapping[str, npt.NDArray[Any]]) -> str:
    """`tensors_sha256` of the edge tensors that make features and answers: all but those of guards."""
    return tensors_sha256({name: array for name, array in edge.items() if not name.startswith(PREFIX)})


def network_id(manifest: Manifest, edge_sha256: str, cloud_sha256: str) -> str:
    """The first 12 hex digits of a SHA-256 over both halves' tensors, the edge graph and the cut codec.

    `edge_sha256` is `graph_sha256` of the edge tensors: a guard decides who rises, not what the cloud half makes of it.
    """
    content = manifest.model_dump(mode="json", by_alias=True, exclude_none=True, include={"edge_graph", "cut"})
    content |= {"edge": edge_sha256, "cloud": cloud_sha256}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]

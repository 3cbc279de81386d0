"""What decoders and seeds of the fuzzing share: a folder, keys, shipped manifests, a picture."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_model import bundle
from hybrid_model.bundle import Manifest
from services.edge.ingest.decoding import payload_kind
from services.security.feature_keys import FeatureKeys
from services.settings import InputSettings, LimitSettings
from tests.hybrid_model import small_bundle


@cache
def folder() -> Path:
    found = tempfile.TemporaryDirectory(prefix="dewpoint-fuzz-")
    _KEPT.append(found)
    return Path(found.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def written(name: str, payload: bytes) -> Path:
    path = folder() / name
    path.write_bytes(payload)
    return path


KEY_FILE = b"# new\n" + b"0123456789abcdef" * 4 + b"\n\n# old\n" + b"fedcba9876543210" * 4 + b"\n"


@cache
def keys() -> FeatureKeys:
    return FeatureKeys(written("seed.keys", KEY_FILE), setting="redis.feature_key_file")


@cache
def manifest(name: str) -> Manifest:
    return bundle.load(bundle.resolve(name)).manifest


@cache
def decoder(name: str, kind: str, fit: str = "exact") -> Any:
    takes = InputSettings(kind=kind, fit=fit)
    return payload_kind(manifest(name).input, takes, LimitSettings(image_pixels_max=1 << 20, reading_rows_max=256))


@cache
def picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)


@cache
def small_manifest() -> bytes:
    path = folder() / "small.dew"
    bundle.save(path, *small_bundle.small_network())
    return bundle.load(path).manifest.to_json_bytes()

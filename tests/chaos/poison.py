"""Messages that no edge may accept, and none may stumble over; no two are alike."""

from __future__ import annotations

import json
import random
from typing import Final

import msgpack

from services.messages import Sample
from tests.chaos.readings import CHANNELS

PAYLOAD_BYTES_MAX: Final = 65536

IMAGE_KINDS: Final = (
    "undecodable", "oversized", "wrong_shape", "broken_picture", "not_finite", "wrong_version", "id_reused",
)  # fmt: skip
SENSOR_KINDS: Final = ("undecodable", "oversized", "wrong_channels", "not_finite", "not_a_number", "ragged")


def image(kind: str, rng: random.Random, *, used_id: str) -> bytes:
    """A bad sample for the network `digits`. `used_id`: of a good sample that the device has sent before."""
    name = f"poison-{rng.getrandbits(64):016x}"
    if kind == "undecodable":
        return b"\xc1" + rng.randbytes(200)
    if kind == "oversized":
        return _sample(name, rng.randbytes(PAYLOAD_BYTES_MAX + 1))
    if kind == "wrong_shape":
        return _sample(name, rng.randbytes(81), shape=(9, 9, 1))
    if kind == "broken_picture":
        return Sample(name, 1e9, "image", None, None, b"\x89PNG\r\n\x1a\n" + rng.randbytes(300)).encode()
    if kind == "not_finite":
        return _packed(name, captured_at=float("nan"))
    if kind == "wrong_version":
        return _packed(name, v=2)
    if kind == "id_reused":
        return _sample(used_id, rng.randbytes(64))
    raise ValueError(f"no poison {kind!r}")


def readings(kind: str, rng: random.Random) -> bytes:
    """A bad message of readings."""
    seq = rng.getrandbits(60)
    row = [0.0] * CHANNELS
    if kind == "undecodable":
        return b'{"seq": ' + rng.randbytes(100)
    if kind == "oversized":
        return json.dumps({"seq": seq, "values": [row], "more": "x" * PAYLOAD_BYTES_MAX}).encode()
    if kind == "wrong_channels":
        return json.dumps({"seq": seq, "values": [row[1:]]}).encode()
    if kind == "not_finite":
        return json.dumps({"seq": seq, "values": [[float("nan"), *row[1:]]]}).encode()
    if kind == "not_a_number":
        return json.dumps({"seq": seq, "values": [["1.0", *row[1:]]]}).encode()
    if kind == "ragged":
        return json.dumps({"seq": seq, "values": [row, row[1:]]}).encode()
    raise ValueError(f"no poison {kind!r}")


def _sample(name: str, data: bytes, *, shape: tuple[int, ...] = (8, 8, 1)) -> bytes:
    return Sample(name, 1e9, "array", shape, "uint8", data).encode()


def _packed(name: str, **changes: object) -> bytes:
    fields = {"v": 1, "id": name, "captured_at": 1e9, "kind": "array", "shape": [8, 8, 1], "dtype": "uint8"}
    packed: bytes = msgpack.packb({**fields, "data": bytes(64), **changes})
    return packed

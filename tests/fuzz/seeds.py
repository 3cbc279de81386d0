"""What the mutations begin with: made by the real encoders, at run time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np

from hybrid_model import bundle, cut
from services.messages import Audit, Budget, Control, Escalation, Label, Reply, Sample, Status, level_of_device
from services.sources.encodings import encode
from tests.fuzz import material
from tests.hybrid_model import small_bundle


def sample_seeds() -> list[bytes]:
    picture = material.picture()
    shape = picture.shape
    found = [Sample("a-1", 1.5, "array", shape, "uint8", picture.tobytes())]
    found += [Sample("a-2", 1.5, "image", shape, "uint8", encode(picture, kind)) for kind in ("png", "jpeg", "webp")]
    found.append(replace(found[0], traceparent=PARENT))
    return [one.encode() for one in found]


def image_seeds() -> list[bytes]:
    return [encode(material.picture(), kind) for kind in ("png", "jpeg", "webp")]


def resized_seeds() -> list[bytes]:
    colours = np.random.default_rng(1).integers(0, 256, (21, 13, 3), dtype=np.uint8)
    return [*image_seeds(), *(encode(colours, kind) for kind in ("png", "jpeg", "webp"))]


def array_seeds() -> list[bytes]:
    return [material.picture().tobytes()]


def sensor_seeds() -> list[bytes]:
    row = [round(0.1 * n, 3) for n in range(9)]
    fields: list[dict[str, Any]] = [
        {"seq": 10, "t": 1.02, "values": [row, row]},
        {"t": 1e9, "values": row},
        {"seq": 2**40, "values": [row] * 130},
        {"values": [row]},
    ]
    return [json.dumps(one).encode() for one in fields]


def topic_seeds() -> list[bytes]:
    return [level_of_device(name).encode() for name in ("camera-1", "a/b", "Kühlraum 3", "#+%")]


ESCALATION = Escalation("s-1", "home", "edge-1", "cam", "0123456789ab", 1, ((3, 0.5), (4, 0.25)), b"\x01" * 32, 12.5)


AUDIT = replace(ESCALATION, audit=Audit(exit=1, share=0.01))
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACED = replace(ESCALATION, traceparent=PARENT)


def escalation_seeds() -> list[bytes]:
    return [one.encode() for one in (ESCALATION, AUDIT, TRACED)]


def parent_seeds() -> list[bytes]:
    return [PARENT.encode(), PARENT[:-2].encode() + b"00"]


def encrypted_seeds() -> list[bytes]:
    return [material.keys().encrypt(ESCALATION).encode(), ESCALATION.encode(), material.keys().encrypt(AUDIT).encode()]


def letter_seeds() -> list[bytes]:
    letter = {
        "v": 1,
        "entry_id": "1-0",
        "payload": ESCALATION.encode(),
        "error": "wrong_features: 31 bytes instead of 32",
        "worker": "cloud-1",
        "at": 12.5,
        "history": ["1.5 cloud-1 started"],
    }
    return [msgpack.packb(letter), msgpack.packb({**letter, "payload": None})]


def reply_seeds() -> list[bytes]:
    return [Reply("cam", "s", 1, 3, 0.5, None).encode(), Reply("cam", "s", 2, None, None, "no").encode()]


def label_seeds() -> list[bytes]:
    return [
        Label("s", "cam", 3, "three", 0.5, 1, "final", "confident", False, 1.0, 2.0, "digits@0123", 1e-6).encode(),
        Label("s", "cam", 3, "3", None, "cloud", "correction", "escalated", True, 1.0, 2.0, "d@1", None).encode(),
        Label(
            "s", "cam", 3, "3", 0.5, "cloud", "final", "reused", True, 1.0, 2.0, "d@1", 1e-6, reused_from="r"
        ).encode(),
    ]


def status_seeds() -> list[bytes]:
    control = {"mode": "fixed", "point": 1}
    return [
        Status("online", "edge-1", "digits@0123", "avx2", control).encode(),
        Status("online", "edge-1", "a@1", "avx2", control, networks={"a": control, "b": control}).encode(),
    ]


def control_seeds() -> list[bytes]:
    return [Control("fixed", 3).encode(), Control("budget", None, Budget("escalated_share", 0.2)).encode()]


def feature_seeds() -> list[bytes]:
    codes = np.random.default_rng(0).integers(0, 2, (4, 4, 5), dtype=np.uint8)
    return [bytes([bits - 1]) + cut.pack(codes, bits) for bits in (1, 2, 3, 4)]


def bundle_seeds() -> list[bytes]:
    path = material.folder() / "seed.dew"
    bundle.save(path, *small_bundle.small_network())
    return [path.read_bytes()]


def settings_seeds() -> list[bytes]:
    text = """
[site]
name = "hall-3"
[mqtt]
host = "broker"
port = 8883
tls = { enabled = true, ca_file = "/ca.pem" }
[redis]
partitions = 4
timeout_s = 1.5
[edge]
bundle = "har"
batch_max = 8
inputs = [{ topic = "dewpoint/{site}/in/{device}", kind = "sensor", window = { length = 128, hop = 64 } }]
[cloud]
bundles = ["digits", "har"]
[log]
format = "json"
"""
    return [text.encode(), b"", b"[edge]\nthresholds = [0.5, 0.25]\n"]

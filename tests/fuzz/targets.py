"""The decoders, each as a plain function of bytes that may raise its documented errors and nothing else.

A function also checks what it promises of the things that it accepts. Seeds are made by the real encoders, at run time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgpack
import numpy as np
from opentelemetry.trace import get_current_span

from hybrid_model import bundle, cut
from hybrid_model.bundle import BundleError, Manifest
from hybrid_model.cut import CutError
from hybrid_model.runtime import EdgeEngine
from services import settings
from services.edge.channels import TooManyPendingError
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import payload_kind
from services.edge.window import WindowRule, WindowState, advance
from services.feature_stream import dead
from services.feature_stream.dead import LetterId
from services.messages import (
    Audit,
    Budget,
    Control,
    Escalation,
    Label,
    MessageError,
    Reply,
    Sample,
    Status,
    decode_head,
    device_of_level,
    level_of_device,
    traceparent,
)
from services.security.feature_keys import FeatureKeys, KeyUnknownError
from services.settings import InputSettings, LimitSettings, SettingsError
from services.sources.encodings import encode
from services.traces.tracers import context_of, sampled, traceparent_of
from tests.fuzz import inputs
from tests.hybrid_model import small_bundle

M = TypeVar("M", Sample, Escalation, Reply, Label, Status, Control)


@dataclass(frozen=True)
class Target:
    """A decoder.

    `refuses`: the errors that it documents; `share`: how many inputs it gets, beside the others' 1; `guided`: by the
    coverage of our code. (atheris keeps some memory at each comparison of other objects than numbers and strings.)
    """

    name: str
    decode: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]
    share: float = 1.0
    guided: bool = True

    def accepts(self, payload: bytes) -> bool:
        """Whether it is accepted. Raises what is documented nowhere."""
        try:
            self.decode(payload)
        except self.refuses:
            return False
        return True


# MQTT payloads, by kind of input


def payload_sample(payload: bytes) -> None:
    _whole(_decoder("digits", "sample"), payload)


def payload_image(payload: bytes) -> None:
    _whole(_decoder("digits", "image"), payload)


def payload_image_resized(payload: bytes) -> None:
    _whole(_decoder("digits", "image", fit="resize"), payload)


def payload_array(payload: bytes) -> None:
    _whole(_decoder("digits", "array"), payload)


def payload_sensor(payload: bytes) -> None:
    """Readings, and the windows that they lead to."""
    expected = _manifest("har").input
    readings = _decoder("har", "sensor").readings(payload)
    assert readings.rows.dtype == np.float32
    assert np.isfinite(readings.rows).all()
    length, channels = expected.shape[1], expected.shape[2]
    rule = WindowRule(length=length, hop=length // 2, period_s=1.0 / (expected.rate_hz or 1.0))
    before = WindowState(0, 9, 1.0, np.arange(10), np.zeros((10, channels), np.float32))
    step = advance(before, readings, rule)
    assert len(step.state.rows) < length
    assert all(window.rows.shape == (length, channels) for window in step.windows)


def topic_level(payload: bytes) -> None:
    device = device_of_level(payload.decode(errors="surrogateescape"))
    assert device_of_level(level_of_device(device)) == device


def _whole(decoder: Any, payload: bytes) -> None:
    decoded = decoder.sample(payload, 1.0)
    assert decoded.array.shape == tuple(_manifest("digits").input.shape)
    assert decoded.array.dtype == np.uint8
    assert decoded.id


# Messages: what is accepted can be passed on


def message(kind: type[M]) -> Callable[[bytes], None]:
    """Decode, encode and decode again."""

    def decode(payload: bytes) -> None:
        found = kind.decode(payload)
        assert kind.decode(found.encode()) == found

    return decode


def trace_parent(payload: bytes) -> None:
    """A user property that anybody may set: refused, or a span can go on from it."""
    told = traceparent(payload.decode(errors="replace"))
    if told is None:
        raise MessageError("bad_field", "traceparent")
    going_on = get_current_span(context_of(told))
    assert traceparent_of(going_on)[3:53] == told[3:53]
    assert sampled(traceparent_of(going_on)) == sampled(told)


def escalation_head(payload: bytes) -> None:
    decode_head(payload)


def dead_letter(payload: bytes) -> None:
    dead._decoded(LetterId.parse("0123456789ab.0/1-0"), payload)


def letter_id(payload: bytes) -> None:
    text = payload.decode(errors="replace")
    LetterId.parse(text)


def features(payload: bytes) -> None:
    """The first byte chooses the bits. A sample has one encoding."""
    bits = 1 + (payload[0] & 3) if payload else 1
    codes = cut.unpack(payload[1:], (4, 4, 5), bits)
    assert cut.pack(codes, bits) == payload[1:]


def encrypted_features(payload: bytes) -> None:
    """An escalation whose features are encrypted, and may have been altered."""
    opened = _keys().decrypt(Escalation.decode(payload))
    assert opened.key is None


# Files


def key_file(payload: bytes) -> None:
    assert FeatureKeys(_written("fuzzed.keys", payload), setting="redis.feature_key_file").ids


def bundle_file(payload: bytes) -> None:
    bundle.load(_written("fuzzed.dew", payload), cloud=True)


def bundle_manifest(payload: bytes) -> None:
    found = Manifest.from_json_bytes(payload)
    assert Manifest.from_json_bytes(found.to_json_bytes()) == found


def bundle_content(payload: bytes) -> None:
    """A manifest with some values replaced, its checksums right: refused, or it runs.

    Four bytes of the payload are one edit: two choose the place, two the value.
    """
    content = json.loads(_small_manifest())
    for start in range(0, min(len(payload), 32) - 3, 4):
        place, kind, value = int.from_bytes(payload[start : start + 2], "big"), *payload[start + 2 : start + 4]
        _edit(content, place, kind, value)
    path = _folder() / "content.dew"
    _, edge, cloud = small_bundle.small_network()
    try:
        checked = Manifest.model_validate(content)
    except ValueError as refused:
        raise BundleError(str(refused)) from None
    if np.prod(checked.input.shape) > 4096:  # it may be right, and would only take long
        return
    bundle.save(path, content, edge, cloud)
    loaded = bundle.load(path)
    try:
        engine = EdgeEngine(loaded)
    except ValueError as refused:
        raise BundleError(str(refused)) from None
    engine.infer(np.zeros((1, *loaded.manifest.input.shape), loaded.manifest.input.dtype), force_cut=True)


def settings_file(payload: bytes) -> None:
    settings.load(_written("fuzzed.toml", payload))


# Seeds


def _sample_seeds() -> list[bytes]:
    picture = _picture()
    shape = picture.shape
    found = [Sample("a-1", 1.5, "array", shape, "uint8", picture.tobytes())]
    found += [Sample("a-2", 1.5, "image", shape, "uint8", encode(picture, kind)) for kind in ("png", "jpeg", "webp")]
    found.append(replace(found[0], traceparent=PARENT))
    return [one.encode() for one in found]


def _image_seeds() -> list[bytes]:
    return [encode(_picture(), kind) for kind in ("png", "jpeg", "webp")]


def _resized_seeds() -> list[bytes]:
    colours = np.random.default_rng(1).integers(0, 256, (21, 13, 3), dtype=np.uint8)
    return [*_image_seeds(), *(encode(colours, kind) for kind in ("png", "jpeg", "webp"))]


def _array_seeds() -> list[bytes]:
    return [_picture().tobytes()]


def _sensor_seeds() -> list[bytes]:
    row = [round(0.1 * n, 3) for n in range(9)]
    fields: list[dict[str, Any]] = [
        {"seq": 10, "t": 1.02, "values": [row, row]},
        {"t": 1e9, "values": row},
        {"seq": 2**40, "values": [row] * 130},
        {"values": [row]},
    ]
    return [json.dumps(one).encode() for one in fields]


def _topic_seeds() -> list[bytes]:
    return [level_of_device(name).encode() for name in ("camera-1", "a/b", "Kühlraum 3", "#+%")]


ESCALATION = Escalation("s-1", "home", "edge-1", "cam", "0123456789ab", 1, ((3, 0.5), (4, 0.25)), b"\x01" * 32, 12.5)


AUDIT = replace(ESCALATION, audit=Audit(exit=1, share=0.01))
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACED = replace(ESCALATION, traceparent=PARENT)


def _escalation_seeds() -> list[bytes]:
    return [one.encode() for one in (ESCALATION, AUDIT, TRACED)]


def _parent_seeds() -> list[bytes]:
    return [PARENT.encode(), PARENT[:-2].encode() + b"00"]


def _encrypted_seeds() -> list[bytes]:
    return [_keys().encrypt(ESCALATION).encode(), ESCALATION.encode(), _keys().encrypt(AUDIT).encode()]


def _letter_seeds() -> list[bytes]:
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


def _reply_seeds() -> list[bytes]:
    return [Reply("cam", "s", 1, 3, 0.5, None).encode(), Reply("cam", "s", 2, None, None, "no").encode()]


def _label_seeds() -> list[bytes]:
    return [
        Label("s", "cam", 3, "three", 0.5, 1, "final", "confident", False, 1.0, 2.0, "digits@0123", 1e-6).encode(),
        Label("s", "cam", 3, "3", None, "cloud", "correction", "escalated", True, 1.0, 2.0, "d@1", None).encode(),
        Label(
            "s", "cam", 3, "3", 0.5, "cloud", "final", "reused", True, 1.0, 2.0, "d@1", 1e-6, reused_from="r"
        ).encode(),
    ]


def _status_seeds() -> list[bytes]:
    control = {"mode": "fixed", "point": 1}
    return [
        Status("online", "edge-1", "digits@0123", "avx2", control).encode(),
        Status("online", "edge-1", "a@1", "avx2", control, networks={"a": control, "b": control}).encode(),
    ]


def _control_seeds() -> list[bytes]:
    return [Control("fixed", 3).encode(), Control("budget", None, Budget("escalated_share", 0.2)).encode()]


def _feature_seeds() -> list[bytes]:
    codes = np.random.default_rng(0).integers(0, 2, (4, 4, 5), dtype=np.uint8)
    return [bytes([bits - 1]) + cut.pack(codes, bits) for bits in (1, 2, 3, 4)]


def _bundle_seeds() -> list[bytes]:
    path = _folder() / "seed.dew"
    bundle.save(path, *small_bundle.small_network())
    return [path.read_bytes()]


@cache
def _small_manifest() -> bytes:
    path = _folder() / "small.dew"
    bundle.save(path, *small_bundle.small_network())
    return bundle.load(path).manifest.to_json_bytes()


def _settings_seeds() -> list[bytes]:
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


TARGETS = [
    Target("payload_sample", payload_sample, (MessageError,), _sample_seeds),
    Target("payload_image", payload_image, (MessageError,), _image_seeds, share=0.5),
    Target("payload_image_resized", payload_image_resized, (MessageError,), _resized_seeds, share=0.5),
    Target("payload_array", payload_array, (MessageError,), _array_seeds, share=0.5),
    Target("payload_sensor", payload_sensor, (MessageError,), _sensor_seeds),
    Target("input_picture", inputs.picture, (MessageError,), inputs.picture_seeds),
    Target("input_array", inputs.array, (MessageError,), inputs.array_seeds, share=0.3),
    Target("input_fields", inputs.fields, (MessageError,), inputs.fields_seeds),
    Target("input_channel", inputs.channel, (MessageError, TooManyPendingError), inputs.channel_seeds),
    Target("input_path", inputs.path, (MessageError, EdgeError), inputs.path_seeds, share=0.5),
    Target("appearance", inputs.looks, (), inputs.looks_seeds, share=0.5),
    Target("topic_level", topic_level, (MessageError,), _topic_seeds, share=0.5),
    Target("message_sample", message(Sample), (MessageError,), _sample_seeds),
    Target("message_escalation", message(Escalation), (MessageError,), _escalation_seeds),
    Target("trace_parent", trace_parent, (MessageError,), _parent_seeds, share=0.5),
    Target("escalation_head", escalation_head, (MessageError,), lambda: [ESCALATION.encode()], share=0.5),
    Target("message_reply", message(Reply), (MessageError,), _reply_seeds),
    Target("message_label", message(Label), (MessageError,), _label_seeds),
    Target("message_status", message(Status), (MessageError,), _status_seeds),
    Target("message_control", message(Control), (MessageError,), _control_seeds),
    Target("dead_letter", dead_letter, (), _letter_seeds),
    Target("letter_id", letter_id, (ValueError,), lambda: [b"0123456789ab.0/1795245811402-0"], share=0.5),
    Target("features", features, (CutError,), _feature_seeds),
    Target("encrypted_features", encrypted_features, (MessageError, KeyUnknownError), _encrypted_seeds),
    Target("key_file", key_file, (SettingsError,), lambda: [_KEY_FILE], share=0.3),
    Target("bundle_file", bundle_file, (BundleError,), _bundle_seeds, share=0.2),
    Target("bundle_manifest", bundle_manifest, (ValueError,), lambda: [_small_manifest()], share=0.2),
    Target("bundle_content", bundle_content, (BundleError,), lambda: [b""], share=0.1, guided=False),
    Target("settings_file", settings_file, (SettingsError,), _settings_seeds, share=0.2),
]


# Helpers


@cache
def _folder() -> Path:
    found = tempfile.TemporaryDirectory(prefix="dewpoint-fuzz-")
    _KEPT.append(found)
    return Path(found.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _written(name: str, payload: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(payload)
    return path


_KEY_FILE = b"# new\n" + b"0123456789abcdef" * 4 + b"\n\n# old\n" + b"fedcba9876543210" * 4 + b"\n"


@cache
def _keys() -> FeatureKeys:
    return FeatureKeys(_written("seed.keys", _KEY_FILE), setting="redis.feature_key_file")


@cache
def _manifest(name: str) -> Manifest:
    return bundle.load(bundle.resolve(name)).manifest


@cache
def _decoder(name: str, kind: str, fit: str = "exact") -> Any:
    takes = InputSettings(kind=kind, fit=fit)
    return payload_kind(_manifest(name).input, takes, LimitSettings(image_pixels_max=1 << 20, reading_rows_max=256))


@cache
def _picture() -> Any:
    return np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)


def _edit(content: Any, place: int, kind: int, value: int) -> None:
    """Replace the leaf number `place` of nested lists and maps by something else."""
    leaves: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, below in node.items() if isinstance(node, dict) else enumerate(node):
            leaves.append((node, key))
            if isinstance(below, dict | list):
                walk(below)

    walk(content)
    node, key = leaves[place % len(leaves)]
    old = node[key]
    choices = [
        value, -value, value * 2**24, value / 7.0, None, "", [], {}, True, float("1e300"),
        old + value if isinstance(old, int | float) and not isinstance(old, bool) else str(value),
        leaves[(place + value) % len(leaves)][0],
    ]  # fmt: skip
    node[key] = json.loads(json.dumps(choices[kind % len(choices)]))

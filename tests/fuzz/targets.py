"""The decoders, each as a plain function of bytes that may raise its documented errors and nothing else.

A function also checks what it promises of the things that it accepts. Seeds are made by the real encoders, at run time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from opentelemetry.trace import get_current_span

from hybrid_model import bundle, cut
from hybrid_model.bundle import BundleError, Manifest
from hybrid_model.cut import CutError
from hybrid_model.runtime import EdgeEngine
from services import settings
from services.edge.channels import TooManyPendingError
from services.edge.errors import EdgeError
from services.edge.window import WindowRule, WindowState, advance
from services.feature_stream import dead
from services.feature_stream.dead import LetterId
from services.messages import (
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
from services.settings import SettingsError
from services.traces.tracers import context_of, sampled, traceparent_of
from tests.fuzz import inputs, material, seeds
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
    _whole(material.decoder("digits", "sample"), payload)


def payload_image(payload: bytes) -> None:
    _whole(material.decoder("digits", "image"), payload)


def payload_image_resized(payload: bytes) -> None:
    _whole(material.decoder("digits", "image", fit="resize"), payload)


def payload_array(payload: bytes) -> None:
    _whole(material.decoder("digits", "array"), payload)


def payload_sensor(payload: bytes) -> None:
    """Readings, and the windows that they lead to."""
    expected = material.manifest("har").input
    readings = material.decoder("har", "sensor").readings(payload)
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
    assert decoded.array.shape == tuple(material.manifest("digits").input.shape)
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
    opened = material.keys().decrypt(Escalation.decode(payload))
    assert opened.key is None


# Files


def key_file(payload: bytes) -> None:
    assert FeatureKeys(material.written("fuzzed.keys", payload), setting="redis.feature_key_file").ids


def bundle_file(payload: bytes) -> None:
    bundle.load(material.written("fuzzed.dew", payload), cloud=True)


def bundle_manifest(payload: bytes) -> None:
    found = Manifest.from_json_bytes(payload)
    assert Manifest.from_json_bytes(found.to_json_bytes()) == found


def bundle_content(payload: bytes) -> None:
    """A manifest with some values replaced, its checksums right: refused, or it runs.

    Four bytes of the payload are one edit: two choose the place, two the value.
    """
    content = json.loads(material.small_manifest())
    for start in range(0, min(len(payload), 32) - 3, 4):
        place, kind, value = int.from_bytes(payload[start : start + 2], "big"), *payload[start + 2 : start + 4]
        _edit(content, place, kind, value)
    path = material.folder() / "content.dew"
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
    settings.load(material.written("fuzzed.toml", payload))


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


TARGETS = [
    Target("payload_sample", payload_sample, (MessageError,), seeds.sample_seeds),
    Target("payload_image", payload_image, (MessageError,), seeds.image_seeds, share=0.5),
    Target("payload_image_resized", payload_image_resized, (MessageError,), seeds.resized_seeds, share=0.5),
    Target("payload_array", payload_array, (MessageError,), seeds.array_seeds, share=0.5),
    Target("payload_sensor", payload_sensor, (MessageError,), seeds.sensor_seeds),
    Target("input_picture", inputs.picture, (MessageError,), inputs.picture_seeds),
    Target("input_array", inputs.array, (MessageError,), inputs.array_seeds, share=0.3),
    Target("input_fields", inputs.fields, (MessageError,), inputs.fields_seeds),
    Target("input_channel", inputs.channel, (MessageError, TooManyPendingError), inputs.channel_seeds),
    Target("input_path", inputs.path, (MessageError, EdgeError), inputs.path_seeds, share=0.5),
    Target("appearance", inputs.looks, (), inputs.looks_seeds, share=0.5),
    Target("topic_level", topic_level, (MessageError,), seeds.topic_seeds, share=0.5),
    Target("message_sample", message(Sample), (MessageError,), seeds.sample_seeds),
    Target("message_escalation", message(Escalation), (MessageError,), seeds.escalation_seeds),
    Target("trace_parent", trace_parent, (MessageError,), seeds.parent_seeds, share=0.5),
    Target("escalation_head", escalation_head, (MessageError,), lambda: [seeds.ESCALATION.encode()], share=0.5),
    Target("message_reply", message(Reply), (MessageError,), seeds.reply_seeds),
    Target("message_label", message(Label), (MessageError,), seeds.label_seeds),
    Target("message_status", message(Status), (MessageError,), seeds.status_seeds),
    Target("message_control", message(Control), (MessageError,), seeds.control_seeds),
    Target("dead_letter", dead_letter, (), seeds.letter_seeds),
    Target("letter_id", letter_id, (ValueError,), lambda: [b"0123456789ab.0/1795245811402-0"], share=0.5),
    Target("features", features, (CutError,), seeds.feature_seeds),
    Target("encrypted_features", encrypted_features, (MessageError, KeyUnknownError), seeds.encrypted_seeds),
    Target("key_file", key_file, (SettingsError,), lambda: [material.KEY_FILE], share=0.3),
    Target("bundle_file", bundle_file, (BundleError,), seeds.bundle_seeds, share=0.2),
    Target("bundle_manifest", bundle_manifest, (ValueError,), lambda: [material.small_manifest()], share=0.2),
    Target("bundle_content", bundle_content, (BundleError,), lambda: [b""], share=0.1, guided=False),
    Target("settings_file", settings_file, (SettingsError,), seeds.settings_seeds, share=0.2),
]

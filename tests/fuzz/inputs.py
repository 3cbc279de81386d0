"""Payloads of inputs with settings of their own: fits, text, JSON by paths, channels that are joined; and seeds."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import numpy as np

from hybrid_model.bundle import Input
from services.edge.channels import ChannelState, JoinRule, joined
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import payload_kind
from services.edge.ingest.decoding.paths import Path
from services.messages import appearance
from services.settings import InputSettings, LimitSettings
from services.sources.encodings import encode

LIMITS = LimitSettings(image_pixels_max=1 << 20, reading_rows_max=256)
COLOUR = Input(kind="image", shape=(8, 6, 3), dtype="uint8")
ALPHA = Input(kind="image", shape=(8, 6, 4), dtype="uint8")
SIGNAL = Input(kind="sensor", shape=(1, 8, 3), dtype="float32", rate_hz=50.0, channels=("x", "y", "z"))
#: The first byte chooses one.
PICTURES: list[tuple[Input, dict[str, Any]]] = [
    (COLOUR, {"fit": "crop", "roi": [0.1, 0.2, 0.9, 0.7]}),
    (COLOUR, {"fit": "letterbox", "truncated": "accept", "channels": "bgr"}),
    (ALPHA, {"fit": "resize", "background": [1, 2, 3]}),
    (COLOUR, {"fit": "resize", "range": [10, 60_000]}),
    (COLOUR, {"fit": "resize", "encoding": "base64"}),
    (COLOUR, {"fit": "resize", "fields": {"image": "a.image", "time": "t", "id": "id"}}),
]
SENSORS: list[dict[str, Any]] = [
    {"values": ["x", "y.v", "z[0]"], "time": "t", "time_unit": "iso8601"},
    {"values": ["v"], "seq": "n", "missing": "hold", "hold_s": 5.0, "booleans": True},
    {"values": ["x", "to_number(y)", "max(z)"], "time": "t", "time_unit": "ns", "missing": 0.0},
    {"missing": [1.0, "hold", "reject"], "hold_s": 1.0, "when": "t"},
]


def picture(payload: bytes) -> None:
    expected, settings = PICTURES[payload[0] % len(PICTURES) if payload else 0]
    decoded = _kind("image", expected, json.dumps(settings)).sample(payload[1:], 1.0)
    assert decoded.array.shape == tuple(expected.shape)
    assert decoded.array.dtype == np.uint8
    assert 0 < len(decoded.id) <= 256


def array(payload: bytes) -> None:
    settings = {"layout": "chw", "channels": "bgr", "scale": "0..1", "dtype": "float32"}
    decoded = _kind("array", COLOUR, json.dumps(settings)).sample(payload, 1.0)
    assert decoded.array.shape == tuple(COLOUR.shape)
    assert decoded.array.dtype == np.uint8


def fields(payload: bytes) -> None:
    settings = {"fields": SENSORS[payload[0] % len(SENSORS) if payload else 0]}
    readings = _kind("sensor", SIGNAL, json.dumps(settings)).readings(payload[1:])
    assert readings.rows.dtype == np.float32
    assert readings.rows.shape[1] == 3
    assert not np.isinf(readings.rows).any()
    assert readings.mark is None or 0 <= readings.mark < 2**62


def channel(payload: bytes) -> None:
    """Lines, each a message of the channel that its first byte chooses; and the rows that they are joined to."""
    kind = _kind("sensor", SIGNAL, json.dumps({"topic": "{device}/{channel}", "join": {}}))
    rule, state, last = JoinRule(0.5, 1.0, 2.0), ChannelState.empty(("x", "y", "z")), -1
    for line in payload.split(b"\n"):
        number = line[0] % 3 if line else 0
        t, value = kind.value(line[1:], number)
        if value is None:
            continue
        assert np.isfinite(np.float32(value))
        step = joined(state, number, 1.0 if t is None else t, value, rule, by_arrival=t is None)
        for run in step.runs:
            assert run.mark is not None
            assert run.mark > last
            last = run.mark + len(run.rows) - 1
        assert sum(len(run.rows) for run in step.runs) <= rule.rows_max
        state = step.state


def path(payload: bytes) -> None:
    """What somebody writes for a path: refused at the start in one line, or it finds something or refuses a message."""
    expression, _, document = payload.partition(b"\0")

    def refuse(what: str) -> EdgeError:
        assert "\n" not in what
        assert len(what) < 600
        return EdgeError(what)

    found = Path(expression.decode(errors="replace"), "fields.values[0]", refuse)
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        content = {"a": [1, {"b": None}]}
    found.find(content)


def looks(payload: bytes) -> None:
    told = appearance(payload)
    assert told
    assert "\n" not in told
    assert len(told) < 200


def picture_seeds() -> list[bytes]:
    files = [encode(_colours(), kind) for kind in ("png", "jpeg", "webp")]
    text = base64.b64encode(files[1])
    body = {"a": {"image": "data:image/jpeg;base64," + text.decode()}, "t": 12.5, "id": "s-1"}
    return [b"\0" + files[0], b"\1" + files[1][:-2], b"\2" + files[2], b"\4" + text, b"\5" + json.dumps(body).encode()]


def array_seeds() -> list[bytes]:
    return [np.linspace(0, 1, 144, dtype="<f4").tobytes()]


def fields_seeds() -> list[bytes]:
    bodies: list[tuple[int, dict[str, Any]]] = [
        (0, {"x": 1.5, "y": {"v": "2"}, "z": [3], "t": "2023-11-14T22:13:20.25Z"}),
        (1, {"v": [[1, True, None], ["1e3", 5, "unavailable"]], "n": 7}),
        (2, {"x": [1, 2], "y": "3", "z": [4, 5], "t": 1700000000250000000} | {"x": 1}),
        (3, {"values": [None, 2, 3], "seq": 4, "t": 2.5}),
    ]
    return [bytes([number]) + json.dumps(body).encode() for number, body in bodies]


def channel_seeds() -> list[bytes]:
    timed = [bytes([n % 3]) + json.dumps({"t": 0.3 * n, "values": n}).encode() for n in range(12)]
    return [b"\n".join(timed), b'\x0021.5\n\1"50"\n\2 7 ']


def path_seeds() -> list[bytes]:
    texts = ("a.b", 'params."switch:0".apower', "list[?x > `1`] | [0]", "max(a[].b)", "to_number(a)")
    return [text.encode() + b'\0{"a": 1}' for text in texts[:3]] + [text.encode() + b"\0[]" for text in texts[4:]]


def looks_seeds() -> list[bytes]:
    return [*picture_seeds(), b"--b\r\nContent-Type: x", b"\xff\xfea\0", b"data:,", b"GIF89a", b"\0\0\0\x20ftypavif"]


@cache
def _kind(name: str, expected: Input, settings: str) -> Any:
    return payload_kind(expected, InputSettings(kind=name, **json.loads(settings)), LIMITS)


def _colours() -> Any:
    return np.random.default_rng(1).integers(0, 256, (21, 13, 3), dtype=np.uint8)

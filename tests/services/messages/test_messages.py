"""Messages: what is encoded comes back, and whatever else comes is a MessageError with a reason."""

from __future__ import annotations

import contextlib
import json
import math
import string
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messages import (
    Audit,
    Budget,
    Control,
    Escalation,
    Label,
    LabelReason,
    MessageError,
    Reply,
    Sample,
    Status,
    decode_head,
    device_of_level,
    exit_answers,
    file_id,
    frame_id,
    input_topic,
    label_topic,
    sample_id,
    window_id,
)

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)
times = st.floats(0, 2e9, allow_nan=False)
shares = st.floats(0, 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
attempts = st.integers(1, 2**31 - 1)
classes = st.integers(0, 2**31 - 1)

samples = st.builds(
    Sample,
    id=names,
    captured_at=times,
    kind=st.sampled_from(("image", "array")),
    shape=st.none() | st.lists(st.integers(1, 4096), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from((None, "uint8", "float32")),
    data=st.binary(max_size=200),
)
escalations = st.builds(
    Escalation,
    id=names,
    site=names,
    worker=names,
    device=names,
    network_id=st.text("0123456789abcdef", min_size=12, max_size=12),
    attempt=attempts,
    exits=st.lists(st.tuples(classes, numbers), max_size=5).map(tuple),
    features=st.binary(max_size=300),
    captured_at=times,
    audit=st.none() | st.builds(Audit, exit=st.integers(0, 63), share=st.floats(1e-6, 1)),
    guarded=st.booleans(),
)
answers = st.builds(
    Reply, device=names, id=names, attempt=attempts, class_index=classes, confidence=shares, error=st.none()
)
failures = st.builds(
    Reply, device=names, id=names, attempt=attempts, class_index=st.none(), confidence=st.none(), error=names
)
labels = st.builds(
    Label,
    id=names,
    device=names,
    class_index=classes,
    label=st.text(string.printable, max_size=20),
    confidence=st.none() | shares,
    exit=st.integers(0, 63) | st.just("cloud"),
    status=st.sampled_from(("provisional", "final", "correction")),
    reason=st.sampled_from(get_args(LabelReason)),
    corrected=st.booleans(),
    captured_at=times,
    decided_at=times,
    bundle=names,
    energy_j=st.none() | numbers,
    in_domain=st.none() | st.booleans(),
    reused_from=st.none() | names,
)

SAMPLE = Sample("s-1", 12.5, "array", (1, 2, 1), "uint8", b"ab")
ESCALATION = Escalation("s-1", "home", "edge-1", "cam", "0123456789ab", 1, ((3, 0.5),), b"\x01", 12.5)
REPLY = Reply("cam", "s-1", 1, 3, 0.75, None)
LABEL = Label("s-1", "cam", 3, "three", 0.5, 1, "final", "confident", False, 1.0, 2.0, "d@0123456789ab", 1e-6, True)
DECODERS: list[Callable[[bytes], Any]] = [
    Sample.decode, Escalation.decode, decode_head, Reply.decode, Label.decode, Status.decode, Control.decode,
]  # fmt: skip
FIELDS = (
    "v", "id", "site", "worker", "device", "b", "attempt", "exits", "features", "captured_at", "kind", "shape", "dtype",
    "data", "class", "confidence", "error", "label", "exit", "status", "reason", "corrected", "decided_at", "bundle",
    "energy_j", "state", "kernel", "control", "mode", "point", "budget", "audit", "in_domain", "guarded", "reused_from",
)  # fmt: skip
values = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=5) | st.lists(st.integers(-1, 3) | st.floats(), max_size=3)
)  # fmt: skip


@given(samples)
def test_a_sample_comes_back_as_it_was(sample: Sample) -> None:
    assert Sample.decode(sample.encode()) == sample


@given(escalations)
def test_an_escalation_comes_back_as_it_was(escalation: Escalation) -> None:
    assert Escalation.decode(escalation.encode()) == escalation


@pytest.mark.parametrize(
    "audit", [3, [], {}, {"exit": 0}, {"exit": 64, "share": 0.5}, {"exit": -1, "share": 0.5}, {"exit": 0, "share": 0},
              {"exit": 0, "share": 1e-7}, {"exit": 0, "share": 1.1}, {"exit": 0.5, "share": 0.5}],
)  # fmt: skip
def test_an_audit_of_another_form_or_that_stands_for_too_many_is_refused(audit: Any) -> None:
    fields = msgpack.unpackb(ESCALATION.encode()) | {"audit": audit}
    with pytest.raises(MessageError, match=r"bad_field|missing_field"):
        Escalation.decode(msgpack.packb(fields))


@pytest.mark.parametrize("value", [None, 0, 1, "yes", []])
def test_an_escalation_is_guarded_only_where_it_says_so_and_no_sample_is_lost_by_it(value: Any) -> None:
    fields = msgpack.unpackb(ESCALATION.encode())
    assert "guarded" not in fields
    assert Escalation.decode(msgpack.packb(fields | {"guarded": value})) == ESCALATION
    assert Escalation.decode(msgpack.packb(fields | {"guarded": True})) == replace(ESCALATION, guarded=True)


@given(escalations)
def test_the_head_of_an_escalation_can_be_read_alone(escalation: Escalation) -> None:
    head = decode_head(escalation.encode())
    assert (head.site, head.worker, head.device, head.id, head.attempt) == (
        escalation.site, escalation.worker, escalation.device, escalation.id, escalation.attempt,
    )  # fmt: skip


def test_the_head_can_be_read_where_the_rest_is_broken_or_of_another_version() -> None:
    fields = msgpack.unpackb(ESCALATION.encode()) | {"v": 99, "features": [0.1, 0.2], "exits": "none"}
    payload = msgpack.packb(fields)
    with pytest.raises(MessageError):
        Escalation.decode(payload)
    assert decode_head(payload).id == "s-1"


@given(answers | failures)
def test_a_reply_comes_back_as_it_was(reply: Reply) -> None:
    assert Reply.decode(reply.encode()) == reply


@given(labels)
def test_a_label_comes_back_as_it_was(label: Label) -> None:
    assert Label.decode(label.encode()) == label


@given(labels)
def test_a_label_has_one_form_in_bytes(label: Label) -> None:
    assert Label.decode(label.encode()).encode() == label.encode()


def test_a_label_is_the_documented_json() -> None:
    assert json.loads(LABEL.encode()) == {
        "id": "s-1",
        "device": "cam",
        "class": 3,
        "label": "three",
        "confidence": 0.5,
        "exit": 1,
        "status": "final",
        "reason": "confident",
        "corrected": False,
        "captured_at": 1.0,
        "decided_at": 2.0,
        "bundle": "d@0123456789ab",
        "energy_j": 1e-6,
        "in_domain": True,
    }


def test_a_label_of_an_earlier_version_says_nothing_of_the_domain_and_is_read_all_the_same() -> None:
    earlier = {name: value for name, value in json.loads(LABEL.encode()).items() if name != "in_domain"}
    assert Label.decode(json.dumps(earlier).encode()) == replace(LABEL, in_domain=None)


@pytest.mark.parametrize("value", [0, 1, "no", [], {}, 0.5])
def test_a_label_whose_in_domain_is_neither_true_nor_false_is_refused(value: Any) -> None:
    with pytest.raises(MessageError, match="bad_field: in_domain"):
        Label.decode(json.dumps(json.loads(LABEL.encode()) | {"in_domain": value}).encode())


def test_an_escalation_is_the_documented_map_and_names_its_network_b() -> None:
    assert ESCALATION.encode() == msgpack.packb(
        {
            "v": 1,
            "id": "s-1",
            "site": "home",
            "worker": "edge-1",
            "device": "cam",
            "b": "0123456789ab",
            "attempt": 1,
            "exits": [[3, 0.5]],
            "features": b"\x01",
            "captured_at": 12.5,
        }
    )


@given(st.lists(st.tuples(st.integers(-1, 9), st.floats(width=32)), max_size=6))
def test_the_place_in_an_escalations_exits_is_the_number_of_the_exit(said: list[tuple[int, float]]) -> None:
    exits = exit_answers(
        np.array([class_index for class_index, _ in said], np.int32), np.array([score for _, score in said], np.float32)
    )
    assert exits == tuple(said[: len(exits)])
    assert all(class_index >= 0 and math.isfinite(score) for class_index, score in exits)
    if len(exits) < len(said):
        class_index, score = said[len(exits)]
        assert class_index < 0 or not math.isfinite(score)
    sent = replace(ESCALATION, exits=exits)
    assert Escalation.decode(sent.encode()) == sent


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_nothing_behind_an_exit_without_a_score_moves_forward(score: float) -> None:
    assert exit_answers([1, 2, 3], [0.5, score, 0.25]) == ((1, 0.5),)


def test_an_exit_that_was_not_computed_ends_the_list() -> None:
    assert exit_answers([1, -1, 3], [0.5, 0.5, 0.25]) == ((1, 0.5),)


def test_features_travel_as_bytes() -> None:
    assert msgpack.unpackb(ESCALATION.encode())["features"] == b"\x01"


@pytest.mark.parametrize(
    "status",
    [Status("online", "edge-1", "digits@0", "numpy"), Status("offline", "edge-1", "", None, {"mode": "fixed"})],
)
def test_a_status_comes_back_as_it_was(status: Status) -> None:
    assert Status.decode(status.encode()) == status


@pytest.mark.parametrize(
    "control", [Control("fixed", point=3), Control("budget", budget=Budget("escalated_share", 0.2))]
)
def test_a_set_point_comes_back_as_it_was(control: Control) -> None:
    assert Control.decode(control.encode()) == control


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"mode": "fixed"}',
        b'{"mode": "fixed", "point": -1}',
        b'{"mode": "budget", "budget": {"name": "nonsense", "value": 1}}',
        b'{"mode": "budget", "budget": {"name": "escalated_share", "value": NaN}}',
        b'{"mode": "budget", "budget": {"name": "escalated_share", "value": -0.1}}',
        b'{"mode": "full steam"}',
    ],
)
def test_a_set_point_that_makes_no_sense_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError):
        Control.decode(payload)


@pytest.mark.parametrize("decode", DECODERS)
@given(payload=st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_message_error(decode: Callable[[bytes], Any], payload: bytes) -> None:
    assert_message_or_reason(decode, payload)


@pytest.mark.parametrize("decode", DECODERS)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), values))
def test_any_fields_are_a_message_or_a_message_error(decode: Callable[[bytes], Any], fields: dict[str, Any]) -> None:
    assert_message_or_reason(decode, msgpack.packb(fields))
    if not any(isinstance(value, bytes) for value in fields.values()):
        assert_message_or_reason(decode, json.dumps(fields).encode())


def assert_message_or_reason(decode: Callable[[bytes], Any], payload: bytes) -> None:
    reason = "none"
    with contextlib.suppress(MessageError):
        try:
            decode(payload)
        except MessageError as error:
            reason = error.reason
            raise
    assert reason.isidentifier()


@given(samples, st.data())
def test_a_truncated_sample_is_refused(sample: Sample, data: st.DataObject) -> None:
    payload = sample.encode()
    with pytest.raises(MessageError):
        Sample.decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "wrong_version"),
        ({"v": True}, "wrong_version"),
        ({"id": ""}, "bad_field"),
        ({"id": "x" * 300}, "bad_field"),
        ({"id": "line\nbreak"}, "bad_field"),
        ({"captured_at": float("nan")}, "not_finite"),
        ({"captured_at": -1}, "bad_field"),
        ({"kind": "sound"}, "bad_field"),
        ({"dtype": "float64"}, "bad_field"),
        ({"shape": [2, -1]}, "bad_field"),
        ({"data": "text"}, "bad_field"),
    ],
)
def test_a_sample_with_a_bad_field_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    fields = msgpack.unpackb(SAMPLE.encode()) | change
    with pytest.raises(MessageError) as caught:
        Sample.decode(msgpack.packb(fields))
    assert caught.value.reason == reason


@pytest.mark.parametrize("field", ["v", "id", "captured_at", "kind", "data"])
def test_a_sample_without_a_field_is_refused(field: str) -> None:
    fields = msgpack.unpackb(SAMPLE.encode())
    del fields[field]
    with pytest.raises(MessageError):
        Sample.decode(msgpack.packb(fields))


def test_a_reply_is_an_answer_or_an_error_never_both() -> None:
    with pytest.raises(MessageError):
        Reply.decode(replace(REPLY, error="poison").encode())


@given(names)
def test_a_device_is_one_topic_level_and_comes_back(device: str) -> None:
    topic = label_topic("home", device)
    levels = topic.split("/")
    assert len(levels) == 4
    assert not set("+#\0") & set(topic)
    assert device_of_level(levels[3]) == device


@pytest.mark.parametrize("level", ["", "%FF", "a%0Ab", "x" * 300])
def test_a_level_that_is_no_device_is_refused(level: str) -> None:
    with pytest.raises(MessageError) as caught:
        device_of_level(level)
    assert caught.value.reason == "bad_device"


def test_a_device_cannot_reach_into_another_level() -> None:
    assert input_topic("home", "../x/#") == "dewpoint/home/in/..%2Fx%2F%23"


def test_frame_ids_follow_from_device_and_time_to_the_microsecond() -> None:
    at = 1_795_245_808.498471
    assert frame_id("a", at) == frame_id("a", at)
    assert len({frame_id("a", at), frame_id("b", at), frame_id("a", at + 1e-6)}) == 3


@given(st.text(max_size=400), st.binary(max_size=20))
def test_a_file_id_ends_the_files_name_and_is_an_id_whatever_the_file_is_called(name: str, content: bytes) -> None:
    id = file_id("a", name, 1.5, content)
    sample = Sample(id=id, captured_at=1.5, kind="image", shape=None, dtype=None, data=content)
    assert Sample.decode(sample.encode()).id == id
    assert len({id, file_id("b", name, 1.5, content), file_id("a", name, 2.5, content)}) == 3
    assert id != file_id("a", name, 1.5, content + b"x")


def test_a_file_id_shows_the_name_of_the_file() -> None:
    assert file_id("a", "2026/door.jpg", 1.5, b"x").startswith("2026/door.jpg-")


def test_window_ids_follow_from_device_epoch_and_first_mark() -> None:
    assert window_id("a", 0, 64) == window_id("a", 0, 64)
    assert len({window_id("a", 0, 64), window_id("b", 0, 64), window_id("a", 1, 64), window_id("a", 0, 65)}) == 4
    assert window_id("a1", 2, 3) != window_id("a", 12, 3)


def test_foreign_payloads_with_a_time_have_stable_ids() -> None:
    assert sample_id("t", 1.5, b"x") == sample_id("t", 1.5, b"x")
    assert len({sample_id("t", 1.5, b"x"), sample_id("u", 1.5, b"x"), sample_id("t", 2.5, b"x")}) == 3

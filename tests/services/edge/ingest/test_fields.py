"""Other people's JSON: where values, time, id and picture are, what is missing in it, and what is wrong with it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import payload_kind
from services.messages import MessageError
from services.settings import InputSettings, LimitSettings

THREE = Input(kind="sensor", shape=(1, 16, 3), dtype="float32", rate_hz=50.0, channels=("x", "y", "z"))
ONE = Input(kind="sensor", shape=(1, 16, 1), dtype="float32")
DIGIT = Input(kind="image", shape=(8, 8, 1), dtype="uint8")


def sensor(expected: Input = THREE, limits: LimitSettings | None = None, **fields: Any) -> Any:
    return payload_kind(expected, InputSettings(kind="sensor", fields=fields), limits or LimitSettings())


def picture(**fields: Any) -> Any:
    return payload_kind(DIGIT, InputSettings(kind="image", fields={"image": "image", **fields}), LimitSettings())


def body(document: object) -> bytes:
    return json.dumps(document).encode()


def refused(kind: Any, payload: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        kind.sample(payload, 9.0) if kind.name == "image" else kind.readings(payload)
    assert "\n" not in caught.value.detail
    assert len(caught.value.detail) < 500
    return caught.value


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, "PNG")
    return file.getvalue()


# Values


def test_each_channel_has_a_path_of_its_own() -> None:
    kind = sensor(values=["acc.x", "acc.y", "gyro[0]"])
    found = kind.readings(body({"acc": {"y": 2, "x": 1.5}, "gyro": [-3, 4]}))
    assert found.rows.tolist() == [[1.5, 2.0, -3.0]]
    assert (found.mark, found.t) == (None, None)


def test_lists_of_values_are_rows() -> None:
    kind = sensor(values=["x", "y", "z"], time="at", time_unit="ms")
    found = kind.readings(body({"x": [1, 2], "y": [3, 4], "z": [5, 6], "at": 1500}))
    assert found.rows.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert (found.mark, found.step, found.t, found.timed) == (1_500_000, 20_000, 1.5, True)


@pytest.mark.parametrize("values", [[1, 2, 3], [[1, 2, 3]]])
def test_one_path_may_lead_to_a_row_or_to_rows(values: Any) -> None:
    assert sensor(values=["data.v"]).readings(body({"data": {"v": values}})).rows.tolist() == [[1, 2, 3]]


def test_an_expression_of_jmespath_computes() -> None:
    kind = sensor(values=["readings[?name=='x'] | [0].value", "max(readings[].value)", "length(readings)"])
    document = {"readings": [{"name": "y", "value": 7}, {"name": "x", "value": 2}]}
    assert kind.readings(body(document)).rows.tolist() == [[2, 7, 2]]


def test_text_that_is_a_number_is_one() -> None:
    kind = sensor(values=["x", "y", "z"])
    assert kind.readings(body({"x": "21.5", "y": " -3e2 ", "z": "+.5"})).rows.tolist() == [[21.5, -300.0, 0.5]]


@pytest.mark.parametrize("found", ["", "on", "21,5", "1_000", "nan", "inf", "0x10", "１２３ °C", [1], {"v": 1}])
def test_what_is_no_number_is_none(found: Any) -> None:
    error = refused(sensor(ONE, values=["a", "b"][:1]), body({"a": found if not isinstance(found, list) else [[1]]}))
    assert error.reason == "bad_field"
    assert "fields.values[0] = 'a'" in error.detail


@pytest.mark.parametrize("flag", [True, False])
def test_a_boolean_is_a_number_where_the_setting_says_so(flag: bool) -> None:
    assert "fields.booleans" in refused(sensor(ONE, values=["on"]), body({"on": flag})).detail
    assert sensor(ONE, values=["on"], booleans=True).readings(body({"on": flag})).rows.tolist() == [[float(flag)]]


# Missing values


MISSING = [{}, {"x": None}, {"x": "unavailable"}, {"x": "Unknown"}]


@pytest.mark.parametrize("document", MISSING)
def test_a_missing_value_is_refused_unless_the_setting_says_otherwise(document: dict[str, Any]) -> None:
    document = {"y": 2, "z": 3, **document}
    error = refused(sensor(values=["x", "y", "z"]), body(document))
    assert error.reason == "missing_value"
    assert "fields.missing" in error.detail
    assert sensor(values=["x", "y", "z"], missing=-1.0).readings(body(document)).rows.tolist() == [[-1, 2, 3]]
    held = sensor(values=["x", "y", "z"], missing="hold", hold_s=5).readings(body(document)).rows
    assert np.isnan(held[0, 0])
    assert held[0, 1:].tolist() == [2, 3]


def test_each_channel_may_do_without_a_value_in_its_own_way() -> None:
    kind = sensor(values=["x", "y", "z"], missing=["hold", 0.5, "reject"], hold_s=5)
    found = kind.readings(body({"z": 1})).rows[0]
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.5, 1]
    assert refused(kind, body({"x": 1, "y": 1})).reason == "missing_value"


def test_our_own_json_may_have_missing_values_too() -> None:
    kind = sensor(missing=7.0)
    found = kind.readings(body({"seq": 4, "t": 2.5, "values": [[1, None, 3]]}))
    assert found.rows.tolist() == [[1, 7, 3]]
    assert (found.mark, found.t) == (4, 2.5)


# Times, numbers, ids


@pytest.mark.parametrize(
    ("unit", "found", "t"),
    [
        ("s", 1700000000.25, 1700000000.25),
        ("s", "1700000000", 1700000000.0),
        ("ms", 1700000000250, 1700000000.25),
        ("us", 1700000000250000, 1700000000.25),
        ("ns", 1700000000250000000, 1700000000.25),
        ("iso8601", "2023-11-14T22:13:20.250Z", 1700000000.25),
        ("iso8601", "2023-11-14T22:13:20.250000000Z", 1700000000.25),
        ("iso8601", "2023-11-14T23:13:20.25+01:00", 1700000000.25),
        ("iso8601", "2023-11-14T22:13:20", 1700000000.0),
    ],
)
def test_a_time_is_of_the_unit_that_is_set(unit: Any, found: Any, t: float) -> None:
    assert sensor(ONE, values=["v"], time="at", time_unit=unit).readings(body({"v": 1, "at": found})).t == t


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("s", "now"), ("s", -1), ("s", 1700000000000), ("s", True), ("s", [1]), ("ms", "2023-11-14T22:13:20Z"),
        ("iso8601", 1700000000), ("iso8601", "yesterday"), ("iso8601", "0000-00-00"), ("s", "9" * 400),
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_refused_with_the_setting(unit: Any, found: Any) -> None:
    error = refused(sensor(ONE, values=["v"], time="at", time_unit=unit), body({"v": 1, "at": found}))
    assert error.reason == "bad_field"
    assert "fields.time_unit" in error.detail


def test_a_number_of_rows_is_the_mark() -> None:
    kind = sensor(values=["v"], seq="uplink.f_cnt")
    assert kind.readings(body({"v": [1, 2, 3], "uplink": {"f_cnt": 2**53 + 1}})).mark == 2**53 + 1
    assert kind.readings(body({"v": [1, 2, 3], "uplink": {"f_cnt": "12"}})).mark == 12
    for wrong in (-1, 1.5, "a", 2**62, True):
        assert refused(kind, body({"v": [1, 2, 3], "uplink": {"f_cnt": wrong}})).reason == "bad_field"
    assert refused(kind, body({"v": [1, 2, 3]})).reason == "missing_field"


@pytest.mark.parametrize("prefix", [b"", b"data:image/png;base64,"])
def test_a_picture_in_json_has_its_own_time_and_id(prefix: bytes) -> None:
    text = (prefix + base64.b64encode(png())).decode()
    found = picture(time="meta.taken", id="meta.id").sample(
        body({"image": text, "meta": {"taken": 12.5, "id": 7}}), 99.0
    )
    assert (found.id, found.captured_at) == ("7", 12.5)
    assert found.array[:, :, 0].tolist() == np.arange(64).reshape(8, 8).tolist()


def test_a_picture_that_carries_its_time_alone_is_the_same_sample_when_it_comes_again() -> None:
    payload = body({"image": base64.b64encode(png()).decode(), "at": 12.5})
    timed, bare = picture(time="at"), picture()
    assert timed.sample(payload, 1.0).id == timed.sample(payload, 2.0).id
    assert bare.sample(payload, 1.0).id != bare.sample(payload, 2.0).id
    assert bare.sample(payload, 3.0).captured_at == 3.0


@pytest.mark.parametrize("found", ["", "a\nb", "x" * 300, 1.5, True, None, [1], "\ud800"])
def test_an_id_that_is_none_is_refused(found: Any) -> None:
    payload = body({"image": base64.b64encode(png()).decode(), "id": found})
    assert refused(picture(id="id"), payload).reason in {"bad_field", "missing_field"}


def test_messages_that_are_not_meant_are_told_apart() -> None:
    kind = sensor(ONE, values=["params.t.tC"], when="params.t")
    assert kind.readings(body({"params": {"t": {"tC": 4}}})).rows.tolist() == [[4]]
    for other in ({"params": {"cloud": {}}}, {"params": {"t": None}}, {}, []):
        assert refused(kind, body(other)).reason == "not_meant"


# At the start


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"values": ["a..b"]}, "fields.values[0] = 'a..b' is no JMESPath"),
        ({"values": [""]}, "fields.values[0] = '' is no JMESPath"),
        ({"values": ["a"], "time": "b["}, "fields.time = 'b[' is no JMESPath"),
        ({"values": ["a"], "seq": "a\nb"}, "is no JMESPath"),
        ({"values": ["a"], "when": "nope(a)"}, "there is no function nope()"),
        ({"values": ["length()"]}, "length() takes 1 arguments, here are 0"),
        ({"values": ["a", "b"]}, "fields.values has 2 paths, and the bundle takes 3 channels"),
        ({"values": ["a"], "missing": [1.0]}, "fields.missing has 1 entries, and the bundle takes 3"),
        ({"values": ["a"], "image": "b"}, "fields.image and fields.id are for kind 'image'"),
    ],
)
def test_a_path_that_does_not_compile_is_an_error_of_one_line_at_the_start(fields: Any, told: str) -> None:
    with pytest.raises(EdgeError) as caught:
        sensor(**fields)
    assert told in str(caught.value)
    assert str(caught.value).startswith("input dewpoint/{site}/in/{device}: ")
    assert "\n" not in str(caught.value)


def test_pictures_need_to_know_where_the_picture_is() -> None:
    with pytest.raises(EdgeError, match=r"need fields.image"):
        payload_kind(DIGIT, InputSettings(kind="image", fields={"time": "at"}), LimitSettings())
    with pytest.raises(ValueError, match="needs hold_s"):
        InputSettings(kind="sensor", fields={"values": ["a"], "missing": "hold"})


# Bad input


GOOD = body({"a": {"x": 1, "y": 2}, "z": 3, "at": 5})
PATHS = {"values": ["a.x", "a.y", "z"], "time": "at"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_another_encoding_is_read_whole_and_refused_cut_short(encoding: str) -> None:
    payload = GOOD.decode().encode(encoding)
    assert sensor(**PATHS).readings(payload).rows.tolist() == [[1, 2, 3]]
    assert refused(sensor(**PATHS), payload[:-3]).reason == "not_json"


def test_every_payload_cut_short_is_refused() -> None:
    kind = sensor(**PATHS)
    for end in range(len(GOOD)):
        assert refused(kind, GOOD[:end]).reason in {"not_json", "missing_value", "missing_field"}


@pytest.mark.parametrize("wrong", [None, True, "x", 5, [], {}, [1, 2], {"x": {}}, {"x": [1], "y": 2}])
def test_every_wrong_type_is_refused(wrong: Any) -> None:
    for document in (wrong, {"a": wrong, "z": 3, "at": 5}):
        error = refused(sensor(**PATHS), body(document))
        assert error.reason in {"missing_value", "bad_field", "wrong_shape", "missing_field"}


@pytest.mark.parametrize("depth", [500, 900, 950, 990, 1000, 100_000])
def test_json_of_any_depth_is_refused_and_nothing_else(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for payload in (deep, b'{"a": {"x": ' + deep + b', "y": 2}, "z": 3, "at": 5}', b'{"values": ' + deep + b"}"):
        assert refused(sensor(**PATHS), payload).reason in {"not_json", "missing_value", "bad_field", "wrong_shape"}
        assert refused(sensor(), payload).reason in {"not_json", "missing_field", "bad_field", "wrong_shape"}
    for field in ("seq", "t"):
        error = refused(sensor(), b'{"values": [1, 2, 3], "' + field.encode() + b'": ' + deep + b"}")
        assert error.reason in {"not_json", "bad_field"}
    assert refused(sensor(values=["x[].y[].z", "b", "c"]), b'{"x": ' + deep + b"}").reason
    assert sys.getrecursionlimit() == 1000


def test_ten_megabytes_of_json_are_refused_by_their_rows() -> None:
    payload = body({"v": [[1.0, 2.0, 3.0]] * 700_000})
    assert len(payload) > 10_000_000
    assert refused(sensor(values=["v"]), payload).reason == "too_many_rows"
    assert refused(sensor(**PATHS), b" " * 10_000_000).reason == "not_json"
    assert refused(sensor(**PATHS), body({"a": "x" * 10_000_000})).reason == "missing_value"


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (png(), 'begins like a PNG: damaged, or for an input of kind = "image"'),
        (b"offline", "begins like text, 'offline'"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_json_is_told_by_what_it_looks_like(payload: bytes, told: str) -> None:
    error = refused(sensor(**PATHS), payload)
    assert error.reason == "not_json"
    assert told in error.detail


def test_an_expression_that_fails_on_a_payload_refuses_it() -> None:
    kind = sensor(ONE, values=["max(v)"])
    assert kind.readings(body({"v": [1, 3]})).rows.tolist() == [[3]]
    for wrong in ({"v": "a"}, {"v": [1, "a"]}, {"v": {}}, {"v": [{}]}):
        error = refused(kind, body(wrong))
        assert error.reason == "bad_field"
        assert "max(v)" in error.detail


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("unavailable"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("axyz") | st.just("at"), inner),
    max_leaves=12,
)
KINDS = [
    sensor(**PATHS, time_unit="iso8601"),
    sensor(**PATHS, missing="hold", hold_s=1, booleans=True),
    sensor(values=["x"], missing=0.0),
    sensor(values=["length(x)", "to_number(y)", "z | [0]"], seq="at"),
]


@given(st.sampled_from(KINDS), json_values)
def test_any_json_is_readings_or_a_message_error(kind: Any, document: Any) -> None:
    try:
        found = kind.readings(body(document))
    except MessageError:
        return
    assert found.rows.shape[1] == 3
    assert found.rows.dtype == np.float32
    assert not np.isinf(found.rows).any()


@given(json_values)
def test_any_json_is_a_picture_or_a_message_error(document: Any) -> None:
    with contextlib.suppress(MessageError):
        picture(time="at", id="z").sample(body({"image": document, "at": document, "z": document}), 1.0)

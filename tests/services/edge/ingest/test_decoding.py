"""Decoding: what devices send becomes arrays, or a refusal with a reason; never a crash."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import payload_kind
from services.edge.ingest.decoding.sensor import decode_readings
from services.edge.window import Readings
from services.messages import MessageError, Sample
from services.settings import InputSettings, LimitSettings

DIGIT = Input(kind="image", shape=(8, 8, 1), dtype="uint8")
COLOUR = Input(kind="image", shape=(4, 6, 3), dtype="uint8")
SIGNAL = Input(kind="sensor", shape=(1, 16, 3), dtype="float32", rate_hz=50.0)


def picture(shape: tuple[int, ...] = (8, 8), *, form: str = "PNG", mode: str | None = None) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, form)
    return file.getvalue()


def decoder(expected: Input, kind: str = "sample", **more: Any) -> Any:
    return payload_kind(expected, InputSettings(kind=kind, **more), LimitSettings())


def reason(caught: pytest.ExceptionInfo[MessageError]) -> str:
    return caught.value.reason


def test_our_envelope_carries_id_time_and_array() -> None:
    pixels = np.arange(64, dtype=np.uint8)
    sample = Sample("s-1", 12.5, "array", (8, 8, 1), "uint8", pixels.tobytes())
    decoded = decoder(DIGIT).sample(sample.encode(), received_at=99.0)
    assert (decoded.id, decoded.captured_at) == ("s-1", 12.5)
    np.testing.assert_array_equal(decoded.array, pixels.reshape(8, 8, 1))


def test_our_envelope_carries_a_picture() -> None:
    sample = Sample("s-1", 12.5, "image", None, None, picture())
    assert decoder(DIGIT).sample(sample.encode(), received_at=99.0).array.shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (Sample("s", 1.0, "array", (8, 8, 2), "uint8", bytes(128)), "wrong_shape"),
        (Sample("s", 1.0, "array", (8, 8, 1), "float32", bytes(256)), "wrong_dtype"),
        (Sample("s", 1.0, "array", (8, 8, 1), "uint8", bytes(63)), "wrong_size"),
        (Sample("s", 1.0, "image", None, None, b"no picture"), "bad_image"),
    ],
)
def test_an_envelope_that_does_not_fit_is_refused(sample: Sample, expected: str) -> None:
    with pytest.raises(MessageError) as caught:
        decoder(DIGIT).sample(sample.encode(), received_at=99.0)
    assert reason(caught) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_array_with_a_value_that_is_not_finite_is_refused(value: float) -> None:
    array = np.zeros((1, 16, 3), np.float32)
    array[0, 3, 1] = value
    sample = Sample("s", 1.0, "array", (1, 16, 3), "float32", array.tobytes())
    with pytest.raises(MessageError) as caught:
        decoder(SIGNAL).sample(sample.encode(), received_at=99.0)
    assert reason(caught) == "not_finite"


def test_a_foreign_picture_gets_an_id_of_its_own_each_time() -> None:
    one = decoder(DIGIT, "image")
    first, second = (one.sample(picture(), received_at=99.0) for _ in range(2))
    assert first.id != second.id
    assert first.captured_at == 99.0


def test_a_foreign_array_has_the_shape_of_the_settings() -> None:
    one = decoder(COLOUR, "array", shape=(24, 3))
    assert one.sample(bytes(72), received_at=1.0).array.shape == (4, 6, 3)
    with pytest.raises(MessageError) as caught:
        one.sample(bytes(71), received_at=1.0)
    assert reason(caught) == "wrong_size"


@pytest.mark.parametrize(
    ("expected", "kind", "more"),
    [
        (DIGIT, "sensor", {}),
        (SIGNAL, "image", {}),
        (DIGIT, "array", {"shape": (9, 9)}),
        (DIGIT, "array", {"dtype": "float32"}),
    ],
)
def test_an_input_that_cannot_feed_the_bundle_is_refused_at_the_start(
    expected: Input, kind: str, more: dict[str, Any]
) -> None:
    expected = expected if kind != "image" else Input(kind="array", shape=(1, 16, 9), dtype="float32")
    with pytest.raises(EdgeError):
        decoder(expected, kind, **more)


def readings(body: object, *, rate_hz: float | None = 50.0) -> Readings:
    return decode_readings(json.dumps(body).encode(), channels=3, rate_hz=rate_hz, rows_max=8)


def test_readings_are_marked_by_their_sequence_number() -> None:
    found = readings({"seq": 7, "t": 1.5, "values": [[1, 2, 3], [4, 5, 6.5]]})
    assert (found.mark, found.step, found.t, found.timed) == (7, 1, 1.5, False)
    np.testing.assert_array_equal(found.rows, np.array([[1, 2, 3], [4, 5, 6.5]], np.float32))


def test_without_a_number_readings_are_marked_by_their_time() -> None:
    found = readings({"t": 1.5, "values": [1, 2, 3]})
    assert (found.mark, found.step, found.timed) == (1_500_000, 20_000, True)


def test_without_number_and_time_there_is_no_mark() -> None:
    assert readings({"values": [1, 2, 3]}).mark is None


def test_a_single_channel_needs_no_list() -> None:
    assert decode_readings(b'{"values": 2.5}', channels=1, rate_hz=None, rows_max=8).rows.tolist() == [[2.5]]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "not_json"),
        (b"[]", "not_json"),
        (b"{}", "missing_field"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"values": []}', "wrong_shape"),
        (b'{"values": [1, 2]}', "wrong_shape"),
        (b'{"values": [[1, 2, 3], [1, 2]]}', "wrong_shape"),
        (b'{"values": [1, 2, NaN]}', "not_finite"),
        (b'{"values": [1, 2, 1e39]}', "not_finite"),
        (b'{"values": [1, 2, 1e400]}', "not_finite"),
        (b'{"values": [1, 2, "3"]}', "bad_field"),
        (b'{"values": [1, 2, null]}', "bad_field"),
        (b'{"values": [true, true, false]}', "bad_field"),
        (b'{"values": [1, true, 2.5]}', "bad_field"),
        (b'{"values": [[1, 2, 3], [1, false, 3]]}', "bad_field"),
        (b'{"values": {"x": 1}}', "bad_field"),
        (b'{"values": [[[1], [2], [3]]]}', "wrong_shape"),
        (b'{"values": [1, 2, 3], "seq": -1}', "bad_field"),
        (b'{"values": [1, 2, 3], "seq": 1.5}', "bad_field"),
        (b'{"values": [1, 2, 3], "t": "now"}', "bad_field"),
        (b'{"values": [1, 2, 3], "t": Infinity}', "not_finite"),
        (json.dumps({"values": [[1, 2, 3]] * 9}).encode(), "too_many_rows"),
    ],
)
def test_readings_that_are_none_are_refused_with_a_reason(payload: bytes, expected: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_readings(payload, channels=3, rate_hz=50.0, rows_max=8)
    assert reason(caught) == expected


def test_rows_marked_by_one_time_need_a_rate() -> None:
    with pytest.raises(MessageError) as caught:
        readings({"t": 1.5, "values": [[1, 2, 3], [4, 5, 6]]}, rate_hz=None)
    assert reason(caught) == "no_rate"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("seq", "t", "values")), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(("seq", "t", "values")), json_values) | json_values)
def test_any_json_is_readings_or_a_message_error(body: Any) -> None:
    try:
        found = decode_readings(json.dumps(body).encode(), channels=3, rate_hz=50.0, rows_max=8)
    except MessageError:
        return
    assert found.rows.shape[1] == 3
    assert np.isfinite(found.rows).all()


def test_an_unknown_kind_names_those_that_there_are() -> None:
    with pytest.raises(EdgeError, match="kind 'video' is unknown; take one of sample, image, array, sensor"):
        decoder(DIGIT, "video")

"""`traceparent` in messages: kept where it has the W3C's form, ignored where it has not, absent unless it is told."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from services.messages import Escalation, Sample, traceparent
from services.security.feature_keys import FeatureKeys
from services.settings import TracesSettings
from services.traces import publisher_traces
from services.traces.tracers import context_of, sampled
from tests.services.traces.collector import Collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLE = Sample("s", 1.5, "array", (2,), "uint8", b"ab", PARENT)
ESCALATION = Escalation("s", "home", "edge-1", "cam", "0" * 12, 1, ((3, 0.5),), b"\x01" * 32, 12.5, traceparent=PARENT)


@pytest.mark.parametrize("form", [PARENT, PARENT[:-2] + "00", "cc" + PARENT[2:], PARENT[:-2] + "ff"])
def test_what_has_the_form_is_kept(form: str) -> None:
    assert traceparent(form) == form
    assert sampled(form) is (int(form[-2:], 16) % 2 == 1)


@pytest.mark.parametrize(
    "other", [None, 5, b"x", "", PARENT[:-1], PARENT + "0", PARENT + "\n", PARENT.upper(), "ff" + PARENT[2:], "٣" * 55]
)
def test_anything_else_is_none(other: object) -> None:
    assert traceparent(other) is None


@pytest.mark.parametrize("message", [SAMPLE, ESCALATION])
@pytest.mark.parametrize("told", ["", "x" * 5000, 17, ["x"], PARENT + "-more"])
def test_a_message_is_read_whatever_its_traceparent(message: Sample | Escalation, told: object) -> None:
    fields = msgpack.unpackb(message.encode()) | {"traceparent": told}
    assert type(message).decode(msgpack.packb(fields)) == replace(message, traceparent=None)


@pytest.mark.parametrize("message", [SAMPLE, ESCALATION])
def test_a_message_without_one_has_no_such_field(message: Sample | Escalation) -> None:
    assert "traceparent" not in msgpack.unpackb(replace(message, traceparent=None).encode())
    assert type(message).decode(message.encode()) == message


def test_it_is_no_part_of_what_features_are_bound_to(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "keys"
    path.write_text("00" * 32 + "\n")
    path.chmod(0o600)
    keys = FeatureKeys(path, setting="edge.features_key_file")
    sealed = replace(keys.encrypt(ESCALATION), traceparent=None)
    assert keys.decrypt(sealed).features == ESCALATION.features


def test_a_trace_that_is_not_told_begins_anew() -> None:
    assert not sampled(None)
    assert len(context_of(None)) == 0


@pytest.mark.parametrize("payload", [b"", b"\x89PNG", b'{"values": [1]}', SAMPLE.encode()])
def test_a_publisher_writes_into_an_envelope_and_into_nothing_else(payload: bytes) -> None:
    with Collector() as collector:
        traces = publisher_traces(TracesSettings(enabled=True, endpoint=collector.endpoint), site="s")
        span = traces.publishing("cam", ())
        [(name, told)] = span.properties
        assert (name, traceparent(told)) == ("traceparent", told)
        assert span.payload(payload, protocol="5") == payload
        written = span.payload(payload, protocol="3.1.1")
        if payload == SAMPLE.encode():
            assert Sample.decode(written) == replace(SAMPLE, traceparent=told)
        else:
            assert written == payload
        span.end(False)
        traces.stop()
        assert collector.one("publish").trace == told[3:35]

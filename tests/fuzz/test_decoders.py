"""Whatever bytes come, a decoder accepts them or raises what it documents."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import messages
from services.edge.ingest.decoding import KINDS
from tests.fuzz.targets import TARGETS, Target
from tests.hypothesis_profile import UNTIMED

each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)

pieces = st.binary(max_size=8) | st.sampled_from(
    [b"\x00", b"\xff" * 4, b"\xc0", b"\x80", b"-1", b"1e999", b"NaN", b"null", b"[", b"{", b'"', b"\\ud800", b"%ff"]
)


@st.composite
def damaged(draw: st.DrawFn, target: Target) -> bytes:
    """What an encoder made, cut, overwritten, doubled or extended; now and then nothing but noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    payload = draw(st.sampled_from(target.seeds()))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(payload)))
        piece = draw(pieces)
        payload = draw(
            st.sampled_from(
                [
                    payload[:start],
                    payload[:start] + piece + payload[start:],
                    payload[:start] + piece + payload[start + len(piece) :],
                    payload[:start] + payload[start // 2 :],
                    payload[:start] + payload[start + 1 :],
                ]
            )
        )
    return payload


@each_target
def test_what_an_encoder_made_is_accepted(target: Target) -> None:
    for seed in target.seeds():
        assert target.accepts(seed), seed[:100]


@each_target
@settings(max_examples=60, suppress_health_check=[*UNTIMED, HealthCheck.data_too_large])
@given(data=st.data())
def test_damaged_bytes_are_accepted_or_refused_as_documented(target: Target, data: st.DataObject) -> None:
    target.accepts(data.draw(damaged(target)))


def test_every_message_and_every_kind_of_input_has_its_target() -> None:
    names = {target.name for target in TARGETS}
    decoded = {name.lower() for name in messages.__all__ if hasattr(getattr(messages, name), "decode")}
    assert {f"message_{name}" for name in decoded} <= names
    assert {f"payload_{kind}" for kind in KINDS} <= names

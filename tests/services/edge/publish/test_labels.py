"""Labels from decisions: what is made by a template is what the object would be."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from services.edge.publish import LabelMaker
from tests.services.edge.site import network


@given(
    device=st.text(min_size=1, max_size=30),
    sample=st.text(min_size=1, max_size=30),
    class_index=st.integers(0, 9),
    confidence=st.floats(0, 1, width=32),
    in_domain=st.booleans(),
    captured_at=st.floats(0, 1e11),
)
def test_the_bytes_of_a_confident_label_are_those_of_its_object(
    device: str, sample: str, class_index: int, confidence: float, in_domain: bool, captured_at: float
) -> None:
    maker = LabelMaker(network("digits").manifest)
    said = {
        "exit_index": 0,
        "class_index": class_index,
        "confidence": confidence,
        "in_domain": in_domain,
        "captured_at": captured_at,
    }
    with patch("services.edge.publish.labels.time.time", return_value=1.5e9 + confidence):
        made = [maker.confident_json(device, sample, **said) for _ in range(2)]
        assert made == [maker.confident(device, sample, **said).encode()] * 2

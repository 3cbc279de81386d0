"""Labels from decisions: what is made by a template is what the object would be."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.edge.publish import LabelMaker
from tests.services.edge.observe.test_recent_inputs import result as one_result
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
    maker, key = LabelMaker(network("digits").manifest), (device, sample)
    result = replace(
        one_result(2),
        exit_index=np.array([-1, 0], np.int8),
        class_index=np.array([0, class_index], np.int32),
        confidence=np.array([0.0, confidence], np.float32),
        in_domain=np.array([False, in_domain]),
    )
    with patch("services.edge.publish.labels.time.time", return_value=1.5e9 + confidence):
        made = [maker.confident_json(key, captured_at, result, 1) for _ in range(2)]
        assert made == [maker.confident(key, captured_at, result, 1).encode()] * 2

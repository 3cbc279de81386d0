from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.sources.encodings import decode, encode
from services.sources.errors import SourceError

any_picture = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])))


@given(any_picture, st.sampled_from(["png", "array"]))
def test_png_and_array_lose_nothing(picture, encoding):
    assert (decode(encode(picture, encoding), encoding, picture.shape) == picture).all()


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_and_webp_lose_little(encoding, channels):
    ramp = np.linspace(0, 255, 32)[:, None, None] * np.ones((32, 32, channels))
    picture = ramp.astype(np.uint8)
    seen = decode(encode(picture, encoding), encoding, picture.shape)
    assert seen.shape == picture.shape
    assert np.abs(seen.astype(int) - picture).mean() < 4


def test_what_no_camera_sees_must_be_sent_as_array():
    with pytest.raises(SourceError, match="send it as array"):
        encode(np.zeros((4, 4, 2), np.uint8), "png")

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sources.errors import SourceError
from services.sources.frames.region import Region

SIDES = st.integers(1, 70)


@st.composite
def regions(draw):
    left, top = (draw(st.floats(0, 0.99)) for _ in range(2))
    return Region(left, top, draw(st.floats(1e-6, 1 - left)), draw(st.floats(1e-6, 1 - top)))


def test_a_region_is_read_as_left_top_width_height():
    pixels = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
    assert np.array_equal(Region.parse("0.5,0.25,0.3,0.5").of(pixels), pixels[2:6, 5:8])


@given(SIDES, SIDES)
def test_the_whole_is_the_picture_itself(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    assert Region.parse("0,0,1,1").of(pixels).shape == pixels.shape


@given(SIDES, SIDES, regions())
def test_a_part_is_never_empty_and_is_as_large_as_its_fractions_to_two_pixels(height, width, region):
    part = region.of(np.zeros((height, width, 3), np.uint8))
    for found, fraction, whole in ((part.shape[0], region.height, height), (part.shape[1], region.width, width)):
        assert 1 <= found <= whole
        assert fraction * whole - 1e-3 <= found <= fraction * whole + 2


@given(st.integers(1, 12), st.integers(1, 40))
def test_parts_that_meet_on_a_border_of_pixels_share_none(parts, pixels_each):
    """0.1 + 0.2 is no 0.3: what lies on a border but for a rounding error takes no pixel of its neighbour."""
    pixels = np.zeros((1, parts * pixels_each, 3), np.uint8)
    widths = [Region(i / parts, 0, min(1 / parts, 1 - i / parts), 1).of(pixels).shape[1] for i in range(parts)]
    assert widths == [pixels_each] * parts


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "0,0,0,1", "0.5,0,0.6,1", "-0.1,0,1,1", "nan,0,1,1", "0,0,inf,1"]
)
def test_what_is_no_part_of_a_picture_is_refused(text):
    with pytest.raises(SourceError, match="--region"):
        Region.parse(text)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sources.camera.thinning import Thinning


def _let_through(rate_hz, times_s):
    thinning = Thinning(rate_hz)
    return [time_s for time_s in times_s if thinning.due(time_s)]


@given(st.floats(0.1, 60), st.floats(0.1, 60))
def test_of_a_steady_stream_as_many_pass_as_are_asked_for_or_as_there_are(rate_hz, camera_hz):
    times_s = [i / camera_hz for i in range(400)]
    lasts_s = times_s[-1]
    expected = min(rate_hz, camera_hz) * lasts_s
    assert len(_let_through(rate_hz, times_s)) == pytest.approx(expected + 1, abs=2, rel=0.01)


@given(st.floats(0.1, 60), st.lists(st.floats(0, 3), max_size=100))
def test_never_more_pass_than_are_asked_for_whenever_they_come(rate_hz, pauses_s):
    times_s, now_s = [], 0.0
    for pause_s in pauses_s:
        now_s += pause_s
        times_s.append(now_s)
    assert len(_let_through(rate_hz, times_s)) <= now_s * rate_hz + 1.001


def test_all_pass_where_no_rate_is_given():
    assert _let_through(None, [0, 0.1, 0.1, 5]) == [0, 0.1, 0.1, 5]


def test_what_a_gap_has_cost_is_not_made_up_for_by_a_burst():
    times_s = [0, 1, 60, 60.1, 60.2, 61]
    assert _let_through(1, times_s) == [0, 1, 60, 61]


def test_every_third_of_thirty_is_ten():
    assert _let_through(10, [i / 30 for i in range(30)]) == pytest.approx([i / 10 for i in range(10)])

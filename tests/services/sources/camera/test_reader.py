from __future__ import annotations

import time

import pytest

from services.sources.camera.address import find_address
from services.sources.camera.handover import Handover
from services.sources.camera.reader import Playback, Reader
from tests.services.sources.videos import pictures, write_video


@pytest.fixture
def times(tmp_path, monkeypatch):
    """`times(clock, count)`: when the frames of a video of so many were captured, by this wall clock."""

    def captured(clock, count):
        handover = Handover()
        video = write_video(tmp_path / "video.mp4", pictures(count))
        reader = Reader(find_address(str(video)), Playback(fast=True), handover, say=print)
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", clock)
            reader.start()
            taken = []
            while (frame := handover.take()) is not None:
                taken.append(frame.captured_at)
            reader.stop()
        return taken

    return captured


def test_no_two_frames_are_of_the_same_time_even_if_the_clock_says_so(times):
    assert times(lambda: 1_700_000_000.0, 5) == pytest.approx([1_700_000_000 + i * 1e-6 for i in range(5)], abs=3e-7)
    assert len(set(times(lambda: 1_700_000_000.0, 5))) == 5


def test_a_clock_that_is_set_back_is_followed(times):
    ticks = iter([1000.0, 1001.0, 500.0, 501.0])
    assert times(lambda: next(ticks), 4) == [1000.0, 1001.0, 500.0, 501.0]

from __future__ import annotations

import json
import time
from collections import defaultdict

import numpy as np
import pytest

from hybrid_model.data import Dataset, Split
from services.edge.ingest.decoding.sensor import decode_readings
from services.edge.window import WindowRule, WindowState, advance
from services.messages import window_id
from services.sources.errors import SourceError
from services.sources.readings import GAP_S, ReadingsReplay
from services.sources.replay import name_devices

LENGTH, HOP, CHANNELS = 128, 64, 3


@pytest.fixture(scope="module")
def recordings():
    """Windows cut from three gap-free recordings of 5, 1 and 4 windows."""
    random = np.random.default_rng(0)
    windows, segments = [], []
    for number, count in enumerate((5, 1, 4)):
        signal = random.normal(size=((count + 1) * HOP, CHANNELS)).astype(np.float32)
        windows += [signal[i * HOP : i * HOP + LENGTH] for i in range(count)]
        segments += [number] * count
    split = Split(
        x=np.stack(windows)[:, np.newaxis], y=np.arange(10) % 6, group=np.ones(10, np.int64), segment=np.array(segments)
    )
    return Dataset("moves", tuple("abcdef"), "sensor", split, split, split, split, ("x", "y", "z"), 50.0, HOP)


def _replay(recordings, **options):
    return ReadingsReplay(recordings, **{"devices": name_devices("phone", 2), "frames": 10, **options})


def _rewindowed(replay):
    """Window the messages as the edge worker does. Returns {id: window} and {id: sample that was announced}."""
    rule = WindowRule(length=LENGTH, hop=HOP, period_s=0.02)
    states = defaultdict(lambda: WindowState.empty(CHANNELS))
    windows, announced = {}, {}
    for message in replay:
        readings = decode_readings(message.payload, channels=CHANNELS, rate_hz=50.0, rows_max=4096)
        step = advance(states[message.device], readings, rule)
        states[message.device] = step.state
        for window in step.windows:
            windows[window_id(message.device, window.epoch, window.first_mark)] = window.rows
        announced |= {sample.id: sample for sample in message.completes}
    return windows, announced


@pytest.mark.parametrize("rows", [1, 32, 50, 1000])
def test_a_receiver_that_windows_the_readings_gets_the_splits_windows_under_the_announced_ids(recordings, rows):
    replay = _replay(recordings, rows_per_message=rows)
    windows, announced = _rewindowed(replay)
    assert windows.keys() == announced.keys()
    assert sorted(sample.number for sample in announced.values()) == list(range(10))
    for id_, window in windows.items():
        sample = announced[id_]
        np.testing.assert_allclose(window, recordings.test.x[sample.number, 0], atol=1e-6)
        assert (replay.inputs([sample.number])[0, 0] == window).all()
        assert sample.class_index == recordings.test.y[sample.number]


def test_windows_of_a_degraded_device_are_cut_from_one_degraded_recording(recordings):
    replay = _replay(recordings, devices=name_devices("phone", 2, ["noise:0.5"]))
    windows, announced = _rewindowed(replay)
    for id_, window in windows.items():
        assert (replay.inputs([announced[id_].number])[0, 0] == window).all()
    seen = replay.inputs(range(5))
    shared = [np.array_equal(seen[i, 0, HOP:], seen[i + 1, 0, :HOP]) for i in range(4)]
    assert all(shared)


@pytest.mark.parametrize("frames", [1, 7, 10, 33])
def test_exactly_the_asked_number_of_windows_is_completed(recordings, frames):
    windows, announced = _rewindowed(_replay(recordings, frames=frames))
    assert len(windows) == len(announced) == frames


def test_no_reading_is_sent_that_no_window_needs(recordings):
    rows = sum(len(json.loads(message.payload)["values"]) for message in _replay(recordings))
    assert rows == (5 + 1) * HOP + (1 + 1) * HOP + (4 + 1) * HOP


def test_marks_and_times_of_a_device_only_grow_and_end_before_now(recordings):
    last = defaultdict(lambda: (-1, 0.0))
    gaps = 0
    for message in _replay(recordings, frames=30):
        body = json.loads(message.payload)
        seq, t = last[message.device]
        assert body["seq"] == seq + 1
        assert body["t"] > t
        gaps += t > 0 and body["t"] - t > GAP_S
        last[message.device] = (body["seq"] + len(body["values"]) - 1, body["t"] + (len(body["values"]) - 1) / 50.0)
    assert gaps > 0
    assert all(t < time.time() for _, t in last.values())


def test_raw_readings_carry_neither_mark_nor_time(recordings):
    assert json.loads(next(iter(_replay(recordings, raw=True))).payload).keys() == {"values"}


def test_each_message_is_worth_its_share_of_a_window(recordings):
    assert sum(m.share for m in _replay(recordings, frames=10)) == pytest.approx(13 * HOP / HOP)


def test_pictures_are_no_readings(recordings):
    import dataclasses

    with pytest.raises(SourceError, match="not made of sensor readings"):
        _replay(dataclasses.replace(recordings, kind="image"))


def test_readings_of_small_numbers_keep_their_digits(recordings):
    import dataclasses

    small = recordings.test
    small = dataclasses.replace(small, x=(small.x * np.float32(1e-6)).astype(np.float32))
    replay = _replay(dataclasses.replace(recordings, test=small))
    sent = replay.inputs(range(len(small)))
    np.testing.assert_allclose(sent, small.x, atol=1e-5 * float(small.x.std()))

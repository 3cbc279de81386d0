"""The latest samples: inputs, labels, corrections, all bounded; and inputs as pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from services.console.collect.device_inputs import DeviceInput, ReadingTails
from services.console.page.input_picture import input_picture
from services.console.page.wording import place
from services.console.state.recent import RecentSamples
from services.messages import Label, MessageError


def label(
    sample="a", *, device="camera-1", name="cat", exit=0, status="final", corrected=False, reason="confident",
    in_domain=True,
):  # fmt: skip
    return Label(
        id=sample, device=device, class_index=3, label=name, confidence=0.9, exit=exit, status=status, reason=reason,
        corrected=corrected, captured_at=100.0, decided_at=100.1, bundle="net@0", energy_j=1e-6,
        in_domain=in_domain,
    )  # fmt: skip


def png(size=(8, 8), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, 128).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def recent():
    return RecentSamples(kept=100)


def test_a_final_is_shown_with_its_input_and_latency(recent):
    found = DeviceInput("image", b"bytes")
    recent.take_input(("camera-1", "a"), found)
    recent.take_label(label(), arrived_at=100.5)
    [sample] = recent.newest(5)
    assert (sample.input, sample.latency_s, sample.corrected) == (found, 0.5, False)


def test_a_label_may_come_before_its_input(recent):
    recent.take_label(label(), arrived_at=100.5)
    recent.take_input(("camera-1", "a"), DeviceInput("image", b"bytes"))
    assert recent.newest(5)[0].input is not None


def test_a_provisional_label_alone_is_not_shown(recent):
    recent.take_label(label(status="provisional", reason="escalated"), arrived_at=100.1)
    assert recent.newest(5) == []


def test_a_correction_by_the_cloud_shows_both_answers(recent):
    recent.take_label(label(status="provisional", reason="escalated", name="dog"), arrived_at=100.1)
    recent.take_label(label(exit="cloud", reason="escalated", corrected=True), arrived_at=101.0)
    [sample] = recent.newest(5)
    assert sample.corrected
    assert (sample.provisional.label, sample.final.label) == ("dog", "cat")


def test_a_second_final_changes_nothing(recent):
    assert recent.take_label(label(), arrived_at=100.5)
    assert not recent.take_label(label(name="dog"), arrived_at=101.0)
    assert [sample.final.label for sample in recent.newest(5)] == ["cat"]


def test_a_reused_answer_was_not_given_in_the_cloud(recent):
    recent.take_label(label("a", exit="cloud", reason="reused", corrected=True), arrived_at=100.5)
    recent.take_label(label("b", reason="rate_limited"), arrived_at=100.5)
    ids = {which: [s.key[1] for s in recent.newest(9, which)] for which in ("all", "edge", "cloud", "corrected")}
    assert ids == {"all": ["b", "a"], "edge": ["b", "a"], "cloud": [], "corrected": ["a"]}
    assert [place(sample.final) for sample in recent.newest(9)] == ["exit 0", "reused"]


def test_selections(recent):
    recent.take_label(label("a"), arrived_at=100.5)
    recent.take_label(label("b", exit="cloud"), arrived_at=100.5)
    recent.take_label(label("c", exit="cloud", corrected=True), arrived_at=100.5)
    ids = {which: [s.key[1] for s in recent.newest(9, which)] for which in ("all", "edge", "cloud", "corrected")}
    assert ids == {"all": ["c", "b", "a"], "edge": ["a"], "cloud": ["c", "b"], "corrected": ["c"]}


def test_only_what_is_new_is_asked_for(recent):
    recent.take_label(label("a"), arrived_at=100.5)
    seen = recent.newest(9)[0].number
    recent.take_label(label("b"), arrived_at=100.5)
    assert [sample.key[1] for sample in recent.newest(9, after=seen)] == ["b"]


def test_a_device_whose_clock_is_not_ours_has_no_latency(recent):
    recent.take_label(label(), arrived_at=50.0)
    assert recent.newest(1)[0].latency_s is None


def test_no_more_samples_are_kept_than_asked_for(recent):
    for number in range(1000):
        recent.take_input(("camera-1", str(number)), DeviceInput("image", b"12345678"))
        recent.take_label(label(str(number)), arrived_at=100.5)
    assert len(recent) == 100
    assert recent.input_bytes == 800
    assert len(recent.newest(1000)) == 100


def test_large_inputs_are_bounded_in_bytes(recent):
    megabyte = bytes(1 << 20)
    for number in range(100):
        recent.take_input(("camera-1", str(number)), DeviceInput("image", megabyte))
    assert recent.input_bytes <= 64 << 20


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_picture_is_shown_as_png(mode):
    found = input_picture(DeviceInput("image", png(mode=mode)))
    assert found.startswith("data:image/png;base64,")


def test_a_large_picture_is_made_small():
    found = input_picture(DeviceInput("image", png(size=(2000, 1000))))
    with Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))) as shown:
        assert shown.size == (256, 128)


@pytest.mark.parametrize(
    "found",
    [
        DeviceInput("image", b"<svg onload=alert(1)>"),
        DeviceInput("image", png()[:30]),
        DeviceInput("image", b""),
        DeviceInput("array", b"123", (1, 2, 3), "uint8"),
        DeviceInput("array", b"123", None, "complex64"),
        DeviceInput("array", bytes(2 * 2 * 7), (2, 2, 7), "uint8"),
    ],
)
def test_what_is_no_picture_is_shown_as_none(found):
    assert input_picture(found) is None


def test_a_float_array_is_shown_over_its_own_range():
    values = np.linspace(-3, 5, 64, dtype="<f4").reshape(8, 8, 1)
    found = input_picture(DeviceInput("array", values.tobytes(), (8, 8, 1), "float32"))
    with Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))) as shown:
        assert shown.getextrema() == (0, 255)


def test_a_window_is_a_line_chart_with_a_line_for_each_channel():
    values = np.random.default_rng(0).normal(size=(128, 9)).astype("<f4")
    found = input_picture(DeviceInput("window", values.tobytes(), (128, 9), "float32"))
    assert base64.b64decode(found.partition(",")[2]).count(b"<polyline") == 9


def test_a_constant_window_is_a_line_too():
    assert input_picture(DeviceInput("window", bytes(4 * 12), (4, 3), "float32")).startswith("data:image/svg+xml")


def test_a_window_is_cut_where_its_label_says_that_it_ended():
    tails = ReadingTails(4, rate_hz=10.0)
    for first in (0, 4, 8):
        tails.take("d", f'{{"t": {100 + first / 10}, "values": {[[v] for v in range(first, first + 4)]}}}'.encode())
    window = tails.window("d", ended_at=100.7)
    assert np.frombuffer(window.data, "<f4").tolist() == [4, 5, 6, 7]
    assert window.shape == (4, 1)


def test_readings_without_times_give_the_latest_rows():
    tails = ReadingTails(2, rate_hz=None)
    tails.take("d", b'{"values": [[1, 2], [3, 4], [5, 6]]}')
    assert np.frombuffer(tails.window("d", ended_at=0.0).data, "<f4").tolist() == [3, 4, 5, 6]


def test_too_few_rows_are_no_window():
    tails = ReadingTails(4, rate_hz=10.0)
    tails.take("d", b'{"t": 1, "values": [[1], [2]]}')
    assert tails.window("d", ended_at=2.0) is None
    assert tails.window("unknown", ended_at=2.0) is None


@pytest.mark.parametrize(
    "payload", [b"x", b"[]", b"{}", b'{"values": "a"}', b'{"values": [[1], [2, 3]]}', b'{"values": []}']
)
def test_what_are_no_readings_is_refused(payload):
    with pytest.raises(MessageError):
        ReadingTails(4, rate_hz=10.0).take("d", payload)


def test_readings_of_devices_without_number_are_bounded():
    tails = ReadingTails(1, rate_hz=None)
    for number in range(600):
        tails.take(f"d{number}", b'{"values": [1]}')
    assert tails.window("d0", ended_at=0.0) is None
    assert tails.window("d599", ended_at=0.0) is not None


@pytest.mark.parametrize(("file_format", "shown"), [("PNG", False), ("JPEG", True)])
def test_a_large_file_is_shown_only_where_it_need_not_be_decoded_whole(file_format, shown):
    file = io.BytesIO()
    Image.new("RGB", (2400, 2000)).save(file, file_format)
    assert (input_picture(DeviceInput("image", file.getvalue())) is not None) == shown

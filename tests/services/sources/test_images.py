from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from hybrid_model import data
from services.messages import Sample
from services.sources.errors import SourceError
from services.sources.images import ImageReplay
from services.sources.replay import name_devices


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def _replay(digits, **options):
    return ImageReplay(digits, **{"devices": name_devices("scanner", 3), "frames": 30, **options})


def test_devices_take_turns_and_every_sample_has_its_own_key(digits):
    sent = list(_replay(digits))
    assert [message.device for message in sent[:4]] == ["scanner-1", "scanner-2", "scanner-3", "scanner-1"]
    keys = [sample.key for message in sent for sample in message.completes]
    assert len(set(keys)) == 30


def test_a_picture_travels_in_the_envelope_as_png_with_its_id_and_time(digits):
    before = time.time()
    message = next(iter(_replay(digits)))
    sample = Sample.decode(message.payload)
    assert sample.id == message.completes[0].id
    assert (sample.kind, sample.shape, sample.dtype) == ("image", (8, 8, 1), "uint8")
    assert before <= sample.captured_at <= time.time()
    with Image.open(io.BytesIO(sample.data)) as picture:
        assert picture.format == "PNG"
        assert (np.asarray(picture) == digits.test.x[0, :, :, 0]).all()
    assert message.completes[0].class_index == digits.test.y[0]


def test_an_array_travels_as_its_bare_values(digits):
    sample = Sample.decode(next(iter(_replay(digits, encoding="array"))).payload)
    assert sample.kind == "array"
    assert sample.data == digits.test.x[0].tobytes()


def test_raw_pictures_are_files_that_anyone_can_open(digits):
    message = next(iter(_replay(digits, raw=True, encoding="webp")))
    with Image.open(io.BytesIO(message.payload)) as picture:
        assert picture.format == "WEBP"


def test_beyond_the_split_its_samples_come_again_under_new_ids(digits):
    rows = len(digits.test)
    sent = [message.completes[0] for message in _replay(digits, frames=rows + 5)]
    assert sent[rows + 2].class_index == sent[2].class_index
    assert sent[rows + 2].id != sent[2].id


def test_two_replays_share_no_id_unless_they_are_the_same_run(digits):
    ids = [{message.completes[0].id for message in _replay(digits, run=run)} for run in (None, None, "again", "again")]
    assert not ids[0] & ids[1]
    assert ids[2] == ids[3]


@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_inputs_are_what_a_receiver_decodes_also_from_a_degraded_device(digits, encoding):
    devices = name_devices("scanner", 2, ["noise:0.5"])
    replay = _replay(digits, devices=devices, encoding=encoding)
    decoded = []
    for message in replay:
        with Image.open(io.BytesIO(Sample.decode(message.payload).data)) as picture:
            decoded.append(np.asarray(picture)[:, :, np.newaxis])
    assert (replay.inputs(range(30)) == np.stack(decoded)).all()
    spoilt = (replay.inputs(range(30)) != digits.test.x[:30]).any(axis=(1, 2, 3))
    assert spoilt[1::2].all()
    assert encoding == "jpeg" or not spoilt[0::2].any()


def test_sensor_readings_are_no_pictures(digits):
    import dataclasses

    with pytest.raises(SourceError, match="not made of pictures"):
        _replay(dataclasses.replace(digits, kind="sensor"))


def test_a_device_that_is_not_there_cannot_be_degraded():
    with pytest.raises(SourceError, match="there are camera-1, camera-2"):
        name_devices("camera", 2, ["camera-3=blur"])

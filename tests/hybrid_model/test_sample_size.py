"""Bytes of whole samples."""

import io

import numpy as np
import pytest
from PIL import Image

from hybrid_model.sample_size import mean_lossless_bytes, mean_sample_bytes

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
FLAT = np.full((2, 32, 32, 3), 77, dtype=np.uint8)


def test_a_picture_is_measured_in_every_format():
    found = mean_sample_bytes(np.concatenate([NOISE, FLAT]), "image")
    assert set(found) == {"png", "jpeg_75", "jpeg_95", "raw"}
    assert found["raw"] == 3072
    assert found["jpeg_75"] < found["jpeg_95"]


def test_png_is_pillows_and_the_mean_is_over_samples():
    sizes = []
    for picture in (NOISE[0], FLAT[0]):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", optimize=True)
        sizes.append(len(file.getvalue()))
    assert mean_sample_bytes(np.stack([NOISE[0], FLAT[0]]), "image")["png"] == sum(sizes) / 2


def test_a_grey_picture_has_one_channel():
    assert mean_sample_bytes(NOISE[:, :8, :8, :1], "image")["raw"] == 64


def test_what_does_not_compress_is_sent_as_it_is():
    assert mean_sample_bytes(NOISE, "image")["png"] > 3072
    assert mean_lossless_bytes(NOISE, "image") == 3072
    assert mean_lossless_bytes(FLAT, "image") == mean_sample_bytes(FLAT, "image")["png"] < 200


def test_a_window_of_readings_counts_its_values():
    window = np.zeros((3, 1, 128, 6), dtype=np.float32)  # 768 values
    assert mean_sample_bytes(window, "sensor") == {"float32": 3072, "int16": 1536}
    assert mean_lossless_bytes(window, "sensor") == 1536


@pytest.mark.parametrize("kind", ["image", "sensor"])
def test_no_samples_have_no_size(kind):
    assert mean_sample_bytes(NOISE[:0], kind) is None

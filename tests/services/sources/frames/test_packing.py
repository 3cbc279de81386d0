from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hybrid_model.pixels import rgb_pixels
from services.messages import Sample
from services.sources.errors import SourceError
from services.sources.frames.packing import Packing
from services.sources.frames.region import Region
from services.sources.frames.size import Size
from tests.services.sources.videos import pictures, seen


def _sent(packing, pixels):
    return Sample.decode(packing.payload(packing.part(pixels), id="a", captured_at=5.0))


def test_a_frame_travels_in_our_envelope_under_its_id_and_time():
    sample = _sent(Packing(encoding="png"), pictures(1)[0])
    assert (sample.id, sample.captured_at, sample.kind) == ("a", 5.0, "image")
    assert np.array_equal(seen(sample.data), pictures(1)[0])


def test_raw_is_the_bare_picture():
    frame = pictures(1)[0]
    assert Packing(encoding="jpeg", raw=True).payload(frame, id="a", captured_at=5.0).startswith(b"\xff\xd8")


def test_the_size_is_taken_of_the_region_and_by_the_rule_of_training_and_edge():
    frame = pictures(1)[0]
    sample = _sent(Packing(Region(0.5, 0, 0.5, 1), Size(16, 8), "png"), frame)
    assert np.array_equal(seen(sample.data), rgb_pixels(Image.fromarray(frame[:, 32:]), 8, 16))


def test_an_array_says_its_shape():
    sample = _sent(Packing(size=Size(8, 4), encoding="array"), pictures(1)[0])
    assert (sample.kind, sample.shape, sample.dtype, len(sample.data)) == ("array", (4, 8, 3), "uint8", 96)


def test_a_lower_quality_takes_fewer_bytes():
    frame = pictures(1)[0]
    sizes = [len(Packing(quality=quality).payload(frame, id="a", captured_at=0.0)) for quality in (20, 60, 95)]
    assert sizes == sorted(set(sizes))
    with Image.open(io.BytesIO(Packing(quality=20, raw=True).payload(frame, id="a", captured_at=0.0))) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize("text", ["", "32", "0x5", "5x0", "-5x5", "99999x5", "5x5x5", "axb"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(SourceError, match="--size"):
        Size.parse(text)

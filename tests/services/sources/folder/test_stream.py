from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from services.messages import Sample
from services.settings import LimitSettings
from services.sources.errors import SourceError
from services.sources.folder.stream import FolderOptions, run_folder
from services.sources.frames.size import Size
from tests.services.sources.receiving import QUIET, receiving, settings_for
from tests.services.sources.videos import jpeg, pictures, seen


@pytest.fixture
def received(mqtt_broker):
    with receiving(mqtt_broker) as deliveries:
        yield deliveries


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def _once(broker, folder, *, console=QUIET, settings=None, **options):
    return run_folder(FolderOptions(folder, once=True, **options), settings or settings_for(broker), console=console)


def _old(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_the_pictures_of_a_folder_are_sent_as_they_are_under_their_names_and_times(
    mqtt_broker, received, folder, wait_for
):
    files = {name: jpeg(picture) for name, picture in zip(("a.jpg", "b/c.jpg"), pictures(2), strict=True)}
    for name, content in files.items():
        _old(folder / name, content)
    figures = _once(mqtt_broker, folder, device="door")
    assert figures["files_sent"] == figures["samples_acknowledged"] == 2
    wait_for(lambda: len(received) == 2, "both pictures")
    samples = [Sample.decode(delivery.payload) for delivery in received]
    assert {sample.id.rpartition("-")[0]: sample.data for sample in samples} == files
    assert {sample.captured_at for sample in samples} == {1_700_000_000.0}
    assert {delivery.topic for delivery in received} == {"dewpoint/home/in/door"}


def test_the_same_files_are_the_same_samples_when_the_command_is_run_again(mqtt_broker, received, folder, wait_for):
    _old(folder / "a.jpg", jpeg(pictures(1)[0]))
    _once(mqtt_broker, folder)
    _once(mqtt_broker, folder)
    wait_for(lambda: len(received) == 2, "two deliveries")
    assert received[0].payload == received[1].payload


def test_what_an_edge_worker_does_not_read_is_sent_as_png(mqtt_broker, received, folder, wait_for):
    digit = pictures(1)[0]
    Image.fromarray(digit).save(folder / "a.bmp")
    deep = digit[:, :, 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "b.png")
    _once(mqtt_broker, folder, settle_s=0)
    wait_for(lambda: len(received) == 2, "both pictures")
    for delivery in received:
        data = Sample.decode(delivery.payload).data
        assert data.startswith(b"\x89PNG")
        assert np.array_equal(seen(data), digit)
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "RGB"


def test_pictures_are_scaled_where_a_size_is_given(mqtt_broker, received, folder, wait_for):
    _old(folder / "a.jpg", jpeg(pictures(1)[0]))
    _once(mqtt_broker, folder, size=Size(16, 8), encoding="webp", raw=True)
    wait_for(lambda: received, "the picture")
    assert seen(received[0].payload).shape == (8, 16, 3)
    assert received[0].payload[8:12] == b"WEBP"


def test_what_is_no_whole_picture_is_left_out_and_counted(mqtt_broker, received, folder, wait_for):
    whole = jpeg(pictures(1)[0])
    _old(folder / "half.jpg", whole[: len(whole) // 2])
    _old(folder / "words.png", b"no picture")
    _old(folder / "whole.jpg", whole)
    said = io.StringIO()
    figures = _once(mqtt_broker, folder, console=Console(file=said, width=500))
    assert figures["files_sent"] == 1
    assert figures["files_refused"] == {"unreadable": 2}
    assert "half.jpg: no whole picture" in said.getvalue()
    wait_for(lambda: received, "the whole picture")


def test_what_the_edge_worker_would_refuse_for_its_size_is_told_before(mqtt_broker, received, folder):
    _old(folder / "a.jpg", jpeg(pictures(1)[0]))
    settings = settings_for(mqtt_broker).model_copy(update={"limits": LimitSettings(payload_bytes_max=100)})
    assert _once(mqtt_broker, folder, settings=settings)["files_refused"] == {"too_large": 1}
    assert not received


def test_a_folder_that_is_none_is_refused(mqtt_broker, tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        _once(mqtt_broker, tmp_path / "nothing")

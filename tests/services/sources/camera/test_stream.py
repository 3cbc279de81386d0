from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time

import pytest
from rich.console import Console

from services.messages import Sample, frame_id
from services.servers import free_port
from services.sources.camera.address import find_address
from services.sources.camera.reader import Playback
from services.sources.camera.stream import CameraOptions, run_camera
from services.sources.errors import SourceError
from services.sources.frames.packing import Packing
from services.sources.frames.region import Region
from services.sources.frames.size import Size
from tests.services.sources.receiving import QUIET, receiving, settings_for
from tests.services.sources.videos import MjpegCamera, RtspCamera, nearest, pictures, seen, write_video

FAST = Playback(fast=True)


def _run(broker, source, *, console=QUIET, **options):
    address = options.pop("address", None) or find_address(str(source))
    return run_camera(CameraOptions(address, **options), settings_for(broker, backoff_min_s=0.05), console=console)


@pytest.fixture
def received(mqtt_broker):
    with receiving(mqtt_broker) as deliveries:
        yield deliveries


def _adds_up(figures):
    parts = ("sent", "still", "late", "beyond_rate", "left")
    return figures["frames_read"] == sum(figures[f"frames_{part}"] for part in parts)


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_every_frame_of_a_video_arrives_in_order_under_the_id_of_its_device_and_time(
    mqtt_broker, received, tmp_path, wait_for
):
    video = write_video(tmp_path / "video.mp4", pictures(12))
    began = time.time()
    figures = _run(mqtt_broker, video, device="door", playback=FAST)
    assert figures["frames_read"] == figures["frames_sent"] == figures["samples_acknowledged"] == 12
    assert _adds_up(figures)
    wait_for(lambda: len(received) == 12, "every frame")
    samples = [Sample.decode(delivery.payload) for delivery in received]
    assert [nearest(seen(sample.data), pictures(12)) for sample in samples] == list(range(12))
    assert {delivery.topic for delivery in received} == {"dewpoint/home/in/door"}
    assert [sample.id for sample in samples] == [frame_id("door", sample.captured_at) for sample in samples]
    assert len({sample.id for sample in samples}) == 12
    assert all(began <= sample.captured_at <= time.time() for sample in samples)


def test_a_video_plays_at_its_own_pace(mqtt_broker, received, tmp_path):
    video = write_video(tmp_path / "video.mp4", pictures(11), rate_hz=10)
    started = time.monotonic()
    figures = _run(mqtt_broker, video)
    assert time.monotonic() - started >= 1.0
    assert figures["frames_read"] == 11
    assert _adds_up(figures)


def test_a_rate_leaves_frames_out_at_even_distances(mqtt_broker, received, tmp_path, wait_for):
    video = write_video(tmp_path / "video.mp4", pictures(12), rate_hz=12)
    figures = _run(mqtt_broker, video, playback=Playback(rate_hz=3, fast=True))
    assert (figures["frames_sent"], figures["frames_beyond_rate"]) == (3, 9)
    wait_for(lambda: len(received) == 3, "every frame")
    assert [nearest(seen(Sample.decode(d.payload).data), pictures(12)) for d in received] == [0, 4, 8]


def test_what_does_not_move_is_held_back_but_for_a_heartbeat(mqtt_broker, received, tmp_path):
    first, second = pictures(2)
    video = write_video(tmp_path / "video.mp4", [first] * 50 + [second] * 10, rate_hz=10)
    figures = _run(mqtt_broker, video, playback=FAST, motion=0.05, still_s=2.0)
    # The first; after 2 and 4 s of its own time; the second picture.
    assert (figures["frames_sent"], figures["frames_still"]) == (4, 56)
    assert _adds_up(figures)


def test_motion_outside_of_the_region_is_none(mqtt_broker, received, tmp_path):
    frames = [picture.copy() for picture in pictures(10)]
    for frame in frames:
        frame[:, 32:] = frames[0][:, 32:]
    video = write_video(tmp_path / "video.mp4", frames)
    options = {"playback": FAST, "motion": 0.05}
    assert _run(mqtt_broker, video, packing=Packing(Region(0.5, 0, 0.5, 1)), **options)["frames_sent"] == 1
    assert _run(mqtt_broker, video, packing=Packing(Region(0, 0, 0.5, 1)), **options)["frames_sent"] == 10


def test_frames_are_cut_and_scaled_before_they_are_sent(mqtt_broker, received, tmp_path, wait_for):
    video = write_video(tmp_path / "video.mp4", pictures(2))
    _run(mqtt_broker, video, playback=FAST, packing=Packing(Region(0, 0, 0.5, 1), Size(8, 16), "png", raw=True))
    wait_for(lambda: len(received) == 2, "both frames")
    assert seen(received[0].payload).shape == (16, 8, 3)


@pytest.mark.parametrize(("rotation", "turned"), [(90, 1), (180, 2), (-90, 3)])
def test_a_video_that_was_filmed_sideways_is_turned_upright(
    mqtt_broker, received, tmp_path, wait_for, rotation, turned
):
    import numpy as np

    digit = pictures(1)[0]
    video = write_video(tmp_path / "video.mp4", [digit], rotation=rotation)
    _run(mqtt_broker, video, playback=FAST)
    wait_for(lambda: received, "the frame")
    ways = [np.rot90(digit, quarters) for quarters in range(4)]
    assert nearest(seen(Sample.decode(received[0].payload).data), ways) == turned


def test_a_loop_goes_on_until_enough_were_sent(mqtt_broker, received, tmp_path, wait_for):
    video = write_video(tmp_path / "video.mp4", pictures(5))
    figures = _run(mqtt_broker, video, playback=Playback(fast=True, loop=True), frames=13)
    assert figures["frames_sent"] == 13
    wait_for(lambda: len(received) == 13, "every frame")
    samples = [Sample.decode(delivery.payload) for delivery in received]
    assert [nearest(seen(sample.data), pictures(5)) for sample in samples] == [i % 5 for i in range(13)]
    assert len({sample.id for sample in samples}) == 13


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_a_broker_that_hangs_gets_the_newest_frame_when_it_is_back_and_no_backlog(mqtt_broker, received, wait_for):
    with MjpegCamera(pictures(10), pause_s=0.01) as camera:
        figures = {}
        options = {"frames": 12, "in_flight": 2}
        run = threading.Thread(
            target=lambda: figures.update(_run(mqtt_broker, f"http://127.0.0.1:{camera.port}/", **options))
        )
        run.start()
        wait_for(lambda: len(received) >= 3, "frames")
        os.kill(mqtt_broker.pid, signal.SIGSTOP)
        before, hung_at = camera.served, time.time()
        try:
            wait_for(lambda: camera.served >= before + 100, "a hundred frames that nobody takes")
            back_at = time.time()
        finally:
            os.kill(mqtt_broker.pid, signal.SIGCONT)
        run.join(90)
        wait_for(lambda: len(received) == 12, "every frame that was sent")
    assert figures["frames_sent"] == 12
    assert figures["frames_late"] >= 80
    assert _adds_up(figures)
    # What was on its way when the broker hung came late; of all the others the newest came.
    times = [Sample.decode(delivery.payload).captured_at for delivery in received]
    assert times == sorted(times)
    assert len([at for at in times if hung_at + 0.3 < at < back_at - 0.3]) <= 2


def test_a_camera_that_hangs_up_is_asked_again_and_told_of_once(mqtt_broker, received, wait_for, capsys):
    with MjpegCamera(pictures(10), rounds=[5, 0, 0, 5]) as camera:
        url = f"http://viewer:5ecret@127.0.0.1:{camera.port}/video?token=5ecret"
        console = Console(width=500)
        figures = _run(mqtt_broker, url, frames=20, console=console)
    told = capsys.readouterr().out
    assert figures["frames_sent"] == 20
    assert camera.connections >= 5
    assert figures["losses"] >= 4
    assert "trying again" in told
    assert "back again" in told
    assert "5ecret" not in told + str(figures)
    assert figures["source"] == f"http://127.0.0.1:{camera.port}/video?..."


def test_a_camera_that_falls_silent_is_asked_again(mqtt_broker, received):
    class Silent(MjpegCamera):
        def talk(self, connection, number):
            super().talk(connection, number)
            self._closing.wait(600)

    with Silent(pictures(10), rounds=[8]) as camera:
        began = time.monotonic()
        figures = _run(mqtt_broker, f"http://127.0.0.1:{camera.port}/", frames=20, playback=Playback(silent_s=1.0))
    assert time.monotonic() - began < 45
    assert figures["frames_sent"] == 20
    assert camera.connections == 2


def test_a_camera_that_was_right_once_is_asked_again_whatever_it_says_while_it_starts(mqtt_broker, received):
    class Starting(MjpegCamera):
        def talk(self, connection, number):
            if number == 2:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            elif number == 3:
                _page(connection)
            else:
                super().talk(connection, number)

    with Starting(pictures(10), rounds=[8]) as camera:
        figures = _run(mqtt_broker, f"http://127.0.0.1:{camera.port}/", frames=20)
    assert (figures["frames_sent"], figures["losses"]) == (20, 3)
    assert camera.connections == 4


def test_a_camera_that_is_not_there_yet_is_waited_for(mqtt_broker, received, wait_for):
    port, figures, said = free_port(), {}, io.StringIO()
    console = Console(file=said, width=500)
    url = f"http://127.0.0.1:{port}/"
    run = threading.Thread(target=lambda: figures.update(_run(mqtt_broker, url, frames=3, console=console)))
    run.start()
    wait_for(lambda: "connection refused; trying again" in said.getvalue(), "the first attempt")
    with MjpegCamera(pictures(3), port=port):
        run.join(90)
    assert figures["frames_sent"] == 3
    assert "back again" in said.getvalue()


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "--user and --password-file"), (403, "--user"), (404, "no such path")]
)
def test_a_camera_that_refuses_ends_the_stream_in_a_line_without_the_password(mqtt_broker, status, reason):
    with RtspCamera(status) as camera:
        address = find_address(f"rtsp://127.0.0.1:{camera.port}/stream", user="viewer", password="5ecret/@:")
        with pytest.raises(SourceError) as told:
            _run(mqtt_broker, None, address=address)
    assert str(told.value).startswith(f"rtsp://127.0.0.1:{camera.port}/stream: ")
    assert reason in str(told.value)
    assert str(status) in str(told.value)
    assert "5ecret" not in str(told.value)
    if status == 401:  # the password did reach the camera
        import base64

        assert any(base64.b64encode(b"viewer:5ecret/@:").decode() in request for request in camera.asked)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/dev/video97", "no such device"),
        ("/dev/null", "is no camera"),
        ("words.mp4", "is no video that can be read"),
        ("empty.mp4", "is no video that can be read"),
        ("sound.wav", "no pictures"),
    ],
)
def test_a_wrong_file_or_device_ends_the_stream_at_once(mqtt_broker, tmp_path, monkeypatch, source, reason):
    import wave

    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.mp4").write_text("no video" * 1000)
    (tmp_path / "empty.mp4").touch()
    with wave.open("sound.wav", "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\0" * 16000)
    with pytest.raises(SourceError, match=reason):
        _run(mqtt_broker, source)


def _page(connection):
    """A page that people look at, where a video was expected."""
    connection.recv(4096)
    page = b"<html>" + b"the camera's menu " * 1000
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page))
    connection.sendall(page)


def test_a_page_that_is_no_video_ends_the_stream(mqtt_broker):
    class Page(MjpegCamera):
        def talk(self, connection, number):
            _page(connection)

    with Page(pictures(1)) as camera, pytest.raises(SourceError, match="no video"):
        _run(mqtt_broker, f"http://127.0.0.1:{camera.port}/")


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"], ids=["live", "ended"])
def test_a_playlist_in_a_file_cannot_make_us_ask_the_network(mqtt_broker, tmp_path, end):
    with MjpegCamera(pictures(1)) as camera:
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{camera.port}/a.ts\n{end}")
        with pytest.raises(SourceError):
            _run(mqtt_broker, playlist, playback=Playback(silent_s=1.0))
        assert camera.connections == 0


def test_a_playlist_from_the_network_cannot_make_us_read_files(mqtt_broker, received, tmp_path):
    video = write_video(tmp_path / "private.ts", pictures(5))

    class Playlist(MjpegCamera):
        def talk(self, connection, number):
            connection.recv(4096)
            body = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{video}\n#EXT-X-ENDLIST\n".encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    with Playlist(pictures(1)) as camera, pytest.raises(SourceError):
        _run(mqtt_broker, f"http://127.0.0.1:{camera.port}/list.m3u8", playback=Playback(silent_s=1.0))
    assert not received


def test_damage_within_a_video_costs_its_frames_alone(mqtt_broker, received, tmp_path):
    video = write_video(tmp_path / "video.avi", pictures(20))
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = b"\xff" * 600
    video.write_bytes(content)
    figures = _run(mqtt_broker, video, playback=FAST)
    assert figures["frames_sent"] >= 10
    assert _adds_up(figures)


def test_where_pyav_is_not_installed_a_line_says_what_to_install(mqtt_broker, tmp_path, monkeypatch):
    video = write_video(tmp_path / "video.mp4", pictures(1))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError, match=r"pip install 'dewpoint\[camera\]'"):
        _run(mqtt_broker, video)


def test_a_camera_cannot_be_played_in_a_loop(mqtt_broker):
    with pytest.raises(SourceError, match="--loop is for video files"):
        _run(mqtt_broker, "rtsp://camera/", playback=Playback(loop=True))

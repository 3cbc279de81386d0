"""`dewpoint stream` as a command: its kinds, the old form, standard input, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from hybrid_model import bundle as bundles
from services.cli import app
from services.edge.ingest.decoding.sensor import decode_readings
from services.messages import Sample
from tests.services.sources.receiving import receiving
from tests.services.sources.videos import MjpegCamera, RtspCamera, jpeg, pictures, write_video

KINDS = ("camera", "folder", "csv", "dataset")


@pytest.fixture
def received(mqtt_broker):
    with receiving(mqtt_broker) as deliveries:
        yield deliveries


def _start(broker, *arguments, **options):
    command = [sys.executable, "-m", "services.cli", "stream", *map(str, arguments)]
    where = ["--port", str(broker.port), "--site", "home"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*command, *where], env={**os.environ}, **pipes)


def _run(broker, *arguments):
    process = _start(broker, *arguments)
    told, complaints = process.communicate(timeout=90)
    return process.returncode, told, complaints


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_shows_an_example_of_each_kind_and_so_does_its_own(kind):
    for arguments in (("stream", "--help"), ("stream", kind, "--help")):
        ended = CliRunner().invoke(app, arguments)
        assert ended.exit_code == 0
        assert f"dewpoint stream {kind} " in " ".join(ended.output.replace("\u2502", " ").split())


@pytest.mark.parametrize("form", [("digits",), ("dataset", "digits"), ("--frames", "3", "digits")])
def test_a_data_set_is_sent_in_the_old_form_and_in_the_new_one(mqtt_broker, received, wait_for, form):
    status, told, complaints = _run(mqtt_broker, *form, *(() if "--frames" in form else ("--frames", "3")))
    assert status == 0, complaints
    assert json.loads(told)["samples"] == 3
    wait_for(lambda: len(received) == 3, "every sample")


def test_a_word_that_is_neither_a_kind_nor_a_data_set_is_told():
    ended = CliRunner().invoke(app, ["stream", "camra", "rtsp://viewer:5ecret@camera/"])
    assert ended.exit_code == 2
    assert "'camra' is neither a kind of source (camera, csv, dataset, folder) nor a data set (digits" in ended.output
    assert "5ecret" not in ended.output


def test_a_video_is_sent_and_the_command_ends_with_its_books(mqtt_broker, received, wait_for, tmp_path):
    video = write_video(tmp_path / "video.mp4", [*pictures(5), *[pictures(5)[-1]] * 5])
    figures = tmp_path / "sent.json"
    options = ("--fast", "--motion", "0.05", "--device", "door", "--json", figures, "--size", "32x32")
    status, told, complaints = _run(mqtt_broker, "camera", video, *options)
    assert status == 0, complaints
    sent = json.loads(figures.read_text())
    assert sent == json.loads(told)
    assert (sent["frames_read"], sent["frames_sent"], sent["frames_still"], sent["frames_late"]) == (10, 5, 5, 0)
    wait_for(lambda: len(received) == 5, "every frame")


def test_a_camera_is_watched_until_somebody_ends_it_and_that_is_no_failure(mqtt_broker, received, wait_for):
    with MjpegCamera(pictures(10)) as camera:
        process = _start(mqtt_broker, "camera", f"http://127.0.0.1:{camera.port}/", "--rate", "20")
        wait_for(lambda: len(received) >= 5 or process.poll() is not None, "frames")
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    assert json.loads(told)["frames_sent"] >= 5


def test_a_camera_that_cannot_be_reached_can_be_given_up(mqtt_broker, wait_for):
    process = _start(mqtt_broker, "camera", "http://127.0.0.1:9/")
    assert "trying again" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    told, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    assert json.loads(told)["frames_read"] == 0


@pytest.mark.parametrize("form", ["url", "file"])
def test_a_camera_that_refuses_the_password_ends_the_command_in_a_line_without_it(mqtt_broker, tmp_path, form):
    secret = tmp_path / "camera.password"
    secret.write_text("5ecret\n")
    secret.chmod(0o600)
    with RtspCamera(401) as camera:
        where = f"127.0.0.1:{camera.port}/stream"
        options = (f"rtsp://viewer:5ecret@{where}",)
        if form == "file":
            options = (f"rtsp://{where}", "--user", "viewer", "--password-file", secret)
        status, told, complaints = _run(mqtt_broker, "camera", *options)
    assert status == 2
    assert told == ""
    lines = [line for line in complaints.splitlines() if line]  # the progress bar leaves an empty one
    assert f"dewpoint: rtsp://{where}: it asks for a user and a password, or refuses these (401)" in lines[-1]
    assert "5ecret" not in complaints
    assert ("others on this machine can read" in complaints) == (form == "url")
    assert len(lines) == (2 if form == "url" else 1)


def test_a_password_file_that_is_not_there_is_told(mqtt_broker):
    status, _, complaints = _run(mqtt_broker, "camera", "rtsp://camera/", "--user", "a", "--password-file", "nothing")
    assert status == 2
    assert "nothing" in complaints


def test_standard_input_is_sent_line_by_line_as_it_comes(mqtt_broker, received, wait_for):
    process = _start(mqtt_broker, "csv", "-", "--header", "t,x", "--device", "press-4", stdin=subprocess.PIPE)
    for number in (1, 2, 3):
        process.stdin.write(f"{number},{number / 2}\n")
        process.stdin.flush()
        wait_for(lambda number=number: len(received) == number or process.poll() is not None, "the row")
    told, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    assert json.loads(told)["rows_sent"] == 3
    assert json.loads(received[-1].payload) == {"t": 3.0, "values": [1.5]}


def test_a_table_is_sent_in_the_order_of_the_networks_channels_by_their_names(
    mqtt_broker, received, wait_for, tmp_path
):
    names = bundles.load(bundles.resolve("har")).manifest.input.channels
    table = tmp_path / "rows.csv"
    header = ["time", "spare", *reversed(names)]
    table.write_text(f"{','.join(header)}\n5,99,{','.join(str(place) for place in reversed(range(len(names))))}\n")
    status, _, complaints = _run(mqtt_broker, "csv", table, "--bundle", "har")
    assert status == 0, complaints
    wait_for(lambda: received, "the row")
    assert decode_readings(received[0].payload, channels=len(names), rate_hz=50, rows_max=1).rows.tolist() == [
        list(range(len(names)))
    ]


def test_pictures_that_come_are_sent_when_they_are_complete_and_again_when_they_have_changed(
    mqtt_broker, received, wait_for, tmp_path
):
    first, second, third, fourth = (jpeg(picture) for picture in pictures(4))
    (tmp_path / "there.jpg").write_bytes(first)
    process = _start(mqtt_broker, "folder", tmp_path, "--settle-s", "0.3")
    wait_for(lambda: len(received) == 1 or process.poll() is not None, "the picture that is there")

    with (tmp_path / "a.jpg").open("wb") as file:  # as a slow camera writes it
        for at in range(0, len(second), len(second) // 8):
            file.write(second[at : at + len(second) // 8])
            file.flush()
            time.sleep(0.1)
            assert len(received) == 1
    wait_for(lambda: len(received) == 2, "the picture that was written slowly")

    (tmp_path / "a.jpg").touch()  # changed by its time alone
    (tmp_path / "b.jpg.part").write_bytes(third)
    (tmp_path / "b.jpg.part").rename(tmp_path / "b.jpg")
    wait_for(lambda: len(received) == 3, "the picture that was renamed")

    (tmp_path / "there.jpg").write_bytes(fourth)
    wait_for(lambda: len(received) == 4, "the picture that has changed")

    process.send_signal(signal.SIGINT)
    told, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    assert [Sample.decode(delivery.payload).data for delivery in received] == [first, second, third, fourth]
    figures = json.loads(told)
    assert (figures["files_sent"], figures["files_unchanged"]) == (4, 1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("camera", "nothing.mp4"), "no such file"),
        (("camera", "."), "dewpoint stream folder"),
        (("camera", "0", "--still-s", "5"), "--still-s is for frames that --motion holds back"),
        (("camera", "0", "--region", "1,2"), "--region '1,2'"),
        (("camera", "0", "--size", "5"), "--size '5'"),
        (("camera", "0", "--encoding", "gif"), "unknown encoding 'gif'"),
        (("camera", "0", "--device", ""), "--device ''"),
        (("folder", "nothing"), "no such folder"),
        (("csv", "nothing.csv"), "nothing.csv"),
        (("csv", "nothing.csv", "--fast", "--rate", "5"), "--fast and --rate exclude each other"),
        (("csv", "-", "--columns", "x,,y"), "--columns 'x,,y'"),
        (("csv", "-", "--columns", "x", "--bundle", "har"), "--columns and --bundle exclude each other"),
        (("csv", "-", "--bundle", "digits"), "--bundle digits names no channels of readings"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_status_2(arguments, reason):
    ended = CliRunner().invoke(app, ["stream", *arguments])
    assert ended.exit_code == 2
    assert reason in " ".join(ended.output.split())

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sources.camera.address import find_address
from services.sources.errors import SourceError


@pytest.mark.parametrize(
    ("source", "kind", "opened"),
    [
        ("0", "device", "/dev/video0"),
        ("/dev/video2", "device", "/dev/video2"),
        ("rtsp://camera/stream", "url", "rtsp://camera/stream"),
        ("http://[::1]:8080/video?fps=5", "url", "http://[::1]:8080/video?fps=5"),
    ],
)
def test_a_url_and_a_device_are_told_apart(source, kind, opened):
    address = find_address(source)
    assert (address.kind, address.opened) == (kind, opened)


def test_a_file_is_no_protocol_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:video.mp4").write_text("")
    address = find_address("http:video.mp4")
    assert (address.kind, address.opened) == ("file", f"file:{tmp_path}/http:video.mp4")


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_password_is_what_is_opened_and_never_what_is_shown(user, password):
    from urllib.parse import unquote, urlsplit

    address = find_address("rtsp://camera.example:554/stream", user=user, password=password)
    parts = urlsplit(address.opened)
    assert (unquote(parts.username), unquote(parts.password)) == (user, password)
    assert (parts.hostname, parts.port, parts.path) == ("camera.example", 554, "/stream")
    assert address.shown == "rtsp://camera.example:554/stream"
    assert not address.password_given
    assert parts.password not in repr(address) or parts.password in "Address(kind='url', shown='rtsp://camera.example:554/stream', password_given=False)"  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    "url",
    ["rtsp://viewer:5ecret@camera/stream", "http://camera/video?user=viewer&pwd=5ecret", "http://c/v?token=5ecret"],
)
def test_a_password_in_the_url_is_known_for_one_and_not_shown(url):
    address = find_address(url)
    assert address.password_given
    assert address.opened == url
    assert "5ecret" not in address.shown + repr(address)


def test_the_user_may_stand_in_the_url_and_the_password_in_a_file():
    assert find_address("rtsp://viewer@camera/s", password="a/b").opened == "rtsp://viewer:a%2Fb@camera/s"


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("nothing.mp4", {}, "no such file"),
        (".", {}, "dewpoint stream folder"),
        ("ftp://camera/stream", {}, "rtsp://HOST"),
        ("rtsp://viewer:5ecret@/stream", {}, "rtsp://HOST"),
        ("rtsp://viewer:5ecret@camera:99999/stream", {}, "rtsp://HOST:PORT/PATH"),
        ("rtsp://viewer:5ecret@camera:x/stream", {}, "rtsp://HOST:PORT/PATH"),
        ("rtsp://camera/stream", {"password": "5ecret"}, "--user"),
        ("/dev/video0", {"user": "viewer"}, "URL of a camera"),
    ],
)
def test_what_is_no_camera_is_refused_without_telling_the_password(source, options, reason):
    with pytest.raises(SourceError, match=reason) as told:
        find_address(source, **options)
    assert "5ecret" not in str(told.value)

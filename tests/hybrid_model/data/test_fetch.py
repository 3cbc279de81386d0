from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hybrid_model import data
from hybrid_model.data import fetch

CONTENT = b"published once, read often" * 1000


class _Publisher(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/breaks-off" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Publisher)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _archive(url, *, md5=None, bytes_max=10**6):
    return fetch.Archive(url=url, file_name="archive.bin", md5=md5, bytes_max=bytes_max)


def _download(archive):
    return fetch.download(archive, data_name="thing", progress=False)


def test_a_file_is_fetched_into_the_cache_and_its_checksum_checked(publisher, empty_home):
    path = _download(_archive(f"{publisher}/file", md5=hashlib.md5(CONTENT).hexdigest()))
    assert path == fetch.cache_folder() / "archive.bin"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "settings", "error", "reason"),
    [
        ("file", {"md5": "0" * 32}, data.DataDamagedError, "its MD5 is"),
        ("file", {"bytes_max": 1000}, data.DataMissingError, "larger than 1000 bytes"),
        ("breaks-off", {}, data.DataMissingError, "connection ended after 100 of"),
    ],
)
def test_nothing_is_left_in_the_cache_by_a_fetch_that_failed(publisher, empty_home, path, settings, error, reason):
    with pytest.raises(error, match=reason):
        _download(_archive(f"{publisher}/{path}", **settings))
    assert list(fetch.cache_folder().iterdir()) == []


def test_a_publisher_out_of_reach_is_an_error_that_names_the_folder_for_the_file(empty_home):
    with pytest.raises(data.DataMissingError, match=r"put it into .*\.cache/dewpoint"):
        _download(_archive("http://127.0.0.1:1/file"))

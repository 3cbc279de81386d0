"""Asking by HTTP: whatever listens at an address, what comes of it is an answer or an AskError."""

from __future__ import annotations

import json

import pytest

from services.common.http_asker import AnswerUnreadableError, AskError, RefusedError, ask, ask_for_object
from services.servers import free_port
from tests.services.common.raw_server import NO_HTTP, RawServer

BYTES_MAX = 1000
OK = b"HTTP/1.1 200 OK\r\n"


def asked(server: RawServer, *, timeout_s: float = 30.0) -> bytes:
    return ask(server.url, timeout_s=timeout_s, bytes_max=BYTES_MAX)


@pytest.mark.parametrize("reply", NO_HTTP.values(), ids=list(NO_HTTP))
def test_what_is_no_whole_http_answer_is_an_error_in_a_phrase(reply: bytes) -> None:
    with RawServer(reply) as server, pytest.raises(AskError) as caught:
        asked(server)
    assert 0 < len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        OK + b'Content-Length: 8\r\n\r\n{"a": 1}',
        OK + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n',
        b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}',
    ],
    ids=["length", "chunked", "until closed"],
)
def test_an_answer_is_taken_whole_however_it_is_framed(reply: bytes) -> None:
    with RawServer(reply) as server:
        assert json.loads(asked(server)) == {"a": 1}
        assert ask_for_object(server.url, timeout_s=30.0, bytes_max=BYTES_MAX) == {"a": 1}


def test_a_connection_that_stays_open_after_the_whole_answer_is_not_waited_for() -> None:
    with RawServer(OK + b"Content-Length: 2\r\n\r\n{}", then="wait") as server:
        assert asked(server) == b"{}"


@pytest.mark.parametrize("reply", [b"", OK + b"Content-Length: 100\r\n\r\n{"], ids=["none", "part"])
def test_who_does_not_answer_in_time_is_given_up(reply: bytes) -> None:
    with RawServer(reply, then="wait") as server, pytest.raises(AskError, match=r"within 0\.2 s"):
        asked(server, timeout_s=0.2)


def test_who_sends_a_byte_now_and_then_is_given_up() -> None:
    head = OK + b"Content-Length: 900\r\n\r\n"
    with RawServer(head, then="drip") as server, pytest.raises(AskError, match=r"within 0\.5 s"):
        asked(server, timeout_s=0.5)


@pytest.mark.parametrize("length", [b"Content-Length: 1001\r\n", b"Content-Length: 99999999999999999999\r\n", b""])
def test_more_than_is_allowed_is_not_taken(length: bytes) -> None:
    reply = OK + length + b"\r\n" + bytes(BYTES_MAX + 1)
    with RawServer(reply) as server, pytest.raises(AskError, match="more than 1000 bytes"):
        asked(server)


def test_a_redirect_is_not_followed_but_told() -> None:
    with RawServer(OK + b"Content-Length: 2\r\n\r\n{}") as elsewhere:
        reply = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with RawServer(reply) as server, pytest.raises(RefusedError, match=f"302 Found, to {elsewhere.url}") as caught:
            asked(server)
        assert caught.value.status == 302
        assert not elsewhere.requests


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": "not kept"}', {"error": "not kept"}),
        (b"<html>", {}),
        (b"[1]", {}),
        (b"\xff\xfe", {}),
        (b"[" * 900, {}),
    ],
    ids=["object", "html", "list", "no text", "deep"],
)
def test_a_refusal_brings_its_status_and_what_it_tells(body: bytes, told: dict[str, str]) -> None:
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
    with RawServer(reply + body) as server, pytest.raises(RefusedError, match="HTTP 404 Not Found") as caught:
        asked(server)
    assert (caught.value.status, caught.value.told) == (404, told)


def test_a_refusal_whose_body_breaks_off_is_a_refusal() -> None:
    reply = b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\n{"
    with RawServer(reply) as server, pytest.raises(RefusedError) as caught:
        asked(server)
    assert (caught.value.status, caught.value.told) == (500, {})


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"\xff", b"NaN"])
def test_what_is_no_json_object_cannot_be_read(body: bytes) -> None:
    with RawServer(OK + b"\r\n" + body) as server, pytest.raises(AnswerUnreadableError):
        ask_for_object(server.url, timeout_s=30.0, bytes_max=BYTES_MAX)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "x", "http://", "http://[", "http://127.0.0.1:no/", "http://a b/"]
)
def test_what_is_no_address_is_an_error_in_a_phrase(url: str) -> None:
    with pytest.raises(AskError):
        ask(url, timeout_s=1.0, bytes_max=BYTES_MAX)


def test_where_nobody_listens_the_reason_is_told() -> None:
    with pytest.raises(AskError, match="refused"):
        ask(f"http://127.0.0.1:{free_port()}/", timeout_s=30.0, bytes_max=BYTES_MAX)

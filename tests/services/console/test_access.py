"""Who comes in: everyone on loopback, elsewhere who has the token, and no other site's pages."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from services.console.web.access import Access, is_loopback, required_token
from services.console.web.serving import bound_socket
from services.servers import free_port
from services.settings import ConsoleSettings, SettingsError

TOKEN = "correct horse battery staple"
SOCKET = "/_nicegui_ws/socket.io/"


async def page(scope, receive, send):
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.close()
    else:
        await PlainTextResponse("the page")(scope, receive, send)


@dataclass
class Answer:
    status: int
    text: str
    headers: dict[str, str]


@dataclass
class Browser:
    """Asks one server, under a name for it, and keeps its cookie."""

    port: int
    host: str = "somewhere"
    cookie: str | None = field(default=None, repr=False)

    def ask(self, path, *, method="GET", form=None, **headers):
        sent = {"Host": self.host, **headers}
        if self.cookie is not None:
            sent.setdefault("Cookie", self.cookie)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=None if form is None else urlencode(form), headers=sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, "" if response.status == 101 else response.read().decode(), found)
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def log_in(self, token=TOKEN):
        return self.ask("/login", method="POST", form={"token": token})

    def socket(self, **headers):
        """The status with which a socket is opened: 101 where it is."""
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        return self.ask(SOCKET, **upgrade, **headers).status


def _serve(token):
    """A server in front of `page`, and how to end it."""
    port = free_port()
    config = uvicorn.Config(Access(page, token), port=port, log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def stop():
        server.should_exit = True
        thread.join()

    return port, server, stop


@pytest.fixture
def client(wait_for):
    """`client(token=..., host=...)`: a browser before a server of its own."""
    stops = []

    def start(token=TOKEN, host="somewhere"):
        port, server, stop = _serve(token)
        stops.append(stop)
        wait_for(lambda: server.started, "the server")
        return Browser(port, host)

    yield start
    for stop in stops:
        stop()


def test_a_stranger_sees_the_form_alone(client):
    browser = client()
    for path in ("/", "/_nicegui/static/x.js", SOCKET):
        answer = browser.ask(path)
        assert answer.status == 401
        assert "the page" not in answer.text
        assert 'name="token"' in answer.text


def test_the_token_opens_by_form(client):
    browser = client()
    answer = browser.log_in()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert browser.ask("/").text == "the page"
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict"))


def test_the_token_opens_once_by_address_and_does_not_stay_in_it(client):
    browser = client()
    answer = browser.ask("/?" + urlencode({"token": TOKEN, "view": "x"}))
    assert (answer.status, answer.headers["location"]) == (303, "/?view=x")
    assert browser.ask("/").text == "the page"


def test_the_way_in_leads_nowhere_else(client):
    answer = client().ask("//elsewhere.example/?" + urlencode({"token": TOKEN}))
    assert answer.headers["location"].startswith("/elsewhere")


def test_another_token_does_not_open(client):
    browser = client()
    for wrong in ("", "x", TOKEN + "x", TOKEN[:-1]):
        assert browser.log_in(wrong).status == 401
    assert browser.ask("/?" + urlencode({"token": "\N{SNOWMAN}"})).status == 401
    assert browser.ask("/").status == 401


def test_a_cookie_of_ones_own_making_does_not_open(client):
    assert client().ask("/", Cookie=f"dewpoint_console={TOKEN}").status == 401


def test_after_ten_wrong_tokens_the_right_one_must_wait(client):
    browser = client()
    for _ in range(10):
        browser.log_in("wrong")
    assert browser.log_in().status == 429


def test_a_form_without_end_is_not_read(client):
    assert client().log_in("x" * 100_000).status == 401


def test_a_socket_needs_the_token_too(client):
    browser = client()
    assert browser.socket() == 403
    browser.log_in()
    assert browser.socket() == 101


@pytest.mark.parametrize(("token", "host"), [(TOKEN, "somewhere"), (None, "127.0.0.1:8080")])
def test_another_sites_page_reaches_nothing(client, token, host):
    browser = client(token, host)
    if token is not None:
        browser.log_in()
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9", "http://["):
        assert browser.ask("/", Origin=origin).status == 403
        assert browser.socket(Origin=origin) == 403
    assert browser.ask("/", Origin=f"http://{host}").text == "the page"


def test_without_a_token_only_loopbacks_names_are_served(client):
    browser = client(token=None)
    found = {}
    for browser.host in ("localhost:1", "[::1]:1", "127.0.0.1:80", "rebound.example:8080", "["):
        found[browser.host] = browser.ask("/").status
    assert found == {"localhost:1": 200, "[::1]:1": 200, "127.0.0.1:80": 200, "rebound.example:8080": 403, "[": 403}


def test_nothing_from_elsewhere_is_allowed_in_a_page(client):
    answer = client(token=None, host="127.0.0.1").ask("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "localhost.example", "", "127.0.0.1.example"])
def test_not_loopback(host):
    assert not is_loopback(host)


def _token_file(folder, token):
    path = folder / "token"
    path.write_text(token)
    path.chmod(0o600)
    return path


def test_on_loopback_no_token_is_needed():
    assert required_token(ConsoleSettings()) is None


def test_a_token_that_is_named_is_asked_for_on_loopback_too(tmp_path):
    assert required_token(ConsoleSettings(token_file=_token_file(tmp_path, TOKEN + "\n"))) == TOKEN


def test_elsewhere_a_token_is_needed():
    with pytest.raises(SettingsError, match=r"token_file.*or listen on 127\.0\.0\.1"):
        required_token(ConsoleSettings(host="0.0.0.0"))


def test_a_short_token_is_refused_and_not_told(tmp_path):
    with pytest.raises(SettingsError, match="16 characters") as caught:
        required_token(ConsoleSettings(token_file=_token_file(tmp_path, "swordfish")))
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "console.token_file"),
        (["--worker", "file:///etc/passwd"], "no address of metrics"),
    ],
)
def test_the_process_refuses_in_one_line(arguments, told):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEWPOINT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", "console", "--port", str(free_port()), *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told(host):
    with (
        pytest.raises(SettingsError, match=r"console at .*: set console\.host"),
        bound_socket(ConsoleSettings(host=host)),
    ):
        pass


def test_an_address_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=r"set console\.port"), bound_socket(ConsoleSettings(port=port)):
            pass

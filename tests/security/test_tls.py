"""TLS to the real servers, with and without client certificates: what is let in, and what each refusal says."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from services.feature_stream import StreamUnavailableError
from services.feature_stream.link import RedisLink
from services.mqtt import MqttError, MqttLink
from services.security import tls
from services.settings import MqttSettings, RedisSettings, SettingsError, TlsSettings
from tests.security.certificates import HOST, Authority, Pair
from tests.security.servers import Door, Mosquitto, Redis, tls_lines

NAME_OF_ANOTHER = "broker.example"


class Site(Protocol):
    """One of the two servers, and our connection to it."""

    section: str

    def open(self, door: Door | None) -> int:
        """Start the server; its port."""

    def connect(self, port: int, tls: dict[str, Any] | None, timeout_s: float = 20) -> str | None:
        """None where we are let in, else what we are told."""


class MqttSite:
    section = "mqtt"

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder, self._opened = folder, opened

    def open(self, door: Door | None) -> int:
        lines = ["listener {port} {host}"] if door is None else tls_lines(door)
        return self._opened.enter_context(Mosquitto(self._folder, [*lines, "allow_anonymous true"], door)).port

    def connect(self, port: int, tls: dict[str, Any] | None, timeout_s: float = 20) -> str | None:
        settings = MqttSettings(host=HOST, port=port, tls=tls or {}, connect_timeout_s=timeout_s, backoff_min_s=0.1)
        link = MqttLink(settings, client_id="us", persistent=False)
        try:
            link.start()
        except MqttError as error:
            return str(error)
        link.stop()
        return None


class RedisSite:
    section = "redis"

    def __init__(self, folder: Path, opened: ExitStack, executable: Path) -> None:
        self._folder, self._opened, self._executable = folder, opened, executable

    def open(self, door: Door | None) -> int:
        return self._opened.enter_context(Redis(self._folder, executable=self._executable, door=door)).port

    def connect(self, port: int, tls: dict[str, Any] | None, timeout_s: float = 20) -> str | None:
        link = RedisLink(RedisSettings(host=HOST, port=port, tls=tls or {}, timeout_s=timeout_s))
        try:
            link.ping()
        except StreamUnavailableError as error:
            return str(error)
        finally:
            link.close()
        return None


@pytest.fixture(params=["mqtt", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as opened:
        if request.param == "mqtt":
            request.getfixturevalue("mosquitto")
            yield MqttSite(tmp_path / "server", opened)
        else:
            yield RedisSite(tmp_path / "server", opened, request.getfixturevalue("system_redis"))


@pytest.fixture
def trusting(authority: Authority) -> dict[str, Any]:
    """Settings that trust our CA, without a certificate of our own."""
    return {"enabled": True, "ca_file": authority.ca_file}


def showing(trusting: dict[str, Any], pair: Pair) -> dict[str, Any]:
    return {**trusting, "cert_file": pair.cert, "key_file": pair.key}


def test_a_server_whose_certificate_is_good_is_spoken_to(site, authority, for_host, trusting):
    assert site.connect(site.open(Door(authority, for_host)), trusting) is None


def test_who_shows_a_good_client_certificate_is_let_in(site, authority, for_host, trusting):
    port = site.open(Door(authority, for_host, mutual=True))
    assert site.connect(port, showing(trusting, authority.sign("edge-1"))) is None


def test_who_shows_none_where_one_is_asked_for_is_told_so(site, authority, for_host, trusting):
    told = site.connect(site.open(Door(authority, for_host, mutual=True)), trusting)
    assert f"name ours in {site.section}.tls.cert_file and key_file" in told


@pytest.mark.parametrize(
    "lost", [ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), ConnectionResetError(104, "reset")]
)
def test_a_connection_that_ends_after_the_handshake_is_not_taken_for_a_port_without_tls(trusting, lost):
    """With TLS 1.3 the alert that asks for a certificate comes after the handshake, and may be lost on the way."""
    told = tls.explain(lost, TlsSettings(**trusting), section="redis", host=HOST)
    assert "if it asks for a client certificate, name ours in redis.tls.cert_file and key_file" in told


def test_a_client_certificate_of_another_ca_is_refused(site, authority, stranger, for_host, trusting):
    port = site.open(Door(authority, for_host, mutual=True))
    told = site.connect(port, showing(trusting, stranger.sign("edge-1")))
    assert told is not None
    assert HOST in told


def test_an_expired_client_certificate_is_refused(site, authority, for_host, trusting):
    port = site.open(Door(authority, for_host, mutual=True))
    told = site.connect(port, showing(trusting, authority.sign("edge-1", expired=True)))
    assert told is not None
    assert HOST in told


def test_a_servers_expired_certificate_is_refused(site, authority, trusting):
    told = site.connect(site.open(Door(authority, authority.sign(HOST, expired=True))), trusting)
    assert "the server's certificate has expired: renew it" in told


def test_a_server_with_a_certificate_of_another_ca_is_refused(site, stranger, trusting, authority):
    told = site.connect(site.open(Door(stranger, stranger.sign(HOST))), trusting)
    assert f"not vouched for by {authority.ca_file}: name its CA in {site.section}.tls.ca_file" in told


def test_what_the_settings_trust_is_all_that_is_trusted(site, authority, stranger, trusting, for_host, monkeypatch):
    """A CA of the system does not vouch for the server where the settings name their own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.ca_file))
    port = site.open(Door(stranger, stranger.sign(HOST)))
    assert site.connect(port, {"enabled": True}) is None
    assert "not vouched for" in site.connect(port, trusting)


def test_a_certificate_for_another_name_is_refused(site, authority, trusting):
    told = site.connect(site.open(Door(authority, authority.sign(NAME_OF_ANOTHER))), trusting)
    assert f"the server's certificate is not for {HOST}: set {site.section}.host" in told


def test_a_port_without_tls_is_told_from_one_with_it(site, trusting):
    told = site.connect(site.open(None), trusting, timeout_s=2)  # Redis waits for the end of a line
    assert f"{site.section}.port" in told
    assert "TLS" in told


def test_a_port_with_tls_is_told_from_one_without(site, authority, for_host):
    told = site.connect(site.open(Door(authority, for_host)), None)
    assert f"set {site.section}.tls.enabled" in told


def test_a_server_that_speaks_only_old_tls_is_refused(site, authority, for_host, trusting):
    with old_server(for_host) as port:
        told = site.connect(port, trusting)
    assert told is not None
    assert "TLS" in told or "handshake" in told


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda good: {"ca_file": good["ca_file"].with_name("none.pem")}, r"tls\.ca_file .*none\.pem: No such file"),
        (lambda good: {"cert_file": good["key_file"]}, r"PEM, without passphrase"),
        (lambda good: {"ca_file": good["key_file"]}, r"tls\.ca_file .*needs PEM"),
        (lambda good: {"cert_file": None}, r"key_file is set without cert_file"),
    ],
)
def test_a_wrong_file_is_told_before_anything_is_sent(site, authority, trusting, spoil, told):
    good = showing(trusting, authority.sign("edge-1"))
    with pytest.raises(SettingsError, match=told) as caught:
        site.connect(1, {**good, **spoil(good)})
    assert str(caught.value).startswith(f"{site.section}.tls")


def test_a_key_of_another_certificate_is_told(site, authority, trusting):
    one, other = authority.sign("edge-1"), authority.sign("edge-2")
    with pytest.raises(SettingsError, match="do not belong together"):
        site.connect(1, showing(trusting, Pair(one.cert, other.key)))


def test_a_key_with_a_passphrase_asks_nobody(site, authority, trusting, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: sudo apt-get install openssl")
    import subprocess

    pair, locked = authority.sign("edge-1"), tmp_path / "locked.key"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(pair.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(SettingsError, match="without passphrase"):
        site.connect(1, showing(trusting, Pair(pair.cert, locked)))


class old_server:  # noqa: N801 - reads as a sentence
    """Something that speaks TLS 1.1 at most, as far as this OpenSSL can: it shakes hands and does no more."""

    def __init__(self, pair: Pair) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.cert, pair.key)
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        with _quiet():
            self._context.minimum_version = ssl.TLSVersion.TLSv1_1
            self._context.maximum_version = ssl.TLSVersion.TLSv1_1
        self._listener = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue


def _quiet() -> Any:
    import warnings

    caught = warnings.catch_warnings()
    stack = ExitStack()
    stack.enter_context(caught)
    warnings.simplefilter("ignore", DeprecationWarning)
    return stack

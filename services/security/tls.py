"""TLS for both connections: the context that our files make, and what to do where a handshake fails."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path
from typing import Final

from services.security.secret_files import warn_if_open
from services.settings import SettingsError, TlsSettings

__all__ = ["CERTIFICATE_ASKED_FOR", "NOT_TLS", "explain", "make_context"]

NOT_TLS: Final = "if the port speaks TLS, set {section}.tls.enabled"
CERTIFICATE_ASKED_FOR: Final = "if it asks for a client certificate, name ours in {section}.tls.cert_file and key_file"

_EXPIRED, _NOT_YET = 10, 9
_UNKNOWN_CA: Final = (2, 18, 19, 20, 21)
_WRONG_NAME: Final = (62, 64)
_ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "the server asks for a client certificate: name ours in"
    " {section}.tls.cert_file and key_file",
    "CERTIFICATE_EXPIRED": "the server refuses our certificate, which has expired: renew {section}.tls.cert_file",
    "CERTIFICATE_REVOKED": "the server refuses our certificate, which is revoked: renew {section}.tls.cert_file",
    "UNKNOWN_CA": "the server does not know the CA of our certificate: have"
    " {section}.tls.cert_file signed by one it knows",
    "BAD_CERTIFICATE": "the server refuses our certificate: check {section}.tls.cert_file",
    "HANDSHAKE_FAILURE": f"the server ended the handshake: {CERTIFICATE_ASKED_FOR}",
    "PROTOCOL_VERSION": "the server speaks no TLS that is safe: it needs 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "the server speaks no TLS that is safe: it needs 1.2 or newer",
}
# With TLS 1.3 a client without the certificate that is asked for learns it after its own handshake; where it has
# already written, the alert that says so may be lost.
_DROPPED: Final = (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH")


def make_context(settings: TlsSettings, *, section: str) -> ssl.SSLContext:
    """A context for a client: TLS 1.2 or newer, the server's certificate and its name checked.

    Only `ca_file` vouches for the server where it is set, else what the system trusts. `section` names the settings in
    errors. Raises SettingsError for files that cannot be read or do not fit together.
    """
    _readable(settings, section)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{section}.tls.ca_file {settings.ca_file}: {_reason(error)}: needs PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        try:
            # A key with a passphrase would be asked for at the terminal, which a worker does not have.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = " and ".join(str(path) for path in (settings.cert_file, settings.key_file) if path is not None)
            told = "they do not belong together" if _is(error, "KEY_VALUES_MISMATCH") else _reason(error)
            remedy = "name a certificate and its own private key, PEM, without passphrase"
            raise SettingsError(f"{section}.tls: {files}: {told}: {remedy}") from None
    return context


def explain(error: BaseException, settings: TlsSettings, *, section: str, host: str) -> str | None:
    """Why there is no encrypted connection, and what to do; None where TLS is not the cause.

    Looks at `error` and at what led to it. `section` is `mqtt` or `redis`.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return _unverified(found, section, host, settings.ca_file)
        if isinstance(found, TimeoutError) and "handshake" in str(found):
            return f"no answer to TLS: if this port is the plain one, name the encrypted one in {section}.port"
        if isinstance(found, _DROPPED) and not _shaking_hands(found):
            ended = f"the server ended the connection: {CERTIFICATE_ASKED_FOR}"
            return None if settings.cert_file else ended.format(section=section)
        if isinstance(found, ssl.SSLEOFError) or (isinstance(found, ssl.SSLError) and _is(found, *_PLAIN)):
            return f"no TLS at this port: name the encrypted port in {section}.port, or unset {section}.tls.enabled"
        if isinstance(found, ssl.SSLError):
            for alert, told in _ALERTS.items():
                if _is(found, alert):
                    return told.format(section=section)
            return f"TLS failed: {_reason(found)}"
        found = found.__cause__ or found.__context__
    return None


def _unverified(error: ssl.SSLCertVerificationError, section: str, host: str, ca_file: Path | None) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "the server's certificate has expired: renew it there (or set this machine's clock)"
    if code == _NOT_YET:
        return "the server's certificate is not valid yet: set this machine's clock"
    if code in _WRONG_NAME:
        return (
            f"the server's certificate is not for {host}: set {section}.host to a name that it holds,"
            " or give the server one for this name"
        )
    if code in _UNKNOWN_CA:
        trusted = "the system's certificates" if ca_file is None else str(ca_file)
        return (
            f"the server's certificate is not vouched for by {trusted}: name its CA in {section}.tls.ca_file"
            f" ({error.verify_message})"
        )
    return f"the server's certificate is refused: {error.verify_message}"


def _readable(settings: TlsSettings, section: str) -> None:
    if settings.key_file is not None and settings.cert_file is None:
        raise SettingsError(f"{section}.tls.key_file is set without cert_file: name the certificate too")
    for setting in ("ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(settings, setting)
        if path is not None:
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                raise SettingsError(f"{section}.tls.{setting} {path}: {error.strerror}") from None
    if settings.key_file is not None:
        warn_if_open(settings.key_file)


def _shaking_hands(error: BaseException) -> bool:
    """Whether `error` was raised in the handshake."""
    return any(frame.f_code.co_name == "do_handshake" for frame, _ in traceback.walk_tb(error.__traceback__))


def _is(error: BaseException, *reasons: str) -> bool:
    said = f"{getattr(error, 'reason', None) or ''} {error}"
    return any(reason in said for reason in reasons)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)

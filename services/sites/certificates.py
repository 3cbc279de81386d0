"""A certificate authority of the site's own and the broker's certificate, made by openssl."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from hybrid_model.errors import DewpointError

__all__ = ["CertificateError", "make_certificates"]

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_TIMEOUT_S: Final = 60.0
_AUTHORITY_DAYS, _SERVER_DAYS = 3650, 825
_HOST_CHARS: Final = 64


class CertificateError(DewpointError):
    """openssl failed; the message holds what it said."""


def make_certificates(openssl: Path, folder: Path, host: str) -> None:
    """Writes `ca.pem` and `ca.key`, `mosquitto.pem` and `mosquitto.key` to `folder`, for this host and the loopback.

    Raises CertificateError.
    """
    named = f"DNS:{host},DNS:localhost,IP:127.0.0.1"
    _run(openssl, folder, "-subj", "/CN=Dewpoint CA", "-days", str(_AUTHORITY_DAYS),
         "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    _run(openssl, folder, "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={host[:_HOST_CHARS]}",
         "-days", str(_SERVER_DAYS), "-addext", f"subjectAltName={named}",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", "mosquitto.key", "-out", "mosquitto.pem")  # fmt: skip


def _run(openssl: Path, folder: Path, *arguments: str) -> None:
    try:
        ended = subprocess.run(
            [openssl, "req", "-x509", *_KEY, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            umask=0o077,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CertificateError(f"{openssl}: {error}") from None
    if ended.returncode:
        told = ended.stderr.strip().splitlines()
        raise CertificateError(f"{openssl} req failed: {told[-1] if told else ended.returncode}; openssl 3 is needed")

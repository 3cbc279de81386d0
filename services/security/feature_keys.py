"""Encryption of features on their way through Redis: AES-256-GCM, bound to the sample that they belong to.

A key file holds 64 hexadecimal digits a line; blank lines and lines that begin with # are passed over. The first key
encrypts, all of them decrypt. A key's id follows from the key, so that one id never stands for two keys.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hybrid_model.errors import DewpointError
from services.common.logs import get_logger
from services.messages import Escalation, MessageError
from services.security.secret_files import read_secret
from services.settings import SettingsError

__all__ = ["OVERHEAD_BYTES", "FeatureKeys", "KeyUnknownError"]

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
#: What an encrypted escalation is longer than a plain one: nonce, tag, and the key's id as a field.
OVERHEAD_BYTES: Final = NONCE_BYTES + TAG_BYTES + len(b"\xa3key") + 1 + 8
_KEYS_MAX: Final = 1024
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_LOOK_S: Final = 1.0


class KeyUnknownError(DewpointError):
    """Features are encrypted under a key that is not in the file."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"features are encrypted under the key {key_id[:64]!r}, which is not in the key file")
        self.key_id = key_id


class FeatureKeys:
    """The keys of one file. Several threads may use it.

    Args:
        path: The key file.
        setting: Which setting names it, for errors.

    Raises:
        SettingsError: the file cannot be read or holds something else, or the package `cryptography` is missing.
    """

    def __init__(self, path: Path, *, setting: str) -> None:
        self._path, self._setting = path, setting
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._stamp = _stamp(path)
        self._ciphers = _ciphers(path, setting)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, 8 hexadecimal digits each; the first is the one that encrypts."""
        return tuple(self._ciphers)

    def encrypt(self, escalation: Escalation) -> Escalation:
        """The escalation with its features encrypted under the first key."""
        nonce, (key_id, cipher) = os.urandom(NONCE_BYTES), next(iter(self._ciphers.items()))
        sealed: bytes = cipher.encrypt(nonce, escalation.features, _bound_to(escalation))
        return replace(escalation, features=nonce + sealed, key=key_id)

    def decrypt(self, escalation: Escalation) -> Escalation:
        """The escalation with its features as they were; as it is, where they are plain.

        A key that is not known is looked for in the file again, once a second. Raises KeyUnknownError, or MessageError
        (bad_encryption) for features that were altered or belong to another sample.
        """
        if escalation.key is None:
            return escalation
        if escalation.key not in self._ciphers:
            self._look_again()
        cipher = self._ciphers.get(escalation.key)
        if cipher is None:
            raise KeyUnknownError(escalation.key)
        from cryptography.exceptions import InvalidTag

        nonce, sealed = escalation.features[:NONCE_BYTES], escalation.features[NONCE_BYTES:]
        if len(nonce) < NONCE_BYTES or len(sealed) < TAG_BYTES:
            raise MessageError("bad_encryption", f"{len(escalation.features)} bytes: shorter than nonce and tag")
        try:
            features: bytes = cipher.decrypt(nonce, sealed, _bound_to(escalation))
        except InvalidTag:
            detail = f"altered, or of another sample (key {escalation.key})"
            raise MessageError("bad_encryption", detail) from None
        return replace(escalation, features=features, key=None)

    def _look_again(self) -> None:
        with self._lock:
            now, stamp = time.monotonic(), _stamp(self._path)
            if now < self._looked_at + _LOOK_S or stamp == self._stamp:
                return
            self._looked_at = now
            try:
                ciphers = _ciphers(self._path, self._setting)
            except SettingsError as error:  # perhaps it is being written
                get_logger("settings").warning("feature_keys_not_read_again", error=str(error))
                return
            self._stamp, self._ciphers = stamp, ciphers
        get_logger("settings").info("feature_keys_read_again", keys=list(ciphers))


def _ciphers(path: Path, setting: str) -> Mapping[str, Any]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise SettingsError(
            f'{setting}: the package cryptography is not installed: pip install "dewpoint[encryption]"'
        ) from None
    ciphers: dict[str, Any] = {}
    for number, line in enumerate(read_secret(path).splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if _KEY.fullmatch(text) is None:
            raise SettingsError(f"{setting}: {path}, line {number}: needs 64 hexadecimal digits (openssl rand -hex 32)")
        key = bytes.fromhex(text)
        ciphers[_id_of(key)] = AESGCM(key)
    if not ciphers:
        raise SettingsError(f"{setting}: {path} holds no key (openssl rand -hex 32)")
    if len(ciphers) > _KEYS_MAX:
        raise SettingsError(f"{setting}: {path} holds more than {_KEYS_MAX} keys")
    return ciphers


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"dewpoint features key" + key).hexdigest()[:8]


def _bound_to(escalation: Escalation) -> bytes:
    """What the features are bound to. The attempt is left out: whoever sends again need not hold the key."""
    names = [escalation.network_id, escalation.site, escalation.worker, escalation.device, escalation.id]
    if escalation.audit is not None:  # an escalation cannot be made an audit, nor an audit one of another weight
        names.append(f"audit {escalation.audit.exit} {float(escalation.audit.share)!r}")
    encoded = [name.encode() for name in names]
    return b"dewpoint features 1" + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)

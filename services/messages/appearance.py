"""What bytes look like that are not what an input takes, and which setting of an input would read them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

__all__ = ["appearance", "file_kind"]

#: First bytes of files, and what they are. Those of RIFF and of ISO media say more behind.
_MAGIC: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"%PDF", "PDF"),
)
_RIFF: Final = {b"WEBP": "WebP", b"AVI ": "AVI", b"WAVE": "WAV"}
_MEDIA: Final = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}
_PICTURES: Final = frozenset({"JPEG", "PNG", "WebP"})
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_\-\r\n]{16,}={0,2}\s*")
_ENVELOPE: Final = re.compile(rb"[\x80-\x8f]\xa1v\x01")
_HEAD_BYTES: Final = 512


def file_kind(data: bytes) -> str | None:
    """The kind of file that bytes begin like, such as "JPEG" or "GIF"; None where they are no file that is known."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _MEDIA.get(data[8:12], "MP4")
    return None


def appearance(payload: bytes) -> str:
    """What a payload looks like, and what reads it: a phrase of one line, such as `begins like a GIF: ...`."""
    if not payload:
        return "is empty"
    kind = file_kind(payload)
    if kind in _PICTURES:
        return f'begins like a {kind}: damaged, or for an input of kind = "image"'
    if kind is not None:
        return f"begins like a file of {kind}, which no setting reads: let the device send JPEG, PNG or WebP"
    return _text(payload[:_HEAD_BYTES]) or _binary(payload)


def _text(head: bytes) -> str | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "begins like text in UTF-16: let the device send UTF-8"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:5].lower() == b"data:":
        return 'begins like a data URL: encoding = "base64" reads it'
    if start[:1] in (b"{", b"["):
        return 'begins like JSON: `fields` says where things are in it, for inputs of kind "image" and "sensor"'
    if (start[:2] == b"--" and b"content-" in start.lower()) or start[:8].lower() == b"content-":
        return "begins like multipart, as of a form, which no setting reads: let the device send the file alone"
    if start[:1] == b"<":
        return "begins like HTML or XML, perhaps a device's page of an error: look what it sends"
    if _BASE64.fullmatch(start) is not None:
        kind = _base64_kind(start)
        if kind is not None:
            return f'begins like base64 of a file of {kind}: encoding = "base64" reads it'
    shown = start[:24].decode(errors="replace")
    if shown and shown.isprintable() and "�" not in shown:
        return f"begins like text, {shown!r}"
    return None


def _base64_kind(text: bytes) -> str | None:
    text = b"".join(text.split())[:64].replace(b"-", b"+").replace(b"_", b"/")
    try:
        return file_kind(base64.b64decode(text[: len(text) // 4 * 4]))
    except (binascii.Error, ValueError):
        return None


def _binary(payload: bytes) -> str:
    if _ENVELOPE.match(payload) is not None:
        return 'begins like our own envelope: kind = "sample" reads it'
    return f"begins with the bytes {payload[:8].hex(' ')}, which no file or text does that is known here"

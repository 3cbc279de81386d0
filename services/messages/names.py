"""Topics, devices in topics, and ids that follow from what they name."""

from __future__ import annotations

import hashlib
from typing import Literal
from urllib.parse import quote, unquote

from services.messages.fields import NAME_CHARS_MAX, MessageError


def input_topic(site: str, device: str) -> str:
    """Where a device of a site publishes by default."""
    return f"dewpoint/{site}/in/{level_of_device(device)}"


def label_topic(site: str, device: str) -> str:
    """Where a device's labels are published."""
    return f"dewpoint/{site}/label/{level_of_device(device)}"


def plain_topic(site: str, device: str, field: Literal["class", "confidence"]) -> str:
    """Where one field of a device's final labels is published as plain text."""
    return f"{label_topic(site, device)}/{field}"


def status_topic(site: str, worker: str) -> str:
    """Where a worker's retained status lies."""
    return f"dewpoint/{site}/status/{worker}"


def control_topic(site: str) -> str:
    """Where operators leave the retained set-point."""
    return f"dewpoint/{site}/control"


def network_control_topic(site: str, network: str) -> str:
    """Where operators leave the retained set-point of one network of the site: it goes before the site's."""
    return f"{control_topic(site)}/{level_of_device(network)}"


def level_of_device(device: str) -> str:
    """A device's name as one topic level: percent-encoded, so that no name can reach another level.

    Spaces and the wildcards of NATS (`*`, `>`) are encoded too: it closes the connection of who publishes to them.
    """
    return quote(device, safe=":@!$&'(),;=")


def device_of_level(level: str) -> str:
    """The device's name in a topic level, percent-decoded. Raises MessageError (bad_device)."""
    try:
        device = unquote(level, errors="strict") if "%" in level else level
    except UnicodeDecodeError as error:
        raise MessageError("bad_device", f"{level!r}: {error}") from None
    if not 0 < len(device) <= NAME_CHARS_MAX or not device.isprintable():
        raise MessageError("bad_device", repr(device[:NAME_CHARS_MAX]))
    return device


def window_stream(device: str, network_id: str | None) -> str:
    """What a device's readings for a network are called where they are kept apart; without one, the device's name.

    No name of a device holds the separator, which is not printable.
    """
    return device if network_id is None else f"{device}\x1f{network_id}"


def window_id(device: str, epoch: int, first_mark: int) -> str:
    """A window's id: 32 hex digits that follow from its device, epoch and the mark of its first reading.

    Of a network whose windows are kept apart, `device` is the `window_stream`.
    """
    return _digest("window", device.encode(), str(epoch).encode(), str(first_mark).encode())


def frame_id(device: str, captured_at: float) -> str:
    """A camera frame's id: 32 hex digits that follow from its device and its time to the microsecond."""
    return _digest("frame", device.encode(), str(round(captured_at * 1e6)).encode())


def file_id(device: str, name: str, at: float, content: bytes) -> str:
    """The id of a file's content: the end of its name, and 12 hex digits that follow from all of what is given.

    A label so names the file that it is of. `at`: when the file was changed, epoch seconds.
    """
    digest = _digest("file", device.encode(), name.encode(errors="surrogateescape"), repr(at).encode(), content)[:12]
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return f"{shown[-(NAME_CHARS_MAX - len(digest) - 1) :]}-{digest}"


def sample_id(topic: str, at: float, payload: bytes) -> str:
    """The id of a foreign payload that carries its own time `at` but no id: the same bytes get the same id."""
    return _digest("sample", topic.encode(), repr(at).encode(), payload)


def _digest(purpose: str, *parts: bytes) -> str:
    digest = hashlib.sha256(purpose.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]

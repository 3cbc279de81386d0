"""`dewpoint stream folder`: the picture files of a folder to a broker, and those that come."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from services.messages import file_id
from services.settings import Settings
from services.sources.delivery import Delivery, deliver
from services.sources.encodings import Encoding
from services.sources.errors import SourceError
from services.sources.folder.arrivals import Arrival, Arrivals
from services.sources.folder.picture import read
from services.sources.frames.packing import Packing, enveloped
from services.sources.frames.region import Region
from services.sources.frames.size import Size
from services.sources.replay import Captured, Outgoing

__all__ = ["FolderOptions", "run_folder"]

_LOOK_S: Final = 0.5
_BYTES_MAX: Final = 256 << 20


@dataclass(frozen=True)
class FolderOptions:
    """What is sent. `once`: end after what is there; `rate_hz`: pictures per second, unlimited if none.

    `encoding` none: JPEG, PNG and WebP files as they are, unless a region or size is asked for; others as PNG.
    `settle_s`: how long a file must lie still before it counts as completely written.
    """

    folder: Path
    device: str = "camera-1"
    once: bool = False
    rate_hz: float | None = None
    region: Region | None = None
    size: Size | None = None
    encoding: Encoding | None = None
    quality: int = 90
    raw: bool = False
    settle_s: float = 1.0


def run_folder(options: FolderOptions, settings: Settings, *, console: Console) -> dict[str, Any]:
    """Send until Ctrl-C, or with `once` until all that is there is sent; return what became of the files.

    Raises SourceError for a folder that cannot be read, MqttError, TracesError.
    """
    if not options.folder.is_dir():
        raise SourceError(f"{options.folder}: no such folder")
    files = _Files(options, payload_bytes_max=settings.limits.payload_bytes_max)
    title = f"{options.folder} as {options.device}"
    sent = deliver(files.messages, settings, title=title, console=console, rate_hz=options.rate_hz)
    return {"folder": str(options.folder), "device": options.device, **files.figures(), **asdict(sent)}


@dataclass
class _Files:
    """The files of one command, as messages; and the books of those that were refused."""

    options: FolderOptions
    payload_bytes_max: int
    sent: int = 0
    same: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    digests: dict[str, bytes] = field(default_factory=dict)

    def messages(self, delivery: Delivery[Captured]) -> Iterator[Outgoing[Captured]]:
        options = self.options
        arrivals = Arrivals(options.folder, settle_s=options.settle_s, monotonic=time.monotonic, wall=time.time)
        gone = False
        while True:
            try:
                arrived = arrivals.look()
                gone = False
            except OSError as error:
                if options.once:
                    raise SourceError(f"{options.folder}: {error.strerror}") from None
                if not gone:
                    delivery.say(f"{options.folder}: {error.strerror}; looking again every {_LOOK_S:g} s")
                arrived, gone = [], True
            for arrival in arrived:
                message = self._message(arrival, delivery)
                if message is not None:
                    self.sent += 1
                    yield message
            if options.once and not arrivals.unsettled:
                return
            time.sleep(_LOOK_S)

    def figures(self) -> dict[str, Any]:
        return {"files_sent": self.sent, "files_unchanged": self.same, "files_refused": dict(self.refused)}

    def _message(self, arrival: Arrival, delivery: Delivery[Captured]) -> Outgoing[Captured] | None:
        try:
            with arrival.path.open("rb") as file:
                content = file.read(_BYTES_MAX + 1)
            digest = hashlib.sha256(content).digest()
            if self.digests.get(arrival.name) == digest:
                self.same += 1  # touched or written again, with the same picture in it
                return None
            sample, payload = self._packed(arrival, content)
        except (SourceError, OSError) as error:
            self.refused["unreadable"] += 1
            delivery.say(f"{arrival.path}: {error.strerror if isinstance(error, OSError) else error}; left out")
            return None
        if len(payload) > self.payload_bytes_max:
            self.refused["too_large"] += 1
            delivery.say(
                f"{arrival.path}: {len(payload):,} bytes, limits.payload_bytes_max is {self.payload_bytes_max:,}:"
                " --size makes it smaller; left out"
            )
            return None
        self.digests[arrival.name] = digest
        return Outgoing(self.options.device, payload, completes=(sample,), share=1.0)

    def _packed(self, arrival: Arrival, content: bytes) -> tuple[Captured, bytes]:
        options = self.options
        if len(content) > _BYTES_MAX:
            raise SourceError(f"more than {_BYTES_MAX >> 20} MiB")
        picture = read(content)
        id = file_id(options.device, arrival.name, arrival.changed_at, content)
        sample = Captured(device=options.device, id=id, captured_at=arrival.changed_at)
        if picture.as_it_is and options.encoding is None and options.region is None and options.size is None:
            return sample, content if options.raw else enveloped(content, id=id, captured_at=sample.captured_at)
        encoding = options.encoding or "png"
        packing = Packing(options.region, options.size, encoding, options.quality, options.raw)
        part = packing.part(picture.pixels())
        return sample, packing.payload(part, id=id, captured_at=sample.captured_at)

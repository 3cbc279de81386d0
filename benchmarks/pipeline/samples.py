"""The samples that everybody gets: the same rows of a test split, the same bytes, the same hard ones."""

from __future__ import annotations

import functools
import math
import time
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.pipeline import packets
from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle
from hybrid_model.runtime import EdgeEngine
from services.messages import Sample, input_topic
from services.sources.encodings import Encoding, encode

Payload = Literal["array", "image"]

ROWS_MAX = 1000
ID_CHARS = 14
_DEVICES = 8
_MARK = "#" * ID_CHARS
_MODEL_BATCH = 32


@dataclass(frozen=True)
class Message:
    """One row as a PUBLISH with the places where a packet id and a sample's id go in."""

    start: bytes
    head: bytes
    tail: bytes

    def packet(self, packet_id: bytes, sample_id: bytes) -> bytes:
        """The packet; `packet_id` is empty at QoS 0."""
        return b"".join((self.start, packet_id, self.head, sample_id, self.tail))


class Samples:
    """The first rows of a data set's test split, and what its shipped bundle makes of them.

    Attributes:
        x: (N, H, W, C), as the bundle takes it.
        y: (N,) int64.
        scores: (N,) float32, of the last exit: what is at or above a threshold rises (the score is the entropy).
    """

    def __init__(self, net: str) -> None:
        self.bundle: Bundle = bundle_file.load(bundle_file.resolve(net))
        test = data.load(net).test
        self._made: dict[Payload, list[bytes]] = {}
        self.x, self.y = test.x[:ROWS_MAX], test.y[:ROWS_MAX]
        exits = self.bundle.manifest.exits
        if len(exits) != 1 or exits[0].score != "entropy":
            raise SystemExit(f"{net}: the pipeline is measured with bundles of one exit by entropy")
        self.scores: NDArray[np.float32] = EdgeEngine(self.bundle).infer(self.x).exit_scores[:, 0]

    def threshold(self, share: float) -> float:
        """The threshold at which this share of the rows rises."""
        if share <= 0:
            return 1e9
        return -1.0 if share >= 1 else float(np.quantile(self.scores, 1 - share))

    def hard_digests(self, share: float) -> list[int]:
        """CRC-32 of the bare pixels of the rows that rise at it: for networks whose weights decide nothing."""
        hard = self.scores >= self.threshold(share)
        return [zlib.crc32(row.tobytes()) for row in self.x[hard]]

    def easiest(self) -> int:
        """The row that leaves wherever some do."""
        return int(np.argmin(self.scores))

    def hardest(self) -> int:
        """The row that rises wherever some do."""
        return int(np.argmax(self.scores))

    def messages(self, site: str, payload: Payload, qos: int) -> list[Message]:
        """Every row as it is published; rows go to a few devices in turn."""
        made = []
        for number, body in enumerate(self._bodies(payload)):
            head, _, tail = body.partition(_MARK.encode())
            topic = input_topic(site, f"device-{number % _DEVICES}")
            made.append(Message(packets.publish_start(topic, len(body), qos), head, tail))
        return made

    def _bodies(self, payload: Payload) -> list[bytes]:
        """Every row in our envelope, under an id that is to be replaced; made once."""
        if payload not in self._made:
            encoding: Encoding = "png" if payload == "image" else "array"
            shape, dtype = tuple(self.x.shape[1:]), str(self.x.dtype)
            self._made[payload] = [
                Sample(_MARK, time.time(), payload, shape, dtype, encode(row, encoding)).encode() for row in self.x
            ]
        return self._made[payload]

    def model_us(self) -> float:
        """Microseconds of processor time a sample of the edge half alone, in batches, with everybody leaving."""
        engine = EdgeEngine(self.bundle)
        batch = self.x[:_MODEL_BATCH]
        leave, took = [math.inf], []
        for _ in range(20):
            begun = time.process_time_ns()
            engine.infer(batch, thresholds=leave)
            took.append((time.process_time_ns() - begun) / 1e3 / len(batch))
        return float(np.median(took))


@functools.cache
def samples_of(net: str) -> Samples:
    """The samples of a shipped bundle, made once."""
    return Samples(net)

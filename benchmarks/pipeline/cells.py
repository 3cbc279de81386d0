"""What a stand is measured by: the loop, how the samples are packed, and by which quality of service they travel."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.pipeline.samples import Payload


@dataclass(frozen=True)
class Cell:
    """One way to load a worker.

    `in_flight`: of a closed loop. `load`: of an open loop, the rate as a share of what the stand managed in the closed
    cell before it, in the same round.
    """

    payload: Payload = "array"
    qos: int = 1
    in_flight: int | None = None
    load: float | None = None

    @property
    def name(self) -> str:
        """For people, and the key in the figures."""
        loop = f"{self.in_flight} in flight" if self.load is None else f"{self.load:.0%} of capacity"
        return f"{loop}, QoS {self.qos}, {self.payload}"


#: What is measured everywhere.
MAIN = Cell(in_flight=32)
DEEP = Cell(in_flight=256)
OPEN = Cell(load=0.5)
FULL = (Cell(in_flight=1), MAIN, OPEN, DEEP, Cell(qos=0, in_flight=32), Cell(payload="image", in_flight=32))
NULL = tuple(Cell(qos=qos, in_flight=count) for qos in (0, 1) for count in (1, 32, 256))

"""Bytes sent -> joules.

Huang et al. 2012 ("A Close Examination of Performance and Power Characteristics of 4G LTE Networks", MobiSys, table 4)
measured the power of a phone that sends t Mbit/s as alpha x t + beta. alpha in mW per Mbit/s is nanojoules per bit:
Wi-Fi 283.17, LTE 438.39, 3G 868.98. Taken here is alpha alone. Left out are beta, the radio's wake-up and its tail,
headers and acknowledgements, and the answer's few bytes on the way back: to leave them out favours who sends more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Radio:
    """An uplink: its name, and the nanojoules that one more bit costs."""

    name: str
    nj_per_bit: float

    def energy_j(self, sent_bytes: float) -> float:
        """Joules of `sent_bytes`: bytes x 8 x nj_per_bit x 1e-9."""
        return sent_bytes * 8 * self.nj_per_bit * 1e-9


WIFI = Radio("wifi", 283.17)
LTE = Radio("lte", 438.39)
UMTS = Radio("3g", 868.98)

#: Radios by name. Wi-Fi is the default: the cheapest, so that sending whole samples is not made to look worse.
RADIOS = {radio.name: radio for radio in (WIFI, LTE, UMTS)}

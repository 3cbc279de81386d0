"""What a single operation, memory access or bit sent costs: counts -> joules.

Multiply-accumulates. In fp32 one costs 4.6 pJ at 45 nm: multiply 3.7 pJ + add 0.9 pJ (Horowitz 2014, "Computing's
energy problem", ISSCC, fig. 1.1.9). On quantized numbers one costs 4.6 pJ x max(weight bits, activation bits) / 32, the
linear rule in which Long, Chakraborty and Roy (arXiv 2005.10851) compare networks.

Memory accesses. Horowitz 2014 gives, for 64 bits: 1.3 to 2.6 nJ from DRAM; 100, 20 and 10 pJ from a cache of 1 MB,
32 KB and 8 KB. Taken here: weights from DRAM at the lower end, activations in 1 MB of SRAM, a write at the price of a
read.

A layer reads its weights once for every sample (no batch shares them), reads its inputs once at their bits and writes
its outputs once in 32 bits, since norms, shortcuts and exits take them in full precision; what a quantizer makes of
them is the next layer's input. Biases, norms, shortcut additions, pooling and partial sums are not counted, neither
here nor for the networks compared with.

Bytes sent. Huang et al. 2012 ("A Close Examination of Performance and Power Characteristics of 4G LTE Networks",
MobiSys, table 4) measured the power of a phone that sends t Mbit/s as alpha x t + beta. alpha in mW per Mbit/s is
nanojoules per bit: Wi-Fi 283.17, LTE 438.39, 3G 868.98. Taken here is alpha alone. Left out are beta, the radio's
wake-up and its tail, headers and acknowledgements, and the answer's few bytes on the way back: to leave them out
favours who sends more.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Picojoules of one operation in fp32 at 45 nm (Horowitz 2014).
PJ_FP32_MULTIPLY = 3.7
PJ_FP32_ADD = 0.9
PJ_FP32_MAC = 4.6
#: Picojoules of one bit: 1.3 nJ for 64 of them from DRAM, 100 pJ for 64 of them from 1 MB of SRAM (Horowitz 2014).
PJ_DRAM_BIT = 1300 / 64
PJ_SRAM_BIT = 100 / 64
#: Bits of a value that a layer writes: norms, shortcuts and exits take them in full precision.
OUTPUT_BITS = 32


def mac_energy_j(macs: float, weight_bits: int = 32, activation_bits: int = 32) -> float:
    """Joules of `macs` multiply-accumulates: macs x 4.6e-12 x max(weight_bits, activation_bits) / 32."""
    return macs * PJ_FP32_MAC * 1e-12 * max(weight_bits, activation_bits) / 32


def memory_energy_j(params: float, weight_bits: int, inputs: float, activation_bits: int, outputs: float) -> float:
    """Joules of one layer's accesses for one sample, its `inputs` and `outputs` in values.

    (params x weight_bits x 1300/64 + (inputs x activation_bits + outputs x 32) x 100/64) x 1e-12.
    """
    weights = params * weight_bits * PJ_DRAM_BIT
    activations = (inputs * activation_bits + outputs * OUTPUT_BITS) * PJ_SRAM_BIT
    return (weights + activations) * 1e-12


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

"""Memory accesses -> joules.

Horowitz 2014 ("Computing's energy problem", ISSCC, 45 nm) gives, for 64 bits: 1.3 to 2.6 nJ from DRAM; 100, 20 and
10 pJ from a cache of 1 MB, 32 KB and 8 KB. Taken here: weights from DRAM at the lower end, activations in 1 MB of SRAM,
a write at the price of a read.

A layer reads its weights once for every sample (no batch shares them), reads its inputs once at their bits and writes
its outputs once in 32 bits, since norms, shortcuts and exits take them in full precision; what a quantizer makes of
them is the next layer's input. Biases, norms, shortcut additions, pooling and partial sums are not counted, neither
here nor for the networks compared with.
"""

from __future__ import annotations

PJ_DRAM_BIT = 1300 / 64
PJ_SRAM_BIT = 100 / 64
OUTPUT_BITS = 32


def memory_energy_j(params: float, weight_bits: int, inputs: float, activation_bits: int, outputs: float) -> float:
    """Joules of one layer's accesses for one sample, its `inputs` and `outputs` in values.

    (params x weight_bits x 1300/64 + (inputs x activation_bits + outputs x 32) x 100/64) x 1e-12.
    """
    weights = params * weight_bits * PJ_DRAM_BIT
    activations = (inputs * activation_bits + outputs * OUTPUT_BITS) * PJ_SRAM_BIT
    return (weights + activations) * 1e-12

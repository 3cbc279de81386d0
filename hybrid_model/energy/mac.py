"""Multiply-accumulates -> joules.

One in fp32 costs 4.6 pJ at 45 nm: multiply 3.7 pJ + add 0.9 pJ (Horowitz 2014, "Computing's energy problem", ISSCC,
fig. 1.1.9). One on quantized numbers costs 4.6 pJ x max(weight bits, activation bits) / 32, the linear rule in which
Long, Chakraborty and Roy (arXiv 2005.10851) compare networks.
"""

from __future__ import annotations

PJ_FP32_MULTIPLY = 3.7
PJ_FP32_ADD = 0.9
PJ_FP32_MAC = 4.6


def mac_energy_j(macs: float, weight_bits: int = 32, activation_bits: int = 32) -> float:
    """Joules of `macs` multiply-accumulates: macs x 4.6e-12 x max(weight_bits, activation_bits) / 32."""
    return macs * PJ_FP32_MAC * 1e-12 * max(weight_bits, activation_bits) / 32

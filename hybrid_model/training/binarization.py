"""Weights that become binary on the way."""

from __future__ import annotations

from torch import nn

from hybrid_model.nn.layers import QuantConv2d


class ProgressiveBinarization:
    """Lets the one-bit convolutions of `network` keep real weights for the first `share` of a run.

    A network with binary activations and real weights is the better start for one with both binary
    (Liu et al. 2020, ReActNet, arXiv 2003.03488, section 5).
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        self._share = share
        self._convolutions = [m for m in network.modules() if isinstance(m, QuantConv2d) and m.weight_bits == 1]

    def at(self, progress: float) -> None:
        """Sets the bits of the weights for a run that has come so far, 0..1."""
        for convolution in self._convolutions:
            convolution.weight_bits = 32 if progress < self._share else 1

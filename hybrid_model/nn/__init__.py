"""The hybrid network in torch: quantizers, quantized layers, backbones, and `HybridNetwork` itself."""

from hybrid_model.nn.architecture import Architecture, CutSpec, ExitSpec, StemSpec, UnitSpec
from hybrid_model.nn.network import HybridNetwork, HybridOutput

__all__ = ["Architecture", "CutSpec", "ExitSpec", "HybridNetwork", "HybridOutput", "StemSpec", "UnitSpec"]

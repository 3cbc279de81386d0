"""The edge half in torch and in the engine, with what every quantizer gave: where do they part, and was it close?

Both compute the same sums; float roundings differ. A sign or level may then fall on the other side where its input lies
within `NEAR` of the boundary, and what follows differs with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hybrid_model.bundle import Bundle
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.layers import Sign
from hybrid_model.nn.quantizers import ClippedLevels, RSign
from hybrid_model.runtime.plan import build_plan
from hybrid_model.runtime.staged import bind

NEAR = 1e-4


@dataclass
class Seen:
    """One quantizer's codes (n, H, W, C) and how far its inputs lay from the nearest boundary, for n samples."""

    codes: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.float32]


class WatchedEdge:
    """A torch network in evaluation mode, with every quantizer on its edge half watched."""

    def __init__(self, network: HybridNetwork) -> None:
        self.network = network
        self.seen: list[Seen] = []
        watched = [*network.edge.modules(), *network.cut.modules()]
        self._quantizers = [module for module in watched if isinstance(module, Sign | RSign | ClippedLevels)]

    def _watch(self, module: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        (x,) = inputs
        if isinstance(module, ClippedLevels):
            level = x.clamp(0).minimum(module.alpha) * (module.top / module.alpha)
            to_half = (level - level.floor() - 0.5).abs() * (module.alpha / module.top)
            self.seen.append(Seen(_nhwc(level.round()).astype(np.uint8), _nhwc(to_half)))
            return
        threshold = module.threshold.reshape(1, -1, 1, 1) if isinstance(module, RSign) else 0.0
        self.seen.append(Seen(_nhwc(x >= threshold).astype(np.uint8), _nhwc((x - threshold).abs())))

    @torch.inference_mode()
    def run(
        self, x: npt.NDArray[Any], *, watch_all: bool = True
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Exit logits (n, E, K), and codes at the cut (n, h, w, c). `seen` holds all quantizers or the cut's."""
        self.seen = []
        hooks = [one.register_forward_hook(self._watch) for one in self._quantizers[0 if watch_all else -1 :]]
        try:
            logits, _ = self.network.edge_half(self.network.normalize(torch.from_numpy(x)))
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(logits, dim=1).numpy(), self.seen[-1].codes


def engine_codes(bundle: Bundle, x: npt.NDArray[Any]) -> list[npt.NDArray[np.uint8]]:
    """What the reference's quantized convolutions read, and the cut's codes, in order."""
    plan = build_plan(bundle)
    buffers, codes = {0: x}, []
    for stage in plan.stages:
        for step in stage.steps:
            inputs = [buffers[b] for b in step.inputs]
            if step.op.op in ("conv_binary", "conv_kbit"):
                codes.append(np.asarray(inputs[0], dtype=np.uint8))
            buffers[step.output] = bind(step, plan.buffers[step.inputs[0]])(*inputs)
    return [*codes, buffers[plan.cut_buffer]]


def partings(codes: list[npt.NDArray[np.uint8]], seen: list[Seen]) -> tuple[npt.NDArray[np.bool_], float]:
    """Which samples part anywhere (n,), and how far at most from its boundary an input lay where one first parted."""
    parted = np.zeros(len(codes[0]), dtype=np.bool_)
    farthest = 0.0
    for ours, theirs in zip(codes, seen, strict=True):
        differs = ours != theirs.codes
        first = differs & ~parted[:, np.newaxis, np.newaxis, np.newaxis]
        farthest = max(farthest, float(theirs.distance[first].max(initial=0.0)))
        parted |= differs.any(axis=(1, 2, 3))
    return parted, farthest


def _nhwc(x: Tensor) -> npt.NDArray[Any]:
    return x.detach().permute(0, 2, 3, 1).numpy()

"""`HybridNetwork`: stem, edge units with exits | cut | cloud units and the final classifier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid_model.nn.architecture import Architecture
from hybrid_model.nn.layers import Cut, ExitHead, QuantConv2d, build_unit


@dataclass(frozen=True)
class HybridOutput:
    """Logits (N, classes) of every exit in order, and of the final classifier in the cloud."""

    exits: list[Tensor]
    final: Tensor


class Stem(nn.Module):
    """The first convolution and its batch norm; a ReLU where what follows is not a sign."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        s = arch.stem
        self.conv = QuantConv2d(arch.input_shape[2], s.channels, s.kernel, s.stride, s.padding, s.weight_bits)
        self.norm = nn.BatchNorm2d(s.channels)
        first = arch.units[0]
        self.rectify = first.activation_bits != 1 and first.kind != "bireal"

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) normalized -> (N, channels, OH, OW)."""
        y: Tensor = self.norm(self.conv(x))
        return torch.relu(y) if self.rectify else y


class HybridNetwork(nn.Module):
    """One network across two places.

    The edge half (`stem`, `edge`, `exits`, `cut`) is quantized as the architecture says; the cloud half (`cloud`,
    `classifier`) is in full precision. Bits, width, depth, exits and cut are the architecture's: a binary, a 4-bit and
    a full-precision network are this one class (Long, Chakraborty, Roy 2020, arXiv 2005.10851).
    """

    zero_point: Tensor
    scale: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = arch = architecture
        self.register_buffer("zero_point", torch.tensor(arch.zero_point).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(arch.scale).reshape(1, -1, 1, 1), persistent=False)
        self.stem = Stem(arch)
        units: list[nn.Module] = []
        channels = arch.stem.channels
        for spec in arch.units:
            units.append(build_unit(channels, spec))
            channels = spec.channels
            if len(units) == arch.cut.after:
                self.cut = Cut(channels, arch.cut)
                channels = self.cut.channels
        self.edge = nn.ModuleList(units[: arch.cut.after])
        self.cloud = nn.ModuleList(units[arch.cut.after :])
        shapes = self._unit_shapes()
        self.exits = nn.ModuleList(ExitHead(shapes[e.after - 1], e.pool, arch.classes) for e in arch.exits)
        last = shapes[-1] if self.cloud else (*self.cut_shape[:2], channels)
        self.classifier = ExitHead(last, None, arch.classes, arch.classifier_dropout)

    @torch.no_grad()
    def _unit_shapes(self) -> list[tuple[int, int, int]]:
        """Output shape (H, W, C) of every unit; notes the cut's shape on the way."""
        h, w, c = self.architecture.input_shape
        was = self.training
        self.eval()
        x = self.stem(torch.zeros(1, c, h, w))
        shapes: list[tuple[int, int, int]] = []
        for unit in self.edge:
            x = unit(x)
            shapes.append((x.shape[2], x.shape[3], x.shape[1]))
        x = self.cut(x)
        self.cut_shape: tuple[int, int, int] = (x.shape[2], x.shape[3], x.shape[1])
        for unit in self.cloud:
            x = unit(x)
            shapes.append((x.shape[2], x.shape[3], x.shape[1]))
        self.train(was)
        return shapes

    def normalize(self, batch: Tensor) -> Tensor:
        """A batch (N, H, W, C) uint8 or float32 -> (N, C, H, W) float32, (x - zero_point) * scale."""
        return (batch.permute(0, 3, 1, 2).float() - self.zero_point) * self.scale

    def edge_half(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """X (N, C, H, W) normalized -> the exits' logits, and what crosses the cut (N, c, h, w)."""
        logits: list[Tensor] = []
        heads = {e.after: head for e, head in zip(self.architecture.exits, self.exits, strict=True)}
        x = self.stem(x)
        for number, unit in enumerate(self.edge, start=1):
            x = unit(x)
            if number in heads:
                logits.append(heads[number](x))
        return logits, self.cut(x)

    def cloud_half(self, crossed: Tensor) -> Tensor:
        """What crossed the cut (N, c, h, w) -> logits (N, classes)."""
        x = crossed
        for unit in self.cloud:
            x = unit(x)
        logits: Tensor = self.classifier(x)
        return logits

    def forward(self, x: Tensor) -> HybridOutput:
        """X (N, C, H, W) normalized -> all logits."""
        exits, crossed = self.edge_half(x)
        return HybridOutput(exits, self.cloud_half(crossed))

"""`WhitenedNet`: a small full-precision network that learns fast, to teach others.

A fixed convolution whitens the patches of the input, three blocks of two convolutions follow (Jordan 2024, "94% on
CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3). It has no edge and no cut.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hybrid_model.nn.layers import QuantConv2d
from hybrid_model.nn.network import HybridOutput

#: Samples whose patches show what to whiten, as in section 3.2.
_WHITENING_SAMPLES = 5000
#: What is added to the patches' variances before the root, of values with a deviation near 1.
_WHITENING_FLOOR = 5e-4
#: What the last layer's answers are divided by: the weights in front start as identities, so that they are large.
_LOGIT_DIVISOR = 9.0


class WhitenedSpec(BaseModel):
    """What the network is made of: for pictures of (H, W, C), at least 16 x 16.

    `widths`: channels of each block; `convolutions`: in each, with a shortcut around those behind the pooling where
    there are three.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input_shape: tuple[int, int, int] = (32, 32, 3)
    zero_point: tuple[float, ...]
    scale: tuple[float, ...]
    classes: int = Field(ge=2)
    widths: tuple[int, ...] = Field(default=(64, 256, 256), min_length=1, max_length=4)
    convolutions: int = Field(default=2, ge=2, le=3)

    @property
    def input_dtype(self) -> str:
        """Pixels."""
        return "uint8"


class _Block(nn.Module):
    """Convolution, pooling, norm, GELU; convolution, norm, GELU, once or twice. Norms have no scale of their own."""

    def __init__(self, inputs: int, outputs: int, convolutions: int) -> None:
        super().__init__()
        sizes = [inputs] + [outputs] * (convolutions - 1)
        self.convolutions = nn.ModuleList(QuantConv2d(c, outputs, (3, 3), (1, 1), (1, 1), 32) for c in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs, momentum=0.4) for _ in sizes)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            nn.init.dirac_(convolution.weight.data[: convolution.weight.shape[1]])  # type: ignore[index]
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](F.max_pool2d(self.convolutions[0](x), 2)))
        around = x
        for number in range(1, len(self.norms)):
            x = self.norms[number](self.convolutions[number](x))
            x = F.gelu(x + around if number == 2 else x)
        return x


class WhitenedNet(nn.Module):
    """See the module. `whiten` sets the fixed convolution from samples; a checkpoint brings it along."""

    zero_point: Tensor
    scale: Tensor

    def __init__(self, spec: WhitenedSpec) -> None:
        super().__init__()
        self.architecture = spec
        self.register_buffer("zero_point", torch.tensor(spec.zero_point).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(spec.scale).reshape(1, -1, 1, 1), persistent=False)
        patch = 4 * spec.input_shape[2]
        self.whitening = nn.Conv2d(spec.input_shape[2], 2 * patch, 2)
        self.whitening.weight.requires_grad_(False)
        sizes = [2 * patch, *spec.widths]
        self.blocks = nn.ModuleList(_Block(before, after, spec.convolutions) for before, after in pairwise(sizes))
        self.classifier = nn.Linear(spec.widths[-1], spec.classes, bias=False)

    @torch.no_grad()
    def whiten(self, batch: Tensor) -> None:
        """Sets the first convolution to the eigenvectors of the 2 x 2 patches of a batch (N, H, W, C), both signs.

        Each is divided by the root of its variance, so that what comes out has a variance near 1.
        """
        x = self.normalize(batch[:_WHITENING_SAMPLES])
        patches = F.unfold(x, 2).transpose(1, 2).reshape(-1, self.whitening.weight.shape[1] * 4).double()
        variances, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        whole = (vectors.T.flip(0) / torch.sqrt(variances.flip(0) + _WHITENING_FLOOR).unsqueeze(1)).float()
        shape = (len(whole), *self.whitening.weight.shape[1:])
        self.whitening.weight.copy_(torch.cat([whole, -whole]).reshape(2 * shape[0], *shape[1:]))
        assert self.whitening.bias is not None
        self.whitening.bias.zero_()

    def normalize(self, batch: Tensor) -> Tensor:
        """A batch (N, H, W, C) -> (N, C, H, W) float32, (x - zero_point) * scale."""
        return (batch.permute(0, 3, 1, 2).float() - self.zero_point) * self.scale

    def forward(self, x: Tensor) -> HybridOutput:
        """X (N, C, H, W) normalized -> logits (N, classes) as the final ones; there are no exits."""
        x = F.gelu(self.whitening(x))
        for block in self.blocks:
            x = block(x)
        # A pooling, which remembers where its maximum was: `amax` looks for it again on the way back, and where the map
        # was computed anew in bf16 it finds none, and divides by zero.
        greatest = F.max_pool2d(x, x.shape[2:]).flatten(1)
        return HybridOutput([], self.classifier(greatest) / _LOGIT_DIVISOR)

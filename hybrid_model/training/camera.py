"""What cameras do to pictures, at random and in random strength: so that a network knows it when it meets it.

Pictures are (N, H, W, C) float32 of grey levels 0..255, of one or three channels. Every function takes its generator,
which lies on the pictures' device. The strengths are drawn anew for every picture; those of the two blurs, which are
convolutions, for every call.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

#: Shares of pictures that get at least one change, and of those the share that gets another.
CHANGED_SHARE, CHANGED_TWICE_SHARE = 0.5, 0.25

#: Quantization of luminance and chrominance at quality 50 (ITU-T T.81, annex K, tables K.1 and K.2).
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip
#: ITU-R BT.601 as JFIF has it: Y, Cb, Cr of R, G, B.
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def camera(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Some of the pictures (N, H, W, C) uint8 changed by one or two of `KINDS`; whole grey levels again, uint8."""
    seen = pictures.float()
    changed = _drawn(len(seen), generator, seen.device) < CHANGED_SHARE
    for share in (1.0, CHANGED_TWICE_SHARE):
        changed = changed & (_drawn(len(seen), generator, seen.device) < share)
        kinds = torch.randint(len(KINDS), (len(seen),), generator=generator, device=seen.device)
        for number, kind in enumerate(KINDS):
            rows = torch.nonzero(changed & (kinds == number)).squeeze(1)
            if len(rows):
                seen[rows] = kind(seen[rows], generator).clamp(0.0, 255.0)
    return seen.round().to(pictures.dtype)


def jpeg(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Compressed at quality 20 to 95: cosine transform, quantized, and back; chrominance at half the resolution."""
    quality = 20.0 + 75.0 * _drawn(len(pictures), generator, pictures.device)
    return compressed(pictures, quality)


def compressed(pictures: Tensor, quality: Tensor) -> Tensor:
    """As a JPEG of `quality` (N,), 1 to 100, comes back (ITU-T T.81; the quality scale is libjpeg's).

    No entropy coding, since it loses nothing.
    """
    _, h, w, c = pictures.shape
    side = 16 if c == 3 else 8
    x = F.pad(pictures.permute(0, 3, 1, 2), (0, -w % side, 0, -h % side), mode="replicate") - 128.0
    percent = torch.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality).reshape(-1, 1, 1)
    if c == 3:
        mix = torch.tensor(_YCC, device=x.device)
        # The shift by 128 belongs to the luminance: it is 0 in both differences.
        ycc = torch.einsum("kc,nchw->nkhw", mix, x)
        luminance = _quantized(ycc[:, :1], _table(_LUMINANCE, percent))
        chrominance = _quantized(F.avg_pool2d(ycc[:, 1:], 2), _table(_CHROMINANCE, percent))
        chrominance = F.interpolate(chrominance, scale_factor=2, mode="bilinear", align_corners=False)
        x = torch.einsum("ck,nkhw->nchw", torch.linalg.inv(mix), torch.cat([luminance, chrominance], dim=1))
    else:
        x = _quantized(x, _table(_LUMINANCE, percent))
    return (x[:, :, :h, :w] + 128.0).permute(0, 2, 3, 1)


def noise(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """White noise of up to 24 grey levels (1 sigma), half of it growing with the root of the light, as photons do."""
    sigma = 24.0 * _drawn(len(pictures), generator, pictures.device).reshape(-1, 1, 1, 1)
    light = (pictures / 255.0).clamp(0.0, 1.0).sqrt()
    white = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    shot = (_drawn(len(pictures), generator, pictures.device) < 0.5).reshape(-1, 1, 1, 1)
    return pictures + white * sigma * torch.where(shot, 1.4 * light, torch.ones_like(light))


def blur(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Out of focus: a normal kernel of 1 % to 4 % of the picture's height (1 sigma)."""
    share = 0.01 + 0.03 * float(_drawn(1, generator, pictures.device))
    sigma = share * pictures.shape[1]
    reach = max(1, math.ceil(2.5 * sigma))
    places = torch.arange(-reach, reach + 1, device=pictures.device)
    line = torch.exp(-0.5 * (places / sigma) ** 2)
    line = line / line.sum()
    return _filtered(pictures, line.reshape(-1, 1) * line.reshape(1, -1))


def motion(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Moved along a line of any direction while the shutter was open, by 4 % to 16 % of the picture's height."""
    length = (0.04 + 0.12 * float(_drawn(1, generator, pictures.device))) * pictures.shape[1]
    angle = math.pi * float(_drawn(1, generator, pictures.device))
    reach = max(1, math.ceil(length / 2))
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1)
    for step in range(33):
        along = length * (step / 32 - 0.5)
        y, x = reach + along * math.sin(angle), reach + along * math.cos(angle)
        top, left = math.floor(y), math.floor(x)
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            if weight > 0 and 0 <= row < len(kernel) and 0 <= column < len(kernel):
                kernel[row, column] += weight
    return _filtered(pictures, (kernel / kernel.sum()).to(pictures.device))


def brightness(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Exposed by a third to one and a half times as much light."""
    low, high = math.log(0.33), math.log(1.5)
    return pictures * torch.exp(low + (high - low) * _drawn(len(pictures), generator, pictures.device)).reshape(
        -1, 1, 1, 1
    )


def contrast(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn to its own mean grey, or away from it, by a factor of 0.25 to 1.4."""
    factor = (0.25 + 1.15 * _drawn(len(pictures), generator, pictures.device)).reshape(-1, 1, 1, 1)
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (pictures - mean) * factor


def fog(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Behind a light veil of 10 % to 65 %, uneven at the scale of a quarter of the picture."""
    n, h, w, _ = pictures.shape
    coarse = torch.rand(n, 1, 4, 4, generator=generator, device=pictures.device)
    uneven = F.interpolate(coarse, size=(h, w), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    veil = (0.1 + 0.55 * _drawn(n, generator, pictures.device)).reshape(-1, 1, 1, 1) * (0.6 + 0.8 * uneven)
    veil = veil.clamp(0.0, 0.9)
    return pictures * (1.0 - veil) + 230.0 * veil


def colour_cast(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Each channel's gain +-20 %: the white balance of another lamp."""
    n, _, _, c = pictures.shape
    return pictures * (0.8 + 0.4 * torch.rand(n, 1, 1, c, generator=generator, device=pictures.device))


KINDS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    jpeg, jpeg, noise, noise, blur, motion, brightness, contrast, fog, colour_cast,
)  # fmt: skip


def _drawn(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(count, generator=generator, device=device)


def _filtered(pictures: Tensor, kernel: Tensor) -> Tensor:
    """Each channel convolved with a kernel of odd size; what lies outside is like the nearest pixel."""
    n, h, w, c = pictures.shape
    reach = kernel.shape[0] // 2
    planes = pictures.permute(0, 3, 1, 2).reshape(n * c, 1, h, w)
    padded = F.pad(planes, (reach,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.reshape(1, 1, *kernel.shape)).reshape(n, c, h, w).permute(0, 2, 3, 1)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of a block of 8 x 8 in row-major order, (64, 64)."""
    k, x = torch.arange(8.0).reshape(-1, 1), torch.arange(8.0).reshape(1, -1)
    rows = 0.5 * torch.cos((2 * x + 1) * k * math.pi / 16)
    rows[0] /= math.sqrt(2.0)
    return torch.kron(rows, rows).to(device)


def _table(at_50: tuple[tuple[int, ...], ...], percent: Tensor) -> Tensor:
    """Steps (N, 8, 8) for each picture's quality."""
    base = torch.tensor(at_50, dtype=torch.float32, device=percent.device)
    return ((base * percent + 50.0) / 100.0).floor().clamp(1.0, 255.0)


def _quantized(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (N, K, H, W), blocks of 8 x 8 transformed, rounded to whole steps (N, 8, 8), and back."""
    n, k, h, w = planes.shape
    transform = _cosines(planes.device)
    blocks = planes.reshape(n, k, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(n, -1, 64)
    table = steps.reshape(n, 1, 64)
    whole = ((blocks @ transform.T) / table).round() * table
    back = (whole @ transform).reshape(n, k, h // 8, w // 8, 8, 8)
    return back.permute(0, 1, 2, 4, 3, 5).reshape(n, k, h, w)

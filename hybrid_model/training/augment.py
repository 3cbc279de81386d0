"""Random changes to training batches, on whole tensors; (N, H, W, C) in and out, in the data set's own units."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def _shift(batch: Tensor, reach: tuple[int, int], fill: Tensor, generator: torch.Generator) -> Tensor:
    """Every sample shifted by up to `reach` (rows, columns); what comes in from outside is `fill` (C)."""
    n, h, w, c = batch.shape
    ry, rx = reach
    canvas = fill.to(batch.dtype).expand(n, h + 2 * ry, w + 2 * rx, c).clone()
    canvas[:, ry : ry + h, rx : rx + w] = batch
    dy = torch.randint(0, 2 * ry + 1, (n, 1, 1), generator=generator).to(batch.device)
    dx = torch.randint(0, 2 * rx + 1, (n, 1, 1), generator=generator).to(batch.device)
    rows = torch.arange(h, device=batch.device).reshape(1, h, 1) + dy
    columns = torch.arange(w, device=batch.device).reshape(1, 1, w) + dx
    return canvas[torch.arange(n, device=batch.device).reshape(n, 1, 1), rows, columns]


def crop_flip(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """CIFAR's usual: a shift of up to 4 pixels and a mirror image half of the time (He et al. 2016, section 4.2)."""
    shifted = _shift(batch, (4, 4), fill, generator)
    mirror = (torch.rand(len(batch), generator=generator) < 0.5).to(batch.device)
    return torch.where(mirror.reshape(-1, 1, 1, 1), shifted.flip(2), shifted)


def digits(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Grey digits: a shift of up to one pixel for half of the samples, and grey-level noise of up to 24 (1 sigma)."""
    del fill
    shifted = _shift(batch, (1, 1), torch.zeros(batch.shape[3]), generator)
    moved = (torch.rand(len(batch), generator=generator) < 0.5).to(batch.device).reshape(-1, 1, 1, 1)
    values = torch.where(moved, shifted, batch).float()
    sigma = 24.0 * torch.rand(len(batch), 1, 1, 1, generator=generator)
    noise = torch.randn(batch.shape, generator=generator) * sigma
    return (values + noise.to(batch.device)).round().clamp(0, 255).to(batch.dtype)


def sensor(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor windows: each channel's gain +-10 %, white noise of 2 % of the window's own spread."""
    del fill
    n, _, _, c = batch.shape
    gain = 1.0 + 0.1 * (2.0 * torch.rand(n, 1, 1, c, generator=generator) - 1.0)
    spread = batch.std(dim=(1, 2), keepdim=True)
    noise = torch.randn(batch.shape, generator=generator).to(batch.device) * (0.02 * spread)
    return batch * gain.to(batch.device) + noise


def rotations(count: int, sigma_deg: float, generator: torch.Generator) -> Tensor:
    """Random rotation matrices (count, 3, 3): an axis from the whole sphere, an angle of `sigma_deg` degrees (1 sigma).

    Rodrigues' formula: R = I + sin(a) K + (1 - cos(a)) K^2, K the cross product with the axis.
    """
    axis = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    angle = torch.deg2rad(sigma_deg * torch.randn(count, 1, 1, generator=generator))
    cross = torch.linalg.cross(torch.eye(3).expand(count, 3, 3), axis.unsqueeze(1).expand(count, 3, 3))
    turn: Tensor = torch.eye(3) + angle.sin() * cross + (1.0 - angle.cos()) * (cross @ cross)
    return turn


def rotate(batch: Tensor, sigma_deg: float, generator: torch.Generator) -> Tensor:
    """Every sample's sensor turned by a rotation of its own, see `rotations`.

    Channels are triples (x, y, z) in one frame, (N, H, W, 3 K) float: all turn together, gravity with them. Raises
    ValueError for other channels.
    """
    n, h, w, c = batch.shape
    if c % 3:
        raise ValueError(f"rotation takes triples of channels x, y, z, not {c} channels; use augmentation sensor")
    turn = rotations(n, sigma_deg, generator).to(batch.device)
    return torch.einsum("nij,nhwkj->nhwki", turn, batch.reshape(n, h, w, c // 3, 3)).reshape(batch.shape)


def inertial(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Inertial windows: the sensor turned by some 15 degrees (1 sigma), then `sensor`.

    Nobody wears a phone quite like another (Um et al. 2017, arXiv 1706.00527, section 3).
    """
    return sensor(rotate(batch, 15.0, generator), fill, generator)


def none(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """The batch as it is."""
    del fill, generator
    return batch


AUGMENTATIONS = {"none": none, "crop_flip": crop_flip, "digits": digits, "sensor": sensor, "inertial": inertial}

"""Random changes to training batches, on whole tensors; (N, H, W, C) in and out, in the data set's own units."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hybrid_model.training.camera import camera
from hybrid_model.training.recipe import Recipe


def _shift(batch: Tensor, reach: tuple[int, int], fill: Tensor, generator: torch.Generator) -> Tensor:
    """Every sample shifted by up to `reach` (rows, columns); what comes in from outside is `fill` (C)."""
    n, h, w, c = batch.shape
    ry, rx = reach
    canvas = fill.to(batch.dtype).expand(n, h + 2 * ry, w + 2 * rx, c).clone()
    canvas[:, ry : ry + h, rx : rx + w] = batch
    rows = torch.arange(h, device=batch.device) + torch.randint(
        0, 2 * ry + 1, (n, 1), generator=generator, device=batch.device
    )
    columns = torch.arange(w, device=batch.device) + torch.randint(
        0, 2 * rx + 1, (n, 1), generator=generator, device=batch.device
    )
    return _picked(canvas, rows, columns)


def shifted_with_reflection(batch: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Every sample shifted by up to `reach` pixels each way; what comes in from outside is its own mirror image."""
    n, h, w, _ = batch.shape
    places = []
    for size in (h, w):
        shift = torch.randint(-reach, reach + 1, (n, 1), generator=generator, device=batch.device)
        place = (torch.arange(size, device=batch.device) + shift).abs()
        places.append((size - 1) - ((size - 1) - place).abs())
    return _picked(batch, *places)


def _picked(batch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of each sample (N, H, W, C) its rows (N, h) and columns (N, w)."""
    number = torch.arange(len(batch), device=batch.device).reshape(-1, 1, 1)
    return batch[number, rows.unsqueeze(2), columns.unsqueeze(1)]


def mirrored(batch: Tensor, which: Tensor) -> Tensor:
    """The samples that `which` (N,) bool names as in a mirror, left and right changed."""
    return torch.where(which.reshape(-1, 1, 1, 1), batch.flip(2), batch)


def cut_out(batch: Tensor, size: int, fill: Tensor, generator: torch.Generator) -> Tensor:
    """A square of `size` pixels blanked with `fill` (C), anywhere inside (DeVries, Taylor 2017, arXiv 1708.04552)."""
    n, h, w, _ = batch.shape
    inside = []
    for length in (h, w):
        start = torch.randint(0, length - size + 1, (n, 1), generator=generator, device=batch.device)
        place = torch.arange(length, device=batch.device)
        inside.append((place >= start) & (place < start + size))
    blank = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(3)
    return torch.where(blank, fill.to(batch.dtype), batch)


def crop_flip(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """CIFAR's usual: a shift of up to 4 pixels and a mirror image half of the time (He et al. 2016, section 4.2)."""
    shifted = _shift(batch, (4, 4), fill, generator)
    which = torch.rand(len(batch), generator=generator, device=batch.device) < 0.5
    return mirrored(shifted, which)


def digits(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Grey digits: a shift of up to one pixel for half of the samples, and grey-level noise of up to 24 (1 sigma)."""
    del fill
    shifted = _shift(batch, (1, 1), torch.zeros(batch.shape[3], device=batch.device), generator)
    moved = torch.rand(len(batch), 1, 1, 1, generator=generator, device=batch.device) < 0.5
    values = torch.where(moved, shifted, batch).float()
    sigma = 24.0 * torch.rand(len(batch), 1, 1, 1, generator=generator, device=batch.device)
    noise = torch.randn(batch.shape, generator=generator, device=batch.device) * sigma
    return (values + noise).round().clamp(0, 255).to(batch.dtype)


def sensor(batch: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor windows: each channel's gain +-10 %, white noise of 2 % of the window's own spread."""
    del fill
    n, _, _, c = batch.shape
    gain = 1.0 + 0.1 * (2.0 * torch.rand(n, 1, 1, c, generator=generator, device=batch.device) - 1.0)
    spread = batch.std(dim=(1, 2), keepdim=True)
    noise = torch.randn(batch.shape, generator=generator, device=batch.device) * (0.02 * spread)
    return batch * gain + noise


def rotations(count: int, sigma_deg: float, generator: torch.Generator) -> Tensor:
    """Random rotation matrices (count, 3, 3): an axis from the whole sphere, an angle of `sigma_deg` degrees (1 sigma).

    Rodrigues' formula: R = I + sin(a) K + (1 - cos(a)) K^2, K the cross product with the axis.
    """
    device = generator.device
    unit = torch.eye(3, device=device)
    axis = F.normalize(torch.randn(count, 3, generator=generator, device=device), dim=1)
    angle = torch.deg2rad(sigma_deg * torch.randn(count, 1, 1, generator=generator, device=device))
    cross = torch.linalg.cross(unit.expand(count, 3, 3), axis.unsqueeze(1).expand(count, 3, 3))
    turn: Tensor = unit + angle.sin() * cross + (1.0 - angle.cos()) * (cross @ cross)
    return turn


def rotate(batch: Tensor, sigma_deg: float, generator: torch.Generator) -> Tensor:
    """Every sample's sensor turned by a rotation of its own, see `rotations`.

    Channels are triples (x, y, z) in one frame, (N, H, W, 3 K) float: all turn together, gravity with them. Raises
    ValueError for other channels.
    """
    n, h, w, c = batch.shape
    if c % 3:
        raise ValueError(f"rotation takes triples of channels x, y, z, not {c} channels; use augmentation sensor")
    turn = rotations(n, sigma_deg, generator)
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


#: Augmentations that need nothing but the batch. `reflected_crop` and `camera` are in `Augmenter`.
_SIMPLE = {"none": none, "crop_flip": crop_flip, "digits": digits, "sensor": sensor, "inertial": inertial}


class Augmenter:
    """A recipe's augmentation over a whole run. The same seed, epoch and step give the same changes on one device.

    `reflected_crop` mirrors a sample in every second epoch, half of them in the odd ones: no one is seen the same way
    twice before the other (Jordan 2024, arXiv 2404.00498, section 3.6). `camera` does the same, and then what cameras
    do; a teacher is asked about the picture before that.
    """

    def __init__(self, recipe: Recipe, samples: int, fill: Tensor, device: torch.device) -> None:
        self._recipe, self._fill = recipe, fill.to(device)
        self._generator = torch.Generator(device)
        start = torch.Generator().manual_seed(recipe.seed)
        self._odd = (torch.rand(samples, generator=start) < 0.5).to(device)

    def __call__(self, batch: Tensor, rows: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Samples (N, H, W, C), the `rows` (N,) of the training split, as the network sees them and as a teacher does.

        `step`: counted through the run.
        """
        recipe, generator = self._recipe, self._generator.manual_seed((self._recipe.seed << 32) + step)
        if recipe.augmentation in _SIMPLE:
            seen = _SIMPLE[recipe.augmentation](batch, self._fill, generator)
            return seen, seen
        seen = mirrored(batch, self._odd[rows] ^ bool(epoch % 2)) if recipe.mirror else batch
        if recipe.translate_px:
            seen = shifted_with_reflection(seen, recipe.translate_px, generator)
        if recipe.cutout_px:
            seen = cut_out(seen, recipe.cutout_px, self._fill, generator)
        return (camera(seen, generator) if recipe.augmentation == "camera" else seen), seen

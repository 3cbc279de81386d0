"""What cameras do, and the moves of pictures before it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid_model.training import load_recipe
from hybrid_model.training.augment import Augmenter, cut_out, shifted_with_reflection
from hybrid_model.training.camera import KINDS, camera, compressed


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 40, side: int = 32, channels: int = 3) -> torch.Tensor:
    coarse = torch.rand(count, channels, 4, 4, generator=seeded(7))
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return (255 * fine).permute(0, 2, 3, 1).round().to(torch.uint8)


@pytest.mark.parametrize("kind", list(dict.fromkeys(KINDS)), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("side", "channels"), [(32, 3), (8, 1), (20, 3)])
def test_every_kind_changes_pictures_and_keeps_their_shape(kind, side, channels):
    batch = pictures(12, side, channels).float()
    changed = kind(batch, seeded())
    assert changed.shape == batch.shape
    assert torch.isfinite(changed).all()
    assert (changed - batch).abs().amax(dim=(1, 2, 3)).min() > 0
    assert torch.equal(changed, kind(batch, seeded()))


def test_about_half_of_the_pictures_stay_as_they_are():
    batch = pictures(400)
    changed = camera(batch, seeded())
    assert changed.dtype == torch.uint8
    same = (changed == batch).all(dim=3).all(dim=2).all(dim=1).float().mean()
    assert 0.4 < float(same) < 0.6


@pytest.mark.parametrize("quality", [20, 60, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_compression_comes_back_nearly_as_from_a_jpeg_file(quality, channels):
    batch = 80 + pictures(10, 32, channels) // 3  # no colour near the ends, where both would clip
    ours = compressed(batch.float(), torch.full((10,), float(quality))).clamp(0, 255)
    for picture, back in zip(batch.numpy(), ours.numpy(), strict=True):
        file = io.BytesIO()
        Image.fromarray(picture.squeeze()).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file), dtype=np.float32).reshape(back.shape)
        assert np.abs(back - theirs).mean() < 2.5


def test_a_shift_brings_in_mirror_images_of_what_is_there():
    batch = pictures(30)
    moved = shifted_with_reflection(batch, 3, seeded())
    middle = {tuple(row.flatten().tolist()) for row in moved[:, 8:24, 8:24]}
    assert len(middle) == 30
    for before, after in zip(batch, moved, strict=True):
        padded = torch.nn.functional.pad(before.permute(2, 0, 1).float(), (3,) * 4, mode="reflect").permute(1, 2, 0)
        found = [
            (dy, dx) for dy in range(7) for dx in range(7)
            if torch.equal(padded[dy : dy + 32, dx : dx + 32], after.float())
        ]  # fmt: skip
        assert found


def test_a_square_is_blanked_inside_the_picture():
    batch = pictures(20).clamp_min(1)
    blanked = cut_out(batch, 12, torch.zeros(3), seeded())
    assert ((blanked == 0).all(dim=3).sum(dim=(1, 2)) == 144).all()


def test_every_picture_is_seen_mirrored_in_every_second_epoch():
    recipe = load_recipe("cifar10-teacher").model_copy(update={"translate_px": 0})
    batch, rows = pictures(50), torch.arange(50)
    augment = Augmenter(recipe, 50, torch.zeros(3), torch.device("cpu"))
    first, second = (augment(batch, rows, epoch, epoch)[0] for epoch in (0, 1))
    assert torch.equal(first.flip(2), second)
    mirrored = (first == batch.flip(2)).all(dim=3).all(dim=2).all(dim=1)
    assert 10 < int(mirrored.sum()) < 40


def test_a_teacher_sees_the_picture_before_the_camera():
    recipe = load_recipe("cifar10").model_copy(update={"translate_px": 0})
    batch, rows = pictures(50), torch.arange(50)
    augment = Augmenter(recipe, 50, torch.zeros(3), torch.device("cpu"))
    seen, taught = augment(batch, rows, 0, 3)
    assert not torch.equal(seen, taught)
    assert torch.equal(torch.sort(taught.flatten(1))[0], torch.sort(batch.flatten(1))[0])
    again = augment(batch, rows, 0, 3)
    assert torch.equal(again[0], seen), "the same step is the same, whatever came between"

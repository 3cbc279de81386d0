"""Random changes to sensor windows: what they keep, and what they refuse."""

import pytest
import torch

from hybrid_model.training.augment import inertial, rotate, rotations, sensor

FILL = torch.zeros(9)


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def windows():
    """Eight windows of 128 readings: body acceleration, angular rate, and acceleration with gravity along x."""
    values = 0.1 * torch.randn(8, 1, 128, 9, generator=seeded())
    values[..., 6:] = values[..., :3] + torch.tensor([1.0, 0.0, 0.0])
    return values


def gram(batch):
    """All inner products among a sample's vectors (x, y, z), whatever channels and times they are from."""
    vectors = batch.reshape(len(batch), -1, 3)
    return vectors @ vectors.transpose(1, 2)


def test_rotations_neither_stretch_nor_mirror():
    turn = rotations(500, 40.0, seeded())
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).expand(500, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(500))


def test_rotations_turn_by_the_angle_asked_for():
    turn = rotations(4000, 15.0, seeded())
    angles = torch.rad2deg(torch.acos(((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert angles.square().mean().sqrt() == pytest.approx(15.0, abs=0.5)


def test_all_readings_of_a_window_turn_together(windows):
    turned = rotate(windows, 30.0, seeded())
    torch.testing.assert_close(gram(turned), gram(windows), atol=1e-5, rtol=0)
    assert (turned - windows).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_every_window_turns_in_its_own_way(windows):
    same = windows[:1].expand(8, -1, -1, -1)
    turned = rotate(same, 30.0, seeded())
    assert (turned[1:] - turned[:1]).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_gravity_leans_by_some_fifteen_degrees(windows):
    many = windows.repeat(500, 1, 1, 1)
    down = inertial(many, FILL, seeded())[..., 6:].mean(dim=(1, 2))
    lean = torch.rad2deg(torch.acos(down[:, 0] / down.norm(dim=1)))
    assert lean.square().mean().sqrt() == pytest.approx(15.0 * (2 / 3) ** 0.5, abs=1.5)  # 2/3: about axes aslant of it


def test_channels_that_are_no_triples_are_refused(windows):
    with pytest.raises(ValueError, match="triples"):
        rotate(windows[..., :8], 15.0, seeded())


@pytest.mark.parametrize("augment", [sensor, inertial])
def test_the_generator_alone_decides(augment, windows):
    assert torch.equal(augment(windows, FILL, seeded()), augment(windows, FILL, seeded()))


def test_gain_and_noise_stay_small(windows):
    changed = sensor(windows, FILL, seeded())
    spread = windows.std(dim=(1, 2), keepdim=True)
    assert ((changed - windows).abs() <= 0.1 * windows.abs() + 0.12 * spread).all()
    assert not torch.equal(changed, windows)

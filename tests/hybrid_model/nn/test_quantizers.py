"""Each quantizer against its formula, forward and backward, worked by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.nn.quantizers import (
    ClippedLevels,
    RPReLU,
    RSign,
    SignSTE,
    approx_sign,
    binary_weight,
    dorefa_weight,
    int8_weight,
)


def test_sign_is_plus_one_at_zero_and_passes_gradient_within_one():
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    y = SignSTE.apply(x)
    y.sum().backward()
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_approximate_sign_has_the_polynomial_gradient():
    x = torch.tensor([-1.5, -0.75, -0.25, 0.25, 0.75, 1.5], requires_grad=True)
    y = approx_sign(x)
    y.sum().backward()
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    assert x.grad.tolist() == pytest.approx([0.0, 0.5, 1.5, 1.5, 0.5, 0.0])


def test_binary_weights_are_signs_and_the_mean_magnitude_per_output_channel():
    weight = torch.tensor([[[[0.5, -1.5]]], [[[0.0, 0.25]]]])
    signs, scale = binary_weight(weight)
    assert signs.flatten().tolist() == [1, -1, 1, 1]
    assert scale.flatten().tolist() == [1.0, 0.125]


@given(bits=st.sampled_from([2, 4]), seed=st.integers(0, 1000))
def test_dorefa_weights_are_odd_whole_numbers_within_their_bits(bits, seed):
    weight = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(seed))
    whole, scale = dorefa_weight(weight, bits)
    top = 2**bits - 1
    assert torch.equal(whole, whole.round())
    assert whole.abs().max() == top
    assert torch.all(whole.long() % 2 == 1)
    assert float(scale) == pytest.approx(1 / top)


def test_int8_weights_are_within_half_a_step_of_the_weights():
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    whole, scale = int8_weight(weight)
    assert whole.abs().amax(dim=(1, 2, 3)).tolist() == [127] * 5
    error = (whole * scale.reshape(-1, 1, 1, 1) - weight).abs()
    assert torch.all(error <= 0.5001 * scale.reshape(-1, 1, 1, 1))


@given(bits=st.sampled_from([2, 3, 4]), alpha=st.floats(0.5, 4.0), value=st.floats(-8, 8))
def test_clipped_levels_need_no_more_than_their_bits(bits, alpha, value):
    quant = ClippedLevels(bits, alpha)
    y = quant(torch.tensor([[[[value]]]]))
    level = float(y.detach()) * (2**bits - 1) / alpha
    assert level == pytest.approx(round(level), abs=1e-3)
    assert -1e-6 <= float(y.detach()) <= alpha * (1 + 1e-6)


def test_the_clip_learns_from_what_it_clips():
    quant = ClippedLevels(2, 1.0)
    quant(torch.tensor([[[[0.4, 3.0]]]])).sum().backward()
    assert float(quant.alpha.grad) > 0.5


def test_rsign_and_rprelu_shift_per_channel():
    x = torch.tensor([0.2, 0.2]).reshape(1, 2, 1, 1)
    rsign, act = RSign(2), RPReLU(2)
    with torch.no_grad():
        rsign.threshold[:] = torch.tensor([0.1, 0.3])
        act.shift_in[:] = torch.tensor([0.1, 0.3])
        act.shift_out[:] = torch.tensor([1.0, 2.0])
    assert rsign(x).flatten().tolist() == [1, -1]
    assert act(x).flatten().tolist() == pytest.approx([0.1 + 1.0, 0.25 * -0.1 + 2.0])

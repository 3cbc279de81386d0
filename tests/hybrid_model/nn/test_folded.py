"""A cloud half made to be run gives what the network gives: to roundings in float32, to 8 bits in bfloat16."""

import pytest
import torch
from torch import nn

from hybrid_model.nn import HybridNetwork, UnitSpec
from hybrid_model.nn.backbones import digits_net, sensor_net, wide_edge
from hybrid_model.nn.folded import FoldedHalf


def network(architecture) -> HybridNetwork:
    """A random network in evaluation mode whose batch norms have something to fold."""
    torch.manual_seed(0)
    made = HybridNetwork(architecture)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)
            nn.init.normal_(norm.running_mean, std=0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return made.eval().requires_grad_(False)


def crossed(made: HybridNetwork, count: int) -> torch.Tensor:
    codes = torch.randint(2**made.cut.bits, (count, *made.cut_shape), dtype=torch.uint8)
    return made.cut.dequantize(codes)


def with_repeats(architecture):
    units = [unit.model_copy(update={"shortcut": "repeat"}) for unit in architecture.units]
    return architecture.model_copy(update={"units": tuple(units)})


ARCHITECTURES = {
    "strides and a projection": wide_edge(stem_channels=8, edge_widths=((8, 1),), cloud_widths=((12, 1), (24, 2))),
    "levels of two bits": wide_edge(stem_channels=8, edge_widths=((8, 1),), cut_bits=2, cloud_widths=((12, 2),)),
    "one dimension": sensor_net(stem_channels=8, edge_widths=((8, 1),), cloud_widths=(12,)),
    "repeated channels": with_repeats(
        wide_edge(stem_channels=8, edge_widths=((8, 1),), cut_channels=6, cloud_widths=((12, 2),))
    ),
    "a classifier alone": digits_net(widths=(8, 8), cloud_widths=()),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_in_float32_it_gives_the_networks_logits(name):
    made = network(ARCHITECTURES[name])
    x = crossed(made, 9)
    expected = made.cloud_half(x)
    assert torch.allclose(FoldedHalf(made, "fp32")(x), expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(FoldedHalf(made, "fp32", emulated=True)(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_bfloat16_is_near_float32_and_what_emulates_it_much_nearer(name):
    made = network(ARCHITECTURES[name])
    x = crossed(made, 64)
    full, real, emulated = (FoldedHalf(made, "fp32"), FoldedHalf(made, "bf16"), FoldedHalf(made, "bf16", emulated=True))
    moved = (real(x) - full(x)).square().mean().sqrt()
    assert moved < 0.03 * full(x).std()
    assert (emulated(x) - real(x)).square().mean().sqrt() <= 0.3 * moved
    if made.cloud:
        assert moved > 0


@torch.inference_mode()
def test_its_answer_does_not_depend_on_how_many_it_was_first_given():
    made = network(ARCHITECTURES["strides and a projection"])
    x = crossed(made, 40)
    one, many = FoldedHalf(made, "fp32"), FoldedHalf(made, "fp32")
    one(x[:1])
    many(x)
    assert torch.allclose(one(x), many(x), rtol=1e-4, atol=1e-5)
    assert torch.allclose(many(x[:1]), many(x)[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "unit",
    [
        UnitSpec(kind="basic", channels=64, weight_bits=4, activation_bits=4),
        UnitSpec(kind="basic", channels=64, weight_bits=4),
        UnitSpec(kind="bireal", channels=64),
        UnitSpec(kind="plain", channels=64),
    ],
)
def test_a_unit_that_it_does_not_know_is_not_folded(unit):
    architecture = digits_net()
    architecture = architecture.model_copy(update={"units": (*architecture.units, unit)})
    with pytest.raises(LookupError, match="is not a basic unit at 32 bits"):
        FoldedHalf(network(architecture), "fp32")

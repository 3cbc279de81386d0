"""What a bundle's cloud half stores: weights in half precision where that is safe, everything else in float32."""

import numpy as np
import pytest
import torch

from hybrid_model.export.cloud_tensors import cloud_tensors
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.backbones import resnet

CONV, LINEAR = "cloud.0.conv1.weight", "classifier.linear.weight"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return HybridNetwork(
        resnet(depth=8, widths=(4, 8, 8), edge_convolutions=4, weight_bits=4, activation_bits=4, cut_bits=4)
    )


def test_weights_are_stored_in_half_and_everything_else_in_float32(network):
    stored = cloud_tensors(network)
    assert {name for name, array in stored.items() if array.dtype == np.float16} == {
        name for name, array in stored.items() if array.ndim > 1
    }
    assert stored[CONV].dtype == stored[LINEAR].dtype == np.float16
    for name in ("cloud.0.norm1.running_var", "classifier.linear.bias", "cut.quant.alpha"):
        assert stored[name].dtype == np.float32


def test_it_stores_the_cloud_half_and_nothing_of_the_edge(network):
    assert all(name.startswith(("cloud.", "classifier.", "cut.quant.alpha")) for name in cloud_tensors(network))


def test_float32_stores_every_bit(network):
    state = network.state_dict()
    for name, array in cloud_tensors(network, "float32").items():
        assert array.dtype == np.float32
        assert np.array_equal(array, state[name].numpy())


def _with_greatest(network, greatest):
    weight = network.get_parameter(CONV)
    with torch.no_grad():
        weight.mul_(greatest / weight.abs().max())
        weight.flatten()[weight.abs().argmax()] = greatest
    return weight.detach().numpy()


@pytest.mark.parametrize("greatest", [65505.0, 1e6, np.inf, np.nan, 6e-5, 1e-9, 0.0])
def test_what_float16_cannot_hold_stays_float32(network, greatest):
    with torch.no_grad():
        network.get_parameter(CONV).fill_(greatest)
    assert cloud_tensors(network)[CONV].dtype == np.float32


@pytest.mark.parametrize("greatest", [65504.0, 1.0, 0.003, 2.0**-14])
def test_no_value_in_half_moves_by_more_than_a_2048th_of_the_greatest(network, greatest):
    weight = _with_greatest(network, greatest)
    stored = cloud_tensors(network)[CONV]
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert np.abs(stored.astype(np.float64) - weight).max() <= 2.0**-11 * greatest

"""Hybrid networks of every family: shapes, exits, cut, and where each layer runs."""

import pytest
import torch
from pydantic import ValidationError

from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.backbones import FAMILIES, resnet, sensor_net, wide_edge
from hybrid_model.nn.summary import layer_table


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_has_logits_for_every_exit_and_the_final_classifier(family):
    arch = FAMILIES[family]()
    network = HybridNetwork(arch).eval()
    out = network(network.normalize(torch.zeros(2, *arch.input_shape)))
    assert [tuple(e.shape) for e in out.exits] == [(2, arch.classes)] * len(arch.exits)
    assert tuple(out.final.shape) == (2, arch.classes)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_architecture_survives_its_json(family):
    arch = FAMILIES[family]()
    assert Architecture.model_validate_json(arch.model_dump_json()) == arch


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_what_crosses_the_cut_has_as_many_values_as_its_bits_allow(bits):
    network = HybridNetwork(resnet(depth=8, edge_convolutions=4, cut_channels=4, cut_bits=bits)).eval()
    _, crossed = network.edge_half(torch.randn(2, 3, 32, 32))
    assert len(crossed.detach().unique()) <= 2**bits


def test_a_resnet32_has_the_standard_number_of_multiply_accumulates():
    # He et al. count 69.1 M for ResNet-32; our shortcuts are 1x1 convolutions, the exit and the cut add little.
    rows = layer_table(HybridNetwork(resnet(depth=32, edge_convolutions=16)))
    backbone = sum(r["macs"] for r in rows if r["role"] == "backbone")
    assert backbone == pytest.approx(69.1e6, rel=0.01)


def test_sixteen_binary_convolutions_stand_on_the_edge_in_stage_zero():
    rows = layer_table(HybridNetwork(resnet(depth=32, edge_convolutions=16)))
    binary = [r for r in rows if r["weight_bits"] == 1]
    assert len(binary) == 16
    assert {r["stage"] for r in binary} == {0}
    assert {r["stage"] for r in rows if r["name"].startswith("cloud.")} == {"cloud"}


def test_layers_between_two_exits_belong_to_the_second():
    rows = layer_table(HybridNetwork(resnet(depth=20, edge_convolutions=8, exits_after=(2, 4))))
    stages = {r["name"]: r["stage"] for r in rows}
    assert stages["edge.1.conv2"] == 0
    assert stages["edge.2.conv1"] == 1
    assert stages["exits.1.linear"] == 1


@pytest.mark.parametrize("bits", [1, 4])
def test_a_way_around_that_repeats_channels_has_no_multiply_accumulates(bits):
    wide = wide_edge(edge_bits=bits, stem_channels=16, edge_widths=((16, 1), (32, 1)), cloud_widths=((16, 1),))
    rows = [r for r in layer_table(HybridNetwork(wide)) if r["name"].startswith("edge.")]
    assert {r["name"].split(".")[2] for r in rows} == ({"conv"} if bits == 1 else {"conv1", "conv2"})
    assert {(r["weight_bits"], r["activation_bits"]) for r in rows} == {(bits, bits)}


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_a_sensor_networks_edge_convolutions_have_its_edge_bits(bits):
    rows = layer_table(HybridNetwork(sensor_net(edge_bits=bits, edge_widths=((32, 1), (64, 2)), shortcut="repeat")))
    edge = [r for r in rows if r["name"].startswith("edge.")]
    assert len(edge) == 3
    assert {(r["weight_bits"], r["activation_bits"]) for r in edge} == {(bits, bits)}


def test_the_twin_is_the_same_network_in_full_precision():
    twin = layer_table(HybridNetwork(resnet(depth=20, edge_convolutions=8).twin()))
    assert {(r["weight_bits"], r["activation_bits"]) for r in twin} == {(32, 32)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"exits_after": (9,)}, "behind the cut"),
        ({"exits_after": (3, 2)}, "in order"),
        ({"depth": 21}, "6n \\+ 2"),
        ({"edge_convolutions": 3}, "inside one"),
    ],
)
def test_an_architecture_that_makes_no_sense_is_refused(change, reason):
    with pytest.raises((ValueError, ValidationError), match=reason):
        resnet(**{"depth": 20, "edge_convolutions": 8, **change})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_a_network_gets_a_gradient(family):
    arch = FAMILIES[family]()
    network = HybridNetwork(arch).train()
    out = network(torch.randn(4, arch.input_shape[2], *arch.input_shape[:2]))
    (out.final.square().sum() + sum(e.square().sum() for e in out.exits)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_layers_tell_how_many_values_they_read_and_write():
    rows = {r["name"]: r for r in layer_table(HybridNetwork(resnet(depth=20, edge_convolutions=8)))}
    traffic = {name: (row["inputs"], row["outputs"]) for name, row in rows.items()}
    assert traffic["stem.conv"] == (3 * 32 * 32, 16 * 32 * 32)
    assert traffic["edge.0.conv1"] == (16 * 32 * 32, 16 * 32 * 32)
    assert traffic["edge.3.conv1"] == (16 * 32 * 32, 32 * 16 * 16)
    assert traffic["edge.3.shortcut.conv"] == (16 * 16 * 16, 32 * 16 * 16)  # behind its average pooling
    assert traffic["classifier.linear"] == (64, 10)

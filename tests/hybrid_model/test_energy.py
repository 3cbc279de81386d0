from __future__ import annotations

import pytest

from hybrid_model import energy
from hybrid_model.bundle import Layer


def layer(stage: object, role: str, macs: int, weight_bits: int = 32, activation_bits: int = 32) -> Layer:
    return Layer.model_validate(
        {
            "name": f"{role} {stage}",
            "stage": stage,
            "role": role,
            "kind": "conv",
            "macs": macs,
            "params": 1,
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
        }
    )


#: 1e12 fp32 multiply-accumulates cost 4.6 J; at one bit a 32nd of it, at 4 x 2 bits an eighth.
LAYERS = [
    layer(0, "backbone", 10**12),
    layer(0, "exit", 2 * 10**12),
    layer(1, "backbone", 32 * 10**12, 1, 1),
    layer(1, "backbone", 8 * 10**12, 4, 2),
    layer(2, "cut", 3 * 10**12),
    layer("cloud", "backbone", 100 * 10**12),
]


def test_a_full_precision_mac_costs_a_multiply_and_an_add() -> None:
    assert energy.PJ_FP32_MULTIPLY + energy.PJ_FP32_ADD == pytest.approx(energy.PJ_FP32_MAC) == 4.6
    assert energy.mac_energy_j(10**12) == pytest.approx(4.6)


def test_the_wider_operand_decides_what_a_mac_costs() -> None:
    assert energy.mac_energy_j(10**12, 1, 8) == pytest.approx(4.6 * 8 / 32)
    assert energy.mac_energy_j(10**12, 8, 1) == pytest.approx(4.6 * 8 / 32)


def test_stages_add_up_their_layers() -> None:
    spent = energy.stage_energy_j(LAYERS)
    assert spent.edge == pytest.approx((4.6 * 3, 4.6 + 4.6, 4.6 * 3))
    assert spent.cloud == pytest.approx(460.0)


def test_a_path_counts_every_stage_on_it_once() -> None:
    assert energy.path_energy_j(LAYERS, 0) == pytest.approx(4.6 * 3)
    assert energy.path_energy_j(LAYERS, 1) == pytest.approx(4.6 * 5)
    assert energy.path_energy_j(LAYERS, "cut") == pytest.approx(4.6 * 8)
    assert energy.path_energy_j(LAYERS, "cloud") == pytest.approx(4.6 * 108)
    with pytest.raises(ValueError, match="exits count from 0"):
        energy.path_energy_j(LAYERS, -1)


def test_a_stage_without_layers_costs_nothing() -> None:
    assert energy.stage_energy_j([layer(2, "cut", 10**12)]).edge == pytest.approx((0.0, 0.0, 4.6))
    assert energy.stage_energy_j([]) == energy.StageEnergy(edge=(), cloud=0.0)


def test_the_twin_is_the_backbone_alone_at_32_bits() -> None:
    assert energy.twin_energy_j(LAYERS) == pytest.approx(4.6 * (1 + 32 + 8 + 100))


def test_the_mean_weighs_paths_by_their_shares() -> None:
    assert energy.mean_energy_j(LAYERS, [0.5, 0.25]) == pytest.approx(4.6 * (0.5 * 3 + 0.25 * 5 + 0.25 * 108))
    assert energy.mean_energy_j(LAYERS, [1.0, 0.0]) == pytest.approx(4.6 * 3)
    with pytest.raises(ValueError, match="shares"):
        energy.mean_energy_j(LAYERS, [0.8, 0.3])


def test_the_standard_network_for_cifar_is_resnet_32() -> None:
    assert energy.standard_energy_j() == pytest.approx(69.1e6 * 4.6e-12)

"""The view `full`: memory accesses and radio, each formula against values worked by hand."""

from __future__ import annotations

import pytest

from hybrid_model import energy
from hybrid_model.bundle import Layer


def _layer(name: str, stage: object, role: str, bits: tuple[int, int], **sizes: int | None) -> Layer:
    """A layer of 1,000 multiply-accumulates, 100 weights, 200 inputs and 300 outputs, unless told otherwise."""
    described = {"macs": 1000, "params": 100, "inputs": 200, "outputs": 300, **sizes}
    return Layer.model_validate(
        {
            "name": name, "stage": stage, "role": role, "kind": "conv",
            "weight_bits": bits[0], "activation_bits": bits[1], **described,
        }
    )  # fmt: skip


STEM = _layer("stem.conv", 0, "backbone", (8, 8))
BINARY = _layer("edge.0.conv", 0, "backbone", (1, 1))
SHORTCUT = _layer("edge.0.shortcut.conv", 0, "backbone", (32, 32))
EXIT = _layer("exits.0.linear", 0, "exit", (32, 32))
CUT = _layer("cut.conv", 1, "cut", (32, 32))
CLOUD = _layer("cloud.0.conv", "cloud", "backbone", (32, 32))
NETWORK = [STEM, BINARY, SHORTCUT, EXIT, CUT, CLOUD]

# MACs: 1000 x 4.6 pJ x bits / 32. Weights from DRAM: 100 x bits x 1300 / 64 pJ. Inputs from SRAM: 200 x bits x 100 / 64
# pJ. Outputs to SRAM: 300 x 32 x 100 / 64 = 15,000 pJ.
#    32 bits: 4600    + 65,000   + 10,000 + 15,000 = 94,600 pJ
#     8 bits: 1150    + 16,250   +  2,500 + 15,000 = 34,900 pJ
#     1 bit:   143.75 +  2,031.25 +  312.5 + 15,000 = 17,487.5 pJ
AT_32, AT_8, AT_1 = 94_600e-12, 34_900e-12, 17_487.5e-12


def test_a_bit_costs_a_64th_of_horowitz_access_of_64() -> None:
    assert pytest.approx(1.3e-9 / 64) == energy.PJ_DRAM_BIT * 1e-12
    assert pytest.approx(100e-12 / 64) == energy.PJ_SRAM_BIT * 1e-12


def test_memory_counts_weights_inputs_and_outputs_once() -> None:
    # Weights alone: 64 weights of 2 bits = 128 bits = 2 accesses of 1300 pJ.
    assert energy.memory_energy_j(64, 2, 0, 2, 0) == pytest.approx(2600e-12)
    # Inputs alone: 64 values of 4 bits = 256 bits = 4 accesses of 100 pJ.
    assert energy.memory_energy_j(0, 2, 64, 4, 0) == pytest.approx(400e-12)
    # Outputs alone, in 32 bits whatever the layer's are: 2 values = 64 bits = one access.
    assert energy.memory_energy_j(0, 1, 0, 1, 2) == pytest.approx(100e-12)


@pytest.mark.parametrize(("one", "joules"), [(CLOUD, AT_32), (STEM, AT_8), (BINARY, AT_1)])
def test_a_layer_costs_its_operations_and_its_accesses(one: Layer, joules: float) -> None:
    assert energy.layer_energy_j(one, energy.FULL) == pytest.approx(joules)


def test_the_mac_view_is_what_it_was() -> None:
    assert energy.layer_energy_j(BINARY) == energy.layer_energy_j(BINARY, energy.MAC) == pytest.approx(143.75e-12)


def test_a_bit_sent_costs_what_was_measured_on_a_phone() -> None:
    # mW per Mbit/s = nJ per bit. 256 bytes = 2,048 bits: x 283.17 nJ = 579,932.16 nJ; x 438.39 nJ = 897,822.72 nJ.
    assert energy.WIFI.energy_j(256) == pytest.approx(579_932.16e-9)
    assert energy.LTE.energy_j(256) == pytest.approx(897_822.72e-9)
    assert energy.RADIOS["3g"].energy_j(1) == pytest.approx(8 * 868.98e-9)
    assert energy.FULL.radio is energy.RADIOS["wifi"]


def test_only_what_rises_is_sent() -> None:
    # Ten bytes by Wi-Fi: 80 bits x 283.17 nJ = 22,653.6 nJ.
    edge = AT_8 + AT_1 + 2 * AT_32
    spent = [energy.path_energy_j(NETWORK, end, energy.FULL, 10) for end in (0, "cut", "cloud")]
    assert spent == pytest.approx([edge, edge + AT_32, edge + 2 * AT_32 + 22_653.6e-9])
    assert energy.path_energy_j(NETWORK, "cloud", energy.full_view(energy.LTE), 10) == pytest.approx(
        edge + 2 * AT_32 + 80 * 438.39e-9
    )


def test_stages_leave_out_what_is_sent_between_them() -> None:
    found = energy.stage_energy_j(NETWORK, energy.FULL)
    assert found.edge == pytest.approx((AT_8 + AT_1 + 2 * AT_32, AT_32))
    assert found.cloud == pytest.approx(AT_32)


def test_the_mean_sends_the_share_that_rises() -> None:
    leaves = AT_8 + AT_1 + 2 * AT_32
    rises = leaves + 2 * AT_32 + 22_653.6e-9
    assert energy.mean_energy_j(NETWORK, [0.75], energy.FULL, 10) == pytest.approx(0.75 * leaves + 0.25 * rises)


def test_the_twin_stands_at_the_sensor_or_has_every_sample_sent() -> None:
    # Four backbone layers (stem, binary, shortcut, cloud), all at 32 bits.
    assert energy.twin_energy_j(NETWORK, energy.FULL) == pytest.approx(4 * AT_32)
    assert energy.twin_energy_j(NETWORK, energy.FULL, 10) == pytest.approx(4 * AT_32 + 22_653.6e-9)
    assert energy.twin_energy_j(NETWORK, energy.MAC, 10) == pytest.approx(4 * 4600e-12)


def test_resnet_32_layer_by_layer() -> None:
    # MACs: stem 432 x 1024 = 442,368; stage 1: 10 x 2304 x 1024 = 23,592,960; stage 2: 4608 x 256 + 512 x 256 +
    # 9 x 9216 x 256 = 1,179,648 + 131,072 + 21,233,664; stage 3: 18,432 x 64 + 2048 x 64 + 9 x 36,864 x 64 =
    # 1,179,648 + 131,072 + 21,233,664; classifier 640. Together 69,124,736: the 69.1 M of He et al.
    layers = energy.standard_layers()
    assert sum(one.macs for one in layers) == 69_124_736 == pytest.approx(energy.STANDARD_MACS_CIFAR, rel=1e-3)
    # Weights: 432 + 23,040 + 4608 + 512 + 82,944 + 18,432 + 2048 + 331,776 + 640.
    assert sum(one.params for one in layers) == 464_432
    # Read: 3072 + 10 x 16,384 + (16,384 + 4096 + 9 x 8192) + (8192 + 2048 + 9 x 4096) + 64.
    assert sum(one.inputs or 0 for one in layers) == 308_288
    # Written: 11 x 16,384 + 11 x 8192 + 11 x 4096 + 10.
    assert sum(one.outputs or 0 for one in layers) == 315_402


def test_the_standard_network_in_the_full_view() -> None:
    # 69.1e6 x 4.6 pJ = 317.86 uJ; weights 464,432 x 32 x 1300 / 64 pJ = 301.8808 uJ;
    # activations (308,288 + 315,402) x 32 x 100 / 64 pJ = 31.1845 uJ. Together 650.9253 uJ.
    assert energy.standard_energy_j(view=energy.FULL) == pytest.approx(650.9253e-6)
    assert energy.standard_energy_j(view=energy.FULL, sent_bytes=10) == pytest.approx(650.9253e-6 + 22.6536e-6)
    # 90 classes more: 90 x 64 x 32 x 1300 / 64 pJ of weights and 90 x 32 x 100 / 64 pJ of outputs.
    more = energy.standard_energy_j(view=energy.FULL, classes=100) - energy.standard_energy_j(view=energy.FULL)
    assert more == pytest.approx(3_744_000e-12 + 4500e-12)


def test_every_layer_belongs_to_a_part() -> None:
    assert [energy.part_of(one) for one in NETWORK] == ["stem", "convolutions", "shortcuts", "exits", "cut", "cloud"]


def test_the_parts_of_a_path_are_the_path() -> None:
    parts = energy.path_parts_j(NETWORK, "cloud", energy.FULL, 10)
    assert parts == pytest.approx(
        {
            "stem": AT_8, "convolutions": AT_1, "shortcuts": AT_32, "exits": AT_32, "cut": AT_32,
            "radio": 22_653.6e-9, "cloud": AT_32,
        }
    )  # fmt: skip
    assert tuple(parts) == energy.PARTS
    for end in (0, "cut", "cloud"):
        told = energy.path_parts_j(NETWORK, end, energy.FULL, 10)
        assert sum(told.values()) == pytest.approx(energy.path_energy_j(NETWORK, end, energy.FULL, 10))
    assert energy.path_parts_j(NETWORK, 0, energy.FULL, 10)["radio"] == 0.0


def test_layers_of_an_older_file_have_no_full_view() -> None:
    old = _layer("old", 0, "backbone", (1, 1), inputs=None, outputs=None)
    assert not energy.has_traffic([BINARY, old])
    assert energy.has_traffic(NETWORK)
    assert energy.layer_energy_j(old) == pytest.approx(143.75e-12)
    with pytest.raises(ValueError, match="export its bundle again"):
        energy.layer_energy_j(old, energy.FULL)

"""The exported edge graph, run by the engine, gives what the torch network gives, for every family and bit width."""

import numpy as np
import pytest
import torch
from torch import nn

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.export.cloud_tensors import cloud_tensors
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.backbones import digits_net, resnet, sensor_net, wide_edge
from hybrid_model.nn.edge_graph import edge_graph, integer_thresholds
from hybrid_model.nn.quantizers import ClippedLevels
from hybrid_model.nn.summary import layer_table
from hybrid_model.runtime import EdgeEngine
from tests.hybrid_model.watched import NEAR, WatchedEdge, engine_codes, partings

SMALL = {"depth": 8, "widths": (8, 16, 24), "edge_convolutions": 4}
WIDE = {"stem_channels": 16, "cloud_widths": ((16, 1),)}
ARCHITECTURES = {
    "binary resnet": resnet(**SMALL),
    "4-bit resnet": resnet(**SMALL, weight_bits=4, activation_bits=4, cut_bits=4),
    "2-bit resnet": resnet(**SMALL, weight_bits=2, activation_bits=2, cut_bits=2, cut_channels=5),
    "binary weights, 4-bit activations": resnet(**SMALL, weight_bits=1, activation_bits=4, cut_bits=3),
    "two exits": resnet(**SMALL, exits_after=(1, 2)),
    "full-precision edge": resnet(**SMALL, weight_bits=32, activation_bits=32),
    "wide edge": wide_edge(**WIDE, edge_widths=((16, 2), (32, 2)), cut_channels=7),
    "wide edge that triples odd channels, two exits": wide_edge(
        **WIDE | {"stem_channels": 10}, edge_widths=((10, 1), (30, 1), (60, 2)), exits_after=(2, 4), cut_channels=7
    ),
    "2-bit wide edge": wide_edge(**WIDE, edge_bits=2, edge_widths=((32, 1), (64, 1)), exits_after=(1, 2)),
    "4-bit wide edge": wide_edge(**WIDE, edge_bits=4, edge_widths=((16, 2), (48, 1)), cut_channels=7),
    "8-bit wide edge": wide_edge(**WIDE, edge_bits=8, edge_widths=((16, 1), (32, 1)), cut_channels=7),
    **{
        f"wide edge for {size} x {size}": wide_edge(
            stem_channels=8, edge_widths=((16, 1), (32, 1)), cloud_widths=((16, 1),), input_size=size, stem_side=32
        )
        for size in (64, 96, 128, 160, 224)
    },
    "wide edge for 48 x 48": wide_edge(**WIDE, edge_widths=((16, 1), (32, 1)), input_size=48),
    "wide edge for 64 x 64, a wide stem": wide_edge(
        **WIDE, edge_bits=2, edge_widths=((16, 1), (32, 1)), input_size=64, stem_kernel=8
    ),
    "2-bit wide edge for 64 x 64": wide_edge(
        stem_channels=8, edge_bits=2, edge_widths=((16, 1), (32, 1)), input_size=64, stem_side=32
    ),
    "ResNet-32, 16 binary convolutions, two exits": resnet(exits_after=(4, 8), cut_bits=4),
    "ResNet-32, 24 convolutions of 4 bits, two exits": resnet(
        edge_convolutions=24, weight_bits=4, activation_bits=4, exits_after=(6, 12), cut_bits=4
    ),
    "digits": digits_net(widths=(20, 33)),
    "sensor": sensor_net(stem_channels=8, edge_widths=((16, 1), (24, 2)), cloud_widths=(16,)),
    "sensor, a long stem of stride 4, repeated channels": sensor_net(
        stem_channels=8, stem_kernel=9, stem_stride=4, edge_widths=((8, 1), (16, 2)), shortcut="repeat"
    ),
    "2-bit sensor": sensor_net(
        stem_channels=8, edge_bits=2, edge_widths=((8, 1), (16, 2)), shortcut="repeat", cut_bits=2
    ),
    "4-bit sensor": sensor_net(stem_channels=8, edge_bits=4, edge_widths=((16, 1), (24, 2)), cloud_widths=(16,)),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Torch adds up in another order with more threads: then other samples meet a boundary on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _inputs(architecture: Architecture, count: int, seed: int) -> np.ndarray:
    """Coarse patterns and noise, so that samples differ from each other and pixels from their neighbours."""
    rng = np.random.default_rng(seed)
    h, w, c = architecture.input_shape
    coarse = rng.normal(size=(count, -(-h // 8), -(-w // 8), c)).repeat(8, axis=1).repeat(8, axis=2)[:, :h, :w]
    x = coarse + 0.3 * rng.normal(size=(count, h, w, c))
    return (
        np.clip(x * 50 + 120, 0, 255).astype(np.uint8) if architecture.input_dtype == "uint8" else x.astype(np.float32)
    )


@torch.no_grad()
def _settled(architecture: Architecture) -> HybridNetwork:
    """A network away from its first values, gammas of both signs and one of zero, its running statistics its own."""
    torch.manual_seed(1)
    network = HybridNetwork(architecture)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.3, 1.5)
            module.weight[::3].neg_()
            module.bias.uniform_(-0.5, 0.5)
            if name.endswith("norm1"):
                module.weight[0] = 0.0
    for name, parameter in network.named_parameters():
        if name.endswith(("threshold", "shift_in", "shift_out")):
            parameter.uniform_(-0.3, 0.3)
    network.train()
    for step in range(12):
        network(network.normalize(torch.from_numpy(_inputs(architecture, 16, seed=step))))
    return network.eval()


def _save(network: HybridNetwork, path):
    arch = network.architecture
    ops, edge = edge_graph(network)
    quant = network.cut.quant
    manifest = {
        "schema": 1,
        "name": "test",
        "network_id": "",
        "input": {"kind": "array", "shape": list(arch.input_shape), "dtype": arch.input_dtype},
        "classes": [str(i) for i in range(arch.classes)],
        "architecture": arch.model_dump(mode="json"),
        "edge_graph": ops,
        "exits": [
            {"name": f"exit {i}", "stage": i, "score": "entropy", "temperature": 1.0, "threshold": 0.5}
            for i in range(len(arch.exits))
        ],
        "cut": {
            "shape": list(network.cut_shape),
            "bits": arch.cut.bits,
            "bytes": cut_codec.packed_bytes(network.cut_shape, arch.cut.bits),
            "scale": {"alpha": float(quant.alpha.detach())} if isinstance(quant, ClippedLevels) else {},
        },
        "layers": layer_table(network),
        "calibration": None,
        "provenance": {},
        "twin": None,
    }
    bundle_file.save(path, manifest, edge, cloud_tensors(network))
    return bundle_file.load(path, cloud=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_engine_gives_what_the_torch_network_gives(name, tmp_path):
    arch = ARCHITECTURES[name]
    network = _settled(arch)
    bundle = _save(network, tmp_path / "net.dew")
    x = _inputs(arch, 32, seed=100)
    logits, features = EdgeEngine(bundle).exit_logits(x)
    codes = engine_codes(bundle, x)
    watched = WatchedEdge(network)
    expected, expected_codes = watched.run(x)

    # The engine's own kernels and the reference give the same, and that is what torch gives until a quantizer's input
    # lies so near to a boundary that a rounding decides.
    assert features == cut_codec.pack_batch(codes[-1], arch.cut.bits)
    parted, distance = partings(codes, watched.seen)
    assert distance < NEAR / 10
    assert parted.mean() <= 0.2
    assert np.allclose(logits[~parted], expected[~parted], rtol=1e-4, atol=1e-4)
    assert (codes[-1] == expected_codes).mean() >= 0.95
    assert np.std(expected, axis=0).max() > 0.02
    assert len(np.unique(expected_codes)) == 2**arch.cut.bits


def test_the_cloud_half_takes_what_the_torch_network_sends(tmp_path):
    network = _settled(ARCHITECTURES["4-bit resnet"])
    _, features = EdgeEngine(_save(network, tmp_path / "net.dew")).exit_logits(
        _inputs(network.architecture, 8, seed=100)
    )
    codes = np.stack([cut_codec.unpack(f, network.cut_shape, 4) for f in features])
    with torch.inference_mode():
        x = torch.from_numpy(_inputs(network.architecture, 8, seed=100))
        _, crossed = network.edge_half(network.normalize(x))
        received = network.cut.dequantize(torch.from_numpy(codes))
    assert ((received - crossed).abs() < 1e-5).float().mean() >= 0.99


def test_a_full_precision_twin_has_no_edge_graph():
    twin = HybridNetwork(ARCHITECTURES["4-bit resnet"].twin()).eval()
    with pytest.raises(ValueError, match="no edge operation for a cut at 32 bits"):
        edge_graph(twin)


@pytest.mark.parametrize("bits", [1, 4])
def test_a_way_around_that_repeats_stands_in_front_of_the_convolution_that_it_is_added_to(bits):
    arch = wide_edge(**WIDE, edge_bits=bits, edge_widths=((16, 1), (32, 1)), cut_channels=7)
    ops, _ = edge_graph(HybridNetwork(arch).eval())
    names = [op["op"] for op in ops]
    repeat = names.index("repeat")
    assert names[repeat - 1] == "avg_pool"
    assert ops[repeat]["times"] == 2
    added = next(op for op in ops if op["op"] == "add" and ops[repeat]["out"] in op["in"])
    assert ops.index(added) > repeat
    assert next(op for op in ops if op["out"] == added["in"][0])["op"] == ("conv_binary" if bits == 1 else "conv_kbit")


def test_digits_run_on_integer_thresholds_wherever_only_signs_are_read():
    ops, _ = edge_graph(HybridNetwork(digits_net()).eval())
    epilogues = [op["epilogue"] for op in ops if op["op"] == "conv_binary"]
    assert epilogues == ["bits", "bits", "float"]


@pytest.mark.parametrize("scale", [0.0, 0.013, 1.0, 7.5])
def test_an_integer_threshold_is_the_first_sum_that_reaches_zero(scale):
    for bias in (-3.2, -1e-9, 0.0, 0.4, 12.0):
        threshold = int(integer_thresholds(np.array([scale]), np.array([bias]))[0])
        for dot in range(-600, 601, 7):
            assert (dot >= threshold) == (dot * scale + bias >= 0)

"""The exported edge graph, run by the engine, gives what the torch network gives, for every family and bit width."""

import numpy as np
import pytest
import torch
from torch import nn

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.backbones import digits_net, resnet, sensor_net, wide_binary
from hybrid_model.nn.edge_graph import edge_graph, integer_thresholds
from hybrid_model.nn.quantizers import ClippedLevels
from hybrid_model.nn.summary import layer_table
from hybrid_model.runtime import EdgeEngine
from hybrid_model.training.export import cloud_tensors

SMALL = {"depth": 8, "widths": (8, 16, 24), "edge_convolutions": 4}
ARCHITECTURES = {
    "binary resnet": resnet(**SMALL),
    "4-bit resnet": resnet(**SMALL, weight_bits=4, activation_bits=4, cut_bits=4),
    "2-bit resnet": resnet(**SMALL, weight_bits=2, activation_bits=2, cut_bits=2, cut_channels=5),
    "binary weights, 4-bit activations": resnet(**SMALL, weight_bits=1, activation_bits=4, cut_bits=3),
    "two exits": resnet(**SMALL, exits_after=(1, 2)),
    "full-precision edge": resnet(**SMALL, weight_bits=32, activation_bits=32),
    "wide binary": wide_binary(stem_channels=16, edge_widths=((24, 2), (40, 2)), cloud_widths=(16,), cut_channels=7),
    "digits": digits_net(widths=(20, 33)),
    "sensor": sensor_net(stem_channels=8, edge_widths=((16, 1), (24, 2)), cloud_widths=(16,)),
}


def _shaken(network: HybridNetwork, seed: int) -> HybridNetwork:
    """Batch norms, thresholds and slopes away from their first values, gammas of both signs and one of zero."""
    generator = torch.Generator().manual_seed(seed)

    def draw(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(draw(module.running_mean, -0.5, 0.5))
                module.running_var.copy_(draw(module.running_var, 0.5, 2.0))
                module.weight.copy_(draw(module.weight, -1.0, 1.5))
                module.bias.copy_(draw(module.bias, -0.5, 0.5))
                if name.endswith("norm1"):
                    module.weight[0] = 0.0
        for name, parameter in network.named_parameters():
            if name.endswith(("threshold", "shift_in", "shift_out")):
                parameter.copy_(draw(parameter, -0.3, 0.3))
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
        "calibration": {},
        "provenance": {},
        "twin": None,
    }
    bundle_file.save(path, manifest, edge, cloud_tensors(network))
    return bundle_file.load(path, cloud=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_engine_gives_what_the_torch_network_gives(name, tmp_path):
    arch = ARCHITECTURES[name]
    network = _shaken(HybridNetwork(arch), seed=1)
    bundle = _save(network, tmp_path / "net.dew")
    rng = np.random.default_rng(0)
    x = (
        rng.integers(0, 256, (48, *arch.input_shape), dtype=np.uint8)
        if arch.input_dtype == "uint8"
        else rng.normal(size=(48, *arch.input_shape)).astype(np.float32)
    )
    said = EdgeEngine(bundle).infer(x, force_cut=True)
    with torch.inference_mode():
        logits, crossed = network.edge_half(network.normalize(torch.from_numpy(x)))

    classes = torch.stack(logits, dim=1).argmax(dim=2).numpy()
    assert (classes == said.exit_classes).mean() >= 0.97
    ours = np.stack([cut_codec.unpack(f, network.cut_shape, arch.cut.bits) for f in said.features])
    theirs = crossed.permute(0, 2, 3, 1).numpy()
    received = network.cut.dequantize(torch.from_numpy(ours)).permute(0, 2, 3, 1).detach().numpy()
    assert (np.abs(received - theirs) < 1e-3).mean() >= 0.995


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

"""The cloud half beside other runtimes: they are given the same network, and a form of seconds measures all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cloud_half import onnxruntime
from hybrid_model import bundle as bundle_file
from hybrid_model.cloud_half import build_network
from tests.benchmarks.forms import figures_of


def test_the_cloud_workers_computing_is_measured_beside_other_runtimes(tmp_path: Path) -> None:
    found = figures_of("cloud_half", tmp_path)
    assert [(row["net"], row["batch"]) for row in found["rows"]] == [("digits", 1), ("digits", 8)]
    for row in found["rows"]:
        assert {"worker", "half", "torch fp32", "torch bf16", "onnxruntime fp32"} <= set(row["us_a_sample"])
        assert all(0 < us < 1e6 for us in row["us_a_sample"].values())
        assert all(ratio["median"] > 0 for ratio in row["ratios"].values())


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "digits", "har"])
def test_other_runtimes_are_given_the_same_cloud_half(name: str) -> None:
    network = build_network(bundle_file.load(bundle_file.resolve(name), cloud=True))
    codes = torch.randint(2**network.cut.bits, (3, *network.cut_shape), dtype=torch.uint8)
    x = network.cut.dequantize(codes)
    with torch.inference_mode():
        expected = network.cloud_half(x).numpy()
    (found,) = onnxruntime(network, x, 1)()
    np.testing.assert_allclose(found[:, :, 0, 0], expected, rtol=1e-3, atol=1e-4)

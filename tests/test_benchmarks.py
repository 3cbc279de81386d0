"""Benchmarks of one process run, in a form of seconds: whether they work, not what they measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cloud_half import onnxruntime
from hybrid_model import bundle as bundle_file
from hybrid_model.cloud_half import build_network

ROOT = Path(__file__).parents[1]


def test_the_cost_of_inputs_is_measured_also_beside_another_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.inputs", "--quick", "--beside", str(ROOT)]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], cwd=ROOT, check=True, timeout=120)
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found["us_a_message"]) == {"own", "names", "nested", "expression", "png", "jpeg", "array"}
    assert all(0 < us < 1e5 for us in found["us_a_message"].values())
    assert set(found["over_own"]) == {"names", "nested", "expression"}
    assert set(found["over_beside"]) == {"own", "png", "jpeg", "array"}


def test_the_cloud_workers_computing_is_measured_beside_other_runtimes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.cloud_half", "--quick"]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], cwd=ROOT, check=True, timeout=120)
    found = json.loads((tmp_path / "out.json").read_text())
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

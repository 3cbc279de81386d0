"""What a bundle says of its cloud half in bfloat16 is measured on held-out samples, beside float32."""

import dataclasses

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle.bf16 import AGREEMENT_MIN
from hybrid_model.calibration.bf16 import fit_bf16
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.runtime import EdgeEngine

SHIPPED = ("cifar10", "cifar100", "digits", "har")


@pytest.fixture(scope="module")
def bundle():
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def features(bundle):
    x = data.load("digits", progress=False).calibration.x
    return EdgeEngine(bundle).exit_readings(x).features


def test_the_shipped_digits_say_what_is_measured(bundle, features):
    told, found = bundle.manifest.bf16, fit_bf16(bundle, features)
    assert found.samples == told.samples == len(features)
    assert found.close == pytest.approx(told.close, rel=0.05)
    assert (found.agreed_share, found.unaided_share) == (told.agreed_share, told.unaided_share)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_network_may_compute_in_bfloat16(name):
    told = bundle_file.load(bundle_file.resolve(name)).manifest.bf16
    assert told.agrees
    assert told.agreed_share >= max(told.unaided_share, AGREEMENT_MIN)
    assert told.close_share < 0.01


def test_close_calls_cost_agreement_unless_they_are_looked_at_again(bundle):
    """Two classes that weigh features almost alike: roundings alone say which of them wins."""
    generator = np.random.default_rng(0)
    features = [generator.bytes(bundle.manifest.cut.bytes) for _ in range(3000)]
    name, bias = "classifier.linear.weight", np.zeros_like(bundle.cloud["classifier.linear.bias"])
    alike = np.repeat(bundle.cloud[name][:1].astype(np.float32), len(bias), axis=0)
    alike[1] += generator.normal(scale=1e-2, size=alike.shape[1])

    def told(bias):
        return dataclasses.replace(bundle, cloud=bundle.cloud | {name: alike, "classifier.linear.bias": bias})

    logits = CloudHalf(told(bias)).logits(features)
    bias[1] = np.median(logits[:, 0] - logits[:, 1])
    bias[2:] = -10
    found = fit_bf16(told(bias), features)
    assert found.samples == 3000
    assert found.unaided_share < 1
    assert found.agreed_share == 1
    assert 1 - found.unaided_share < found.close_share < 1


def test_without_samples_it_says_nothing(bundle):
    assert fit_bf16(bundle, []) is None


def test_its_classes_in_bfloat16_are_those_of_float32(bundle):
    features = EdgeEngine(bundle).exit_readings(data.load("digits", progress=False).test.x).features
    by_reference, _ = CloudHalf(bundle).infer(features)
    by_bf16, _ = CloudHalf(bundle, precision="bf16").infer(features)
    assert (by_reference == by_bf16).mean() >= AGREEMENT_MIN

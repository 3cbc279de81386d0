"""The cloud half, loaded from a bundle: the same answers as the whole network, alone or in any batch."""

import dataclasses

import numpy as np
import pytest
import torch

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import BundleError
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.cut import CutError
from hybrid_model.runtime import EdgeEngine
from tests.hybrid_model.rebuilt import rebuild


@pytest.fixture(scope="module")
def bundle():
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def features(bundle):
    x = data.load("digits", progress=False).test.x[:40]
    return EdgeEngine(bundle).infer(x, force_cut=True).features


def test_it_answers_as_the_whole_network_does(bundle, features):
    x = data.load("digits", progress=False).test.x[:40]
    network = rebuild(bundle)
    with torch.inference_mode():
        final = network(network.normalize(torch.from_numpy(x))).final
    classes, confidence = CloudHalf(bundle).infer(features)
    agree = classes == final.argmax(dim=1).numpy()
    assert agree.mean() >= 0.97  # an engine's sign within rounding of zero may flip
    probable = torch.softmax(final / bundle.manifest.cloud_temperature, 1).amax(1).numpy()
    assert np.median(np.abs(confidence - probable)) < 1e-4


def test_its_temperature_changes_how_sure_it_is_and_no_class(bundle, features):
    classes, sure = CloudHalf(bundle).infer(features)
    cooler = bundle.manifest.model_copy(update={"cloud_temperature": 4.0 * bundle.manifest.cloud_temperature})
    same, doubtful = CloudHalf(dataclasses.replace(bundle, manifest=cooler)).infer(features)
    assert (same == classes).all()
    assert (doubtful < sure).mean() > 0.9
    logits = CloudHalf(bundle).logits(features)
    assert logits.shape == (len(features), 10)
    assert (logits.argmax(axis=1) == classes).all()
    assert CloudHalf(bundle).logits([]).shape == (0, 10)


def test_an_answer_does_not_depend_on_the_batch_around_it(bundle, features):
    cloud = CloudHalf(bundle)
    together, sure = cloud.infer(features)
    alone = [cloud.infer([f]) for f in features]
    assert together.tolist() == [int(c[0]) for c, _ in alone]
    assert sure == pytest.approx([float(s[0]) for _, s in alone], abs=1e-5)


def test_features_of_another_length_are_refused(bundle, features):
    with pytest.raises(CutError):
        CloudHalf(bundle).infer([features[0][:-1]])


def test_no_features_give_no_answers(bundle):
    classes, confidence = CloudHalf(bundle).infer([])
    assert len(classes) == len(confidence) == 0


def test_a_cloud_half_that_lacks_a_tensor_is_refused(bundle):
    lacking = {k: v for k, v in bundle.cloud.items() if k != "classifier.linear.bias"}
    with pytest.raises(BundleError, match=r"classifier\.linear\.bias"):
        CloudHalf(bundle_file.Bundle(bundle.manifest, bundle.edge, lacking, bundle.path))


def test_weights_stored_in_half_give_the_same_labels(bundle, features):
    stored = {name: array.astype(np.float16) if array.ndim > 1 else array for name, array in bundle.cloud.items()}
    assert any(array.dtype == np.float16 for array in stored.values())
    half = CloudHalf(bundle_file.Bundle(bundle.manifest, bundle.edge, stored, bundle.path))
    classes, sure = half.infer(features)
    expected, expected_sure = CloudHalf(bundle).infer(features)
    assert classes.tolist() == expected.tolist()
    assert sure == pytest.approx(expected_sure, abs=1e-2)
    assert sure.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16])
def test_tensors_of_another_type_are_refused(bundle, dtype):
    name = "classifier.linear.bias"
    changed = bundle.cloud | {name: bundle.cloud[name].astype(dtype)}
    with pytest.raises(BundleError, match=rf"{name} as {np.dtype(dtype)}, not as float32 or float16; export it again"):
        CloudHalf(bundle_file.Bundle(bundle.manifest, bundle.edge, changed, bundle.path))


def test_it_knows_its_network_id_and_classes(bundle):
    cloud = CloudHalf(bundle)
    assert cloud.network_id == bundle.manifest.network_id
    assert cloud.classes == tuple("0123456789")

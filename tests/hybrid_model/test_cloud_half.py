"""The cloud half, loaded from a bundle: the same answers as the whole network, alone or in any batch."""

import dataclasses

import numpy as np
import pytest
import torch

from hybrid_model import bundle as bundle_file
from hybrid_model import cut, data
from hybrid_model.bundle import BundleError
from hybrid_model.calibration.bf16 import fit_bf16
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.cut import CutError
from hybrid_model.export.cloud_tensors import cloud_tensors
from hybrid_model.nn import HybridNetwork, UnitSpec
from hybrid_model.nn.backbones import digits_net
from hybrid_model.nn.folded import computes_bf16
from hybrid_model.planning.edge_budget import untrained_bundle
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


def test_as_it_comes_it_is_the_network_itself(bundle, features):
    cloud = CloudHalf(bundle)
    assert cloud.trial is None
    assert cloud.precision == "fp32"
    network = rebuild(bundle)
    codes = cut.unpack_batch(features, network.cut_shape, network.cut.bits)
    with torch.inference_mode():
        expected = network.cloud_half(network.cut.dequantize(torch.from_numpy(codes))).numpy()
    assert (cloud.logits(features) == expected).all()


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-4), ("bf16", 0.05), ("auto", 0.05)])
def test_made_fast_it_gives_the_same_classes_and_nearly_the_same_logits(bundle, features, precision, within):
    reference, fast = CloudHalf(bundle), CloudHalf(bundle, precision=precision)
    assert precision in (fast.precision, "auto")
    assert fast.logits(features) == pytest.approx(reference.logits(features), abs=within)
    assert fast.infer(features)[0].tolist() == reference.infer(features)[0].tolist()
    assert fast.probabilities(features).argmax(axis=1).tolist() == reference.infer(features)[0].tolist()


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-5), ("bf16", 5e-3)])
def test_made_fast_an_answer_does_not_depend_on_the_batch_around_it(bundle, features, precision, within):
    cloud = CloudHalf(bundle, precision=precision)
    together, sure = cloud.infer(features)
    for size in (1, 7, 32):
        parts = [cloud.infer(features[start : start + size]) for start in range(0, len(features), size)]
        assert np.concatenate([classes for classes, _ in parts]).tolist() == together.tolist()
        assert np.concatenate([confidence for _, confidence in parts]) == pytest.approx(sure, abs=within)


def bf16_of(bundle, **changes):
    told = bundle.manifest.bf16
    said = None if not changes else told.model_copy(update=changes)
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"bf16": said}))


def test_bfloat16_is_tried_only_where_the_bundle_vouches_for_it(bundle):
    can = computes_bf16(torch.device("cpu"))
    assert set(CloudHalf(bundle, precision="auto").trial.seconds) == ({"fp32", "bf16"} if can else {"fp32"})
    for doubtful in (bf16_of(bundle), bf16_of(bundle, agreed_share=0.998)):
        chosen = CloudHalf(doubtful, precision="auto")
        assert chosen.precision == "fp32"
        assert set(chosen.trial.seconds) == {"fp32"}
        assert CloudHalf(doubtful, precision="bf16").precision == "bf16"


def test_close_calls_get_the_logits_of_float32(bundle, features):
    everything_close = bf16_of(bundle, close=1e6)
    full, looked = CloudHalf(bundle, precision="fp32"), CloudHalf(everything_close, precision="bf16")
    assert looked.logits(features) == pytest.approx(full.logits(features), abs=1e-5)
    unaided = CloudHalf(bf16_of(bundle), precision="bf16").logits(features)
    assert np.abs(unaided - full.logits(features)).max() > 1e-4


def test_features_that_do_not_fit_are_refused_when_it_is_made_fast_too(bundle, features):
    fast = CloudHalf(bundle, precision="bf16")
    with pytest.raises(CutError):
        fast.infer([features[0][:-1]])
    assert len(fast.infer([])[0]) == 0


def test_it_computes_with_the_threads_that_it_was_given_whoever_set_others(bundle, features):
    before = torch.get_num_threads()
    try:
        fast = CloudHalf(bundle, precision="fp32", threads=2)
        CloudHalf(bundle, precision="fp32", threads=1)
        fast.infer(features)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_half_that_cannot_be_folded_is_the_reference():
    architecture = digits_net(widths=(8, 8), cut_channels=4, cloud_widths=())
    few_bits = UnitSpec(kind="basic", channels=8, weight_bits=4, activation_bits=4)
    architecture = architecture.model_copy(update={"units": (*architecture.units, few_bits)})
    loaded = dataclasses.replace(untrained_bundle(architecture), cloud=cloud_tensors(HybridNetwork(architecture)))
    half = CloudHalf(loaded, precision="auto")
    assert half.trial is None
    assert len(half.infer([bytes(loaded.manifest.cut.bytes)])[0]) == 1
    assert fit_bf16(loaded, [bytes(loaded.manifest.cut.bytes)]) is None

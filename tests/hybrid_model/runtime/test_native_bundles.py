"""Every variant of the C kernels against the NumPy reference on whole test splits of the shipped bundles."""

from __future__ import annotations

import functools
import os

import numpy as np
import numpy.typing as npt
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle, BundleError
from hybrid_model.runtime.native_walker import NativeWalker, native_kernels
from hybrid_model.runtime.plan import build_plan
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker, Walk

#: Samples at a time: bounds the reference's memory.
_PART = 500

CASES = [
    pytest.param("digits", id="digits"),
    pytest.param("har", id="har", marks=pytest.mark.data),
    pytest.param("cifar10", id="cifar10", marks=[pytest.mark.data, pytest.mark.long]),
]


@functools.cache
def inputs(name: str) -> tuple[Bundle, npt.NDArray[np.generic]]:
    return bundle_file.load(bundle_file.resolve(name)), data.load(name, progress=False).test.x


def walked(walker: NativeWalker | ReferenceWalker, bundle: Bundle, x: npt.NDArray[np.generic]) -> list[Walk]:
    rules = [ExitRule(e.score, e.temperature, e.threshold) for e in bundle.manifest.exits]
    parts = [x[start : start + _PART] for start in range(0, len(x), _PART)]
    return [walker.walk(part, rules, np.ones(len(part), dtype=np.bool_), to_cut=True) for part in parts]


@functools.cache
def expected(name: str) -> list[Walk]:
    bundle, x = inputs(name)
    return walked(ReferenceWalker(build_plan(bundle)), bundle, x)


@pytest.mark.timeout(900)
@pytest.mark.skipif(not native_kernels(), reason="the C kernels were not built: install a C compiler")
@pytest.mark.parametrize("variant", native_kernels())
@pytest.mark.parametrize("name", CASES)
def test_every_sample_gets_the_references_bits(name: str, variant: str) -> None:
    if name != "digits" and not os.environ.get("DEWPOINT_DATA"):
        pytest.skip(f"needs {name}: point $DEWPOINT_DATA at a folder that has it")
    try:
        bundle, x = inputs(name)
    except BundleError:
        pytest.skip(f"no bundle {name} is shipped")
    found = walked(NativeWalker(build_plan(bundle), variant), bundle, x)
    for ours, theirs in zip(found, expected(name), strict=True):
        assert np.array_equal(ours.logits, theirs.logits)
        assert np.array_equal(ours.codes, theirs.codes)
        assert np.array_equal(ours.exit_index, theirs.exit_index)
        assert np.allclose(ours.scores, theirs.scores, rtol=1e-12, atol=1e-15)

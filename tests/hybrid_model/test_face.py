"""What `hybrid_model` itself offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import hybrid_model
from hybrid_model import data
from hybrid_model.bundle import BundleError
from hybrid_model.evaluation import EvaluationError


@pytest.mark.parametrize("use", ["hybrid_model", "hybrid_model.load('digits')", "hybrid_model.EdgeEngine"])
def test_neither_the_package_nor_its_edge_half_imports_torch(use):
    code = f"import hybrid_model, sys; {use}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_name_is_there_and_no_other():
    assert set(hybrid_model.__all__) <= set(dir(hybrid_model))
    assert all(callable(getattr(hybrid_model, name)) for name in hybrid_model.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hybrid_model.nothing


def test_a_bundle_is_loaded_by_name_or_path_with_both_halves_or_one():
    shipped = hybrid_model.load("digits")
    assert shipped.cloud
    assert hybrid_model.load(shipped.path, cloud=False).cloud == {}
    with pytest.raises(BundleError, match="no such file and no shipped bundle"):
        hybrid_model.load("nothing")


def test_arrays_are_judged_as_the_same_samples_of_a_data_set():
    digits = data.load("digits")
    named = hybrid_model.evaluate("digits", digits)
    given = hybrid_model.evaluate(hybrid_model.load("digits"), (digits.test.x, digits.test.y))
    assert (given.samples, given.exit_share, given.accuracy) == (named.samples, named.exit_share, named.accuracy)


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        (np.zeros((2, 8, 8), np.uint8), np.zeros(2, int), ValueError),
        (np.zeros((2, 8, 8, 1), np.uint8), np.zeros(3, int), ValueError),
        (np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 10]), ValueError),
        (np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2), ValueError),
        (np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, int), ValueError),
        (np.zeros((2, 9, 8, 1), np.uint8), np.zeros(2, int), EvaluationError),
        (np.zeros((2, 8, 8, 1), np.float32), np.zeros(2, int), ValueError),
    ],
)
def test_arrays_that_cannot_be_samples_are_refused(x, y, error):
    with pytest.raises(error):
        hybrid_model.evaluate("digits", (x, y))

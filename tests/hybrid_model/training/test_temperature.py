"""The temperature of an exit."""

import numpy as np
import pytest

from hybrid_model import exits
from hybrid_model.training.temperature import fit_temperature


def test_the_fitted_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 5)) * 2
    labels = np.array([rng.choice(5, p=p) for p in exits.softmax(honest, 1.0)])
    assert fit_temperature(honest * 3.0, labels) == pytest.approx(3.0, rel=0.15)

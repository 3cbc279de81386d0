"""What one training gives: subsets of exits along a path of thresholds, judged by hand on few samples."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybrid_model import energy, exits
from hybrid_model.exploration.curve import curve, judged_point
from hybrid_model.exploration.latency import Latency

LATENCY = Latency("numpy", (10.0, 30.0), 50.0, (0.1, 0.3), 0.5, 100.0)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def layer(name, stage, role, macs, bits):
    return SimpleNamespace(
        name=name, stage=stage, role=role, macs=macs, weight_bits=bits, activation_bits=bits,
        params=macs // 10, inputs=20, outputs=10,
    )  # fmt: skip


def manifest(layers):
    """What `curve` reads of a bundle's manifest."""
    return SimpleNamespace(
        exits=[SimpleNamespace(score="entropy", temperature=1.0), SimpleNamespace(score="entropy", temperature=2.0)],
        cut=SimpleNamespace(bytes=12),
        classes=("a", "b", "c"),
        layers=layers,
        model_copy=lambda *, update: manifest(**update),
    )


LAYERS = [
    layer("stem", 0, "backbone", 1000, 8),
    layer("exits.0", 0, "exit", 50, 32),
    layer("edge.0", 1, "backbone", 4000, 1),
    layer("exits.1", 1, "exit", 100, 32),
    layer("cut", 2, "cut", 200, 32),
    layer("cloud.0", "cloud", "backbone", 6000, 32),
]
MANIFEST = manifest(LAYERS)


@pytest.fixture(scope="module")
def logits():
    """Exit 1 is surer than exit 0 and more often right; the cloud errs once."""
    random = np.random.default_rng(5)
    truth = np.eye(3)[LABELS]
    noise = random.normal(size=(2, 8, 3))
    final = truth * 9.0
    final[3] = [0, 9, 0]
    return np.stack([truth * 1.0 + noise[0], truth * 3.0 + noise[1]], axis=1), final


@pytest.fixture(scope="module")
def points(logits):
    return curve(
        MANIFEST, LATENCY, dataset_name="digits", sample_bytes=100.0,
        exit_logits=logits[0], final_logits=logits[1], labels=LABELS,
    )  # fmt: skip


def test_the_first_point_escalates_all(points):
    first = points[0]
    assert first.edge_share == 0
    assert first.accuracy == 7 / 8
    assert first.edge_latency_us == 50.0
    assert sum(point.edge_share == 0 for point in points) == 1


def test_every_subset_of_the_exits_has_points_up_to_nearly_all_on_the_edge(points):
    for chosen in [(0, 1), (0,), (1,)]:
        assert max(point.edge_share for point in points if point.exits == chosen) >= 7 / 8


def test_a_points_figures_are_those_of_the_exit_rule_at_its_thresholds(points, logits):
    exit_logits, final_logits = logits
    for point in points:
        taken = np.full(8, -1)
        for number, threshold in reversed(list(zip(point.exits, point.thresholds, strict=True))):
            score = exits.score(exit_logits[:, number], temperature=MANIFEST.exits[number].temperature)
            taken[exits.leaves(score, threshold)] = number
        answers = [(exit_logits[i, e] if e >= 0 else final_logits[i]).argmax() for i, e in enumerate(taken)]
        assert point.exit_share == tuple((taken == e).mean() for e in range(2))
        assert point.edge_share == pytest.approx(sum(point.exit_share))
        assert point.accuracy == pytest.approx((answers == LABELS).mean())
        assert point.feature_bytes == 12


def test_an_exit_that_is_switched_off_costs_no_energy(points):
    """Worked by hand, in full-precision multiply-accumulates; the twin has 11,000."""
    for point in points:
        first, second = point.exit_share
        heads = [50 if 0 in point.exits else 0, 100 if 1 in point.exits else 0]
        edge_0, edge_1 = 250 + heads[0], 125 + heads[1]
        spent = first * edge_0 + second * (edge_0 + edge_1)
        spent += (1 - first - second) * (edge_0 + edge_1 + 200 + 6000)
        assert point.energy_reduction_mac == pytest.approx(11_000 / spent)
        assert point.energy_mac_uj == pytest.approx(spent * 4.6e-6)


def test_the_full_view_counts_the_exits_that_are_on_too(points):
    for point in points:
        layers = [one for one in LAYERS if one.role != "exit" or one.stage in point.exits]
        spent = energy.mean_energy_j(layers, point.exit_share, energy.FULL, 12)
        assert point.energy_full_uj == pytest.approx(1e6 * spent)
        assert point.energy_reduction_full == pytest.approx(energy.twin_energy_j(layers, energy.FULL, 100.0) / spent)


def test_latency_is_the_mean_over_where_samples_end():
    assert LATENCY.mean_us([0.5, 0.2]) == pytest.approx(0.5 * 10 + 0.2 * 30 + 0.3 * 50)
    assert LATENCY.mean_ratio([0.5, 0.2]) == pytest.approx(0.5 * 0.1 + 0.2 * 0.3 + 0.3 * 0.5)


def test_a_trial_is_judged_by_its_most_accurate_point_that_comes_far_enough(points):
    best = judged_point(points, 0.5)
    far = [point for point in points if point.edge_share >= 0.5]
    assert best in far
    assert best.accuracy == max(point.accuracy for point in far)


def test_where_none_comes_far_enough_it_is_the_one_that_comes_farthest(points):
    near = [point for point in points if point.edge_share < 0.6]
    assert judged_point(near, 0.9).edge_share == max(point.edge_share for point in near)


def test_what_a_guard_does_not_take_in_leaves_at_no_point(logits):
    in_domain = np.ones((8, 2), dtype=np.bool_)
    in_domain[[1, 5]] = False
    points = curve(
        MANIFEST, LATENCY, dataset_name="digits", sample_bytes=100.0,
        exit_logits=logits[0], final_logits=logits[1], labels=LABELS, in_domain=in_domain,
    )  # fmt: skip
    assert max(one.edge_share for one in points) == 6 / 8

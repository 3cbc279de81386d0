"""The edge engine against the torch network on whole test splits: same labels, exits and features, or a traced reason.

At most one sample in a thousand may differ, and each must be explained by an input at a quantizer's boundary; so may
one byte of features in a thousand.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model import data, exits
from hybrid_model.bundle import Bundle
from hybrid_model.runtime import EdgeEngine
from tests.hybrid_model.rebuilt import rebuild
from tests.hybrid_model.watched import NEAR, WatchedEdge, engine_codes, partings

pytestmark = pytest.mark.early

SHARE = 0.999
BYTES_SHARE = 1e-3


def _explained(bundle: Bundle, torch_edge: WatchedEdge, x: np.ndarray) -> bool:
    """Whether the first quantizer at which engine and torch differ for x (1, H, W, C) had inputs at its boundary."""
    logits, _ = torch_edge.run(x)
    parted, distance = partings(engine_codes(bundle, x), torch_edge.seen)
    if parted.any():
        return distance < NEAR
    for number, rule in enumerate(bundle.manifest.exits):
        score = exits.score(logits[:, number], kind=rule.score, temperature=rule.temperature)
        top = np.sort(logits[0, number])[-2:]
        if abs(score[0] - rule.threshold) < NEAR or top[1] - top[0] < NEAR:
            return True
    return False


CASES = [
    pytest.param("digits", id="digits"),
    pytest.param("har", id="har", marks=pytest.mark.data),
    pytest.param("cifar10", id="cifar10", marks=pytest.mark.data),
    pytest.param("cifar100", id="cifar100", marks=[pytest.mark.data, pytest.mark.long]),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_labels_exits_and_features_agree_on_a_whole_test_split(name):
    if name != "digits" and not os.environ.get("DEWPOINT_DATA"):
        pytest.skip(f"needs {name}: point $DEWPOINT_DATA at a folder that has it")
    bundle = bundle_file.load(bundle_file.resolve(name), cloud=True)
    x = data.load(name, progress=False).test.x
    torch_edge = WatchedEdge(rebuild(bundle).to(memory_format=torch.channels_last))
    engine = EdgeEngine(bundle)

    differing: list[int] = []
    differing_bytes = feature_bytes = 0
    for start in range(0, len(x), 250):
        batch = x[start : start + 250]
        said = engine.infer(batch, guard=False, force_cut=True)
        logits, codes = torch_edge.run(batch, watch_all=False)
        labels, leaves = _torch_answers(bundle, logits)
        same = (leaves == said.exit_index) & (labels == said.class_index)
        packed = cut_codec.pack_batch(codes, bundle.manifest.cut.bits)
        ours, theirs = (np.frombuffer(b"".join(many), dtype=np.uint8) for many in (said.features, packed))
        differing_bytes += int((ours != theirs).sum())
        feature_bytes += len(theirs)
        differing += [start + int(i) for i in np.flatnonzero(~same)]

    assert len(differing) <= (1 - SHARE) * len(x)
    assert differing_bytes <= BYTES_SHARE * feature_bytes
    unexplained = [i for i in differing if not _explained(bundle, torch_edge, x[i : i + 1])]
    assert unexplained == []


def _torch_answers(bundle: Bundle, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and exits as the exit rule gives them from torch's logits (n, E, K)."""
    left = np.full(len(logits), -1)
    labels = logits[:, -1].argmax(axis=1)
    for number, rule in reversed(list(enumerate(bundle.manifest.exits))):
        score = exits.score(logits[:, number], kind=rule.score, temperature=rule.temperature)
        goes = exits.leaves(score, rule.threshold, rule.score)
        left[goes] = number
        labels[goes] = logits[goes, number].argmax(axis=1)
    return labels, left

"""A network that starts from a trunk answers as the trunk would, for any size, and keeps it while it is frozen."""

import numpy as np
import pytest
import torch

from hybrid_model import bundle as bundle_file
from hybrid_model.data import Dataset, Split
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.backbones import wide_edge
from hybrid_model.nn.rebuild import rebuild
from hybrid_model.planning.edge_budget import untrained_bundle
from hybrid_model.training import TrainingError, train
from hybrid_model.training.recipe import Losses, Recipe, Schedule
from hybrid_model.training.trunk import start_from_trunk

#: Of other shapes than the shipped ones: binary units, and a cut of two bits.
OTHERS = {
    "binary": {
        "stem_channels": 32,
        "edge_widths": [[32, 1], [64, 2]],
        "edge_bits": 1,
        "cut_channels": 8,
        "cut_bits": 2,
    },
    "two bits": {
        "stem_channels": 32,
        "edge_widths": [[32, 1], [64, 1]],
        "edge_bits": 2,
        "cut_channels": 8,
        "cut_bits": 2,
    },
}
TRUNKS = ("cifar10", "cifar100", *OTHERS)


@pytest.fixture(scope="module")
def trunks(tmp_path_factory) -> dict[str, str]:
    """Bundles by name: the shipped ones, and some that know nothing."""
    found = {name: name for name in ("cifar10", "cifar100")}
    for name, arguments in OTHERS.items():
        torch.manual_seed(0)
        made = untrained_bundle(wide_edge(**arguments))
        provenance = {"recipe": {"family": "wide_edge", "architecture": arguments}}
        path = tmp_path_factory.mktemp("trunks") / "some.dew"
        bundle_file.save(path, made.manifest.model_copy(update={"provenance": provenance}), made.edge, made.cloud)
        found[name] = str(path)
    return found


def _pictures(count: int, side: int) -> np.ndarray:
    """Coarse patterns, so that a picture made larger is the same picture."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(side // 8, axis=1).repeat(side // 8, axis=2)


def _architecture(trunk: str, **changes) -> dict:
    recipe = bundle_file.load(bundle_file.resolve(trunk)).manifest.provenance["recipe"]
    return {**recipe["architecture"], "dropout": 0.0, **changes}


@torch.no_grad()
def _crossed(network: HybridNetwork, x: np.ndarray) -> torch.Tensor:
    return network.eval().edge_half(network.normalize(torch.from_numpy(x)))[1]


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("side", [32, 64])
def test_what_crosses_the_cut_is_what_the_trunk_sends(trunk, side, trunks):
    trunk = trunks[trunk]
    network = HybridNetwork(wide_edge(**_architecture(trunk, classes=3, input_size=side, stem_kernel=side // 8)))
    start_from_trunk(network, trunk, torch.from_numpy(_pictures(40, side)))
    theirs = rebuild(bundle_file.load(bundle_file.resolve(trunk), cloud=True))
    same = _crossed(network, _pictures(40, side)) == _crossed(theirs, _pictures(40, 32))
    assert same.float().mean() > 0.95


def test_batch_statistics_are_those_of_the_new_pictures():
    network = HybridNetwork(wide_edge(**_architecture("cifar100", classes=3)))
    x = torch.from_numpy(_pictures(64, 32))
    start_from_trunk(network, "cifar100", x)
    with torch.no_grad():
        seen = network.stem.conv(network.normalize(x))
    assert torch.allclose(network.stem.norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-4)


def test_a_network_of_another_shape_is_refused():
    network = HybridNetwork(wide_edge(stem_channels=16, edge_widths=((16, 1),)))
    with pytest.raises(TrainingError, match="the trunk cifar100 does not fit this network at stem"):
        start_from_trunk(network, "cifar100", torch.from_numpy(_pictures(8, 32)))


def _recipe(**schedule) -> Recipe:
    return Recipe(
        name="few",
        dataset="few",
        family="wide_edge",
        architecture=_architecture("cifar100", classes=2),
        start="trunk",
        trunk="cifar100",
        schedule=Schedule(epochs=2, batch_size=8, optimizer="muon", lr=0.01, **schedule),
        losses=Losses(exit_weights=(0.7,)),
    )


def _dataset() -> Dataset:
    split = Split(x=_pictures(16, 32), y=np.arange(16) % 2)
    return Dataset("few", ("a", "b"), "image", split, split, split, split)


def _trained(recipe: Recipe, folder) -> HybridNetwork:
    return train(recipe, _dataset(), folder=folder, device="cpu", progress=False).hybrid


def _edge(network: HybridNetwork) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {name: value for name, value in state.items() if name.startswith(("stem.", "edge."))}


def test_a_trunk_is_frozen_first_and_then_learns_too(tmp_path):
    before = HybridNetwork(wide_edge(**_architecture("cifar100", classes=2)))
    start_from_trunk(before, "cifar100", torch.from_numpy(_pictures(16, 32)))
    frozen = _edge(_trained(_recipe(frozen_share=0.99), tmp_path / "frozen"))
    known = _edge(before)
    assert all(torch.allclose(frozen[name].float(), known[name].float(), atol=1e-4) for name in known)
    thawed = _edge(_trained(_recipe(frozen_share=0.5), tmp_path / "thawed"))
    assert not torch.allclose(thawed["stem.conv.weight"], known["stem.conv.weight"], atol=1e-3)

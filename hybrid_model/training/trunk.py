"""A trunk: what a trained bundle knows of pictures, as the start of another network of the same shape.

A bundle holds no latent weights and no batch statistics. Signs and levels become latent weights in the middle of their
levels; folded scales and biases become batch norms, whose statistics are measured on the new pictures in such a way
that the network computes the same as before.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hybrid_model import bundle as bundle_file
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.layers import QuantConv2d
from hybrid_model.nn.rebuild import rebuild
from hybrid_model.training.run import TrainingError

__all__ = ["start_from_trunk"]

#: Pictures by which batch statistics are measured.
_SAMPLES = 512
#: What a trunk hands on; exits and the classifier know other classes.
#: Weights of so many bits have a scale of their own, by which outputs grow with them; DoReFa's have not.
_SCALED_BITS = (1, 8, 32)
_PARTS = ("stem.", "edge.", "cut.", "cloud.")


@torch.no_grad()
def start_from_trunk(network: HybridNetwork, name: str, x: Tensor) -> None:
    """Gives `network` the trunk of a bundle (a file, or the name of a shipped one): all but exits and classifier.

    The stem's kernel is drawn out to the network's: a larger picture then looks to the trunk as if it had been made
    smaller. x (N, H, W, C): training pictures, by which batch statistics are measured.
    Raises BundleError for a bundle that cannot be had, TrainingError for one of another shape.
    """
    trunk = rebuild(bundle_file.load(bundle_file.resolve(name), cloud=True))
    known = {key: value for key, value in trunk.state_dict().items() if key.startswith(_PARTS)}
    kernel = network.stem.conv.weight
    known["stem.conv.weight"] = _drawn_out(known["stem.conv.weight"], kernel.shape[-1])
    _require_same_shapes(network, known, name)
    network.load_state_dict(known, strict=False)
    for part in (network.stem, network.edge, network.cut):
        _bring_to_size(part)
    device = next(network.parameters()).device
    _measure(network, _norms(network), x[:: max(1, len(x) // _SAMPLES)][:_SAMPLES].to(device))


def _drawn_out(weight: Tensor, side: int) -> Tensor:
    """A kernel (OC, IC, K, K) for pictures of side / K times the size: the same sum of the same areas."""
    before = weight.shape[-1]
    if side == before:
        return weight
    whole = side % before == 0
    drawn = F.interpolate(weight, size=(side, side), mode="nearest" if whole else "bilinear")
    return drawn * (before / side) ** 2


def _bring_to_size(part: nn.Module) -> None:
    """Gives every convolution a Frobenius norm of sqrt(OC), which is what Muon keeps it at; its norm undoes that."""
    modules = dict(part.named_modules())
    for name, module in modules.items():
        if isinstance(module, QuantConv2d):
            factor = len(module.weight) ** 0.5 / module.weight.norm()
            module.weight.mul_(factor)
            norm = modules[name.replace("conv", "norm")]
            if module.weight_bits in _SCALED_BITS:
                assert isinstance(norm, nn.BatchNorm2d)
                norm.weight.div_(factor)


def _require_same_shapes(network: HybridNetwork, known: Mapping[str, Tensor], name: str) -> None:
    own = network.state_dict()
    for key, value in known.items():
        if key not in own or own[key].shape != value.shape:
            raise TrainingError(f"the trunk {name} does not fit this network at {key}; take its architecture, or none")


def _norms(network: HybridNetwork) -> list[nn.BatchNorm2d]:
    """Batch norms whose statistics a bundle does not hold: those of the edge half."""
    parts = (network.stem, network.edge, network.cut)
    return [module for part in parts for module in part.modules() if isinstance(module, nn.BatchNorm2d)]


def _measure(network: HybridNetwork, norms: list[nn.BatchNorm2d], x: Tensor) -> None:
    """Gives each norm the mean and variance of what it sees of x (N, H, W, C), and a scale and bias that undo them."""
    taken: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        taken[module] = (inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3)))

    handles = [norm.register_forward_hook(look) for norm in norms]
    was = network.training
    network.eval()
    network.edge_half(network.normalize(x))
    network.train(was)
    for handle in handles:
        handle.remove()
    for norm in norms:
        mean, variance = taken[norm]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.copy_(norm.bias + scale * (mean - norm.running_mean))
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

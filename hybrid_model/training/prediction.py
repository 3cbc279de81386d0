"""What a network in torch says of a whole split."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hybrid_model.data import Split
from hybrid_model.training.trainable import Trainable


@torch.no_grad()
def predict(
    network: Trainable, split: Split, *, device: torch.device, batch_size: int = 500
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Exit logits (N, E, K) and final logits (N, K), float32, in evaluation mode and full precision."""
    network.eval()
    exits, finals = [], []
    for start in range(0, len(split.y), batch_size):
        x = torch.from_numpy(split.x[start : start + batch_size]).to(device)
        out = network(network.normalize(x))
        finals.append(out.final.float().cpu().numpy())
        shape = (len(x), 0, finals[-1].shape[1])
        exits.append(torch.stack(out.exits, dim=1).float().cpu().numpy() if out.exits else np.empty(shape, np.float32))
    return np.concatenate(exits), np.concatenate(finals)

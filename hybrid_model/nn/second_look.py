"""Close calls of a cloud half in few bits, decided by the same in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from hybrid_model.nn.folded import FoldedHalf


class SecondLook:
    """`low`, and `full` for those samples whose greatest logit leads the second by less than `close`.

    Roundings change a class only where two lead almost side by side. With `close` well above what they move, the
    classes are those of `full`, whatever batch a sample sits in.
    """

    def __init__(self, low: FoldedHalf, full: FoldedHalf, close: float) -> None:
        self._low, self._full, self._close = low, full, close

    def __call__(self, crossed: Tensor) -> Tensor:
        """What crossed the cut (N, c, h, w) float32 -> logits (N, classes) float32."""
        logits = self._low(crossed)
        rows = self.close_calls(logits)
        if len(rows):
            logits[rows] = self._full(crossed[rows])
        return logits

    def close_calls(self, logits: Tensor) -> Tensor:
        """Numbers of the rows of logits (N, classes) that are looked at again, int64."""
        if not self._close:
            return torch.empty(0, dtype=torch.int64, device=logits.device)
        first, second = logits.topk(2, dim=1).values.unbind(1)
        return torch.nonzero(first - second < self._close).flatten()

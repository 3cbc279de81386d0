"""Whether a cloud half may compute in bfloat16: the classes that it gives to the calibration split, beside float32's.

bfloat16 is emulated here: what is measured does not depend on the machine, and hardware differs from it by far less
than bfloat16 from float32. No label takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from hybrid_model import cut as cut_codec
from hybrid_model.bundle import Bf16, Bundle
from hybrid_model.cloud_half import build_network
from hybrid_model.nn.folded import FoldedHalf
from hybrid_model.nn.second_look import SecondLook

__all__ = ["fit_bf16"]

#: Leads below so many standard deviations of what bfloat16 moves a logit by are looked at again. A lead is made of two
#: logits, so that these are about three of its own.
_DEVIATIONS: Final = 4.0
_BATCH: Final = 250


@torch.inference_mode()
def fit_bf16(bundle: Bundle, features: Sequence[bytes]) -> Bf16 | None:
    """How `bundle`'s cloud half (with its tensors) does in bfloat16, on the packed features of held-out samples.

    None where it cannot be folded, or there are no samples.
    """
    network = build_network(bundle)
    try:
        full, low = FoldedHalf(network, "fp32"), FoldedHalf(network, "bf16", emulated=True)
    except LookupError:
        return None
    if not features:
        return None
    crossed = [
        network.cut.dequantize(torch.from_numpy(cut_codec.unpack_batch(some, network.cut_shape, network.cut.bits)))
        for some in (features[start : start + _BATCH] for start in range(0, len(features), _BATCH))
    ]
    by_full, by_low = torch.cat([full(some) for some in crossed]), torch.cat([low(some) for some in crossed])
    close = float(f"{_DEVIATIONS * float((by_low - by_full).square().mean().sqrt()):.3g}")
    looks = SecondLook(low, full, close)
    again = looks.close_calls(by_low)
    unaided = (by_low.argmax(1) == by_full.argmax(1)).numpy()
    aided = unaided.copy()
    aided[again.numpy()] = True
    return Bf16(
        close=close,
        samples=len(features),
        close_share=len(again) / len(features),
        agreed_share=float(np.mean(aided)),
        unaided_share=float(np.mean(unaided)),
    )

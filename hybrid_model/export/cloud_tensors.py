"""The cloud half as arrays by state-dict name: what `cloud.safetensors` of a bundle holds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hybrid_model.nn import HybridNetwork

CloudDtype = Literal["float16", "float32"]

_WANTED = ("cloud.", "classifier.", "cut.quant.alpha")
_HALF = np.finfo(np.float16)


def cloud_tensors(network: HybridNetwork, dtype: CloudDtype = "float16") -> dict[str, npt.NDArray[Any]]:
    """What the cloud half needs: its units, the classifier and the cut's scale.

    `dtype`: how the weights of convolutions and of the classifier are stored; batch norms, biases and the cut's scale
    are float32 always, and a tensor that float16 cannot hold well stays float32 as well. The cloud half computes in
    float32 whatever is stored.
    """
    arrays = {
        name: tensor.detach().cpu().float().contiguous().numpy()
        for name, tensor in network.state_dict().items()
        if name.startswith(_WANTED) and not name.endswith("num_batches_tracked")
    }
    if dtype == "float32":
        return arrays
    return {name: _halved(array) if array.ndim > 1 else array for name, array in arrays.items()}


def _halved(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float16 | np.float32]:
    """As float16 where the greatest magnitude is one of its normal numbers, else as it is.

    Then no value overflows, and none moves by more than 2^-11 of the greatest: float16 has 11 significant bits, and
    what is subnormal in it moves by 2^-25 at most, which is 2^-11 of the least normal number.
    """
    greatest = np.abs(array).max(initial=0.0)
    return array.astype(np.float16) if _HALF.tiny <= greatest <= _HALF.max else array
